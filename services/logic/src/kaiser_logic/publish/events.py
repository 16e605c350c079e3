"""Publishes events and records, and keeps them while NATS is away."""

import asyncio
from collections.abc import Sequence
from functools import partial

from kaiser_common.bus.connection import Bus, Outgoing
from kaiser_common.bus.waiting import set_within
from kaiser_common.runtime.loops import until_done

from kaiser_logic import metrics

_MOST_WAITING = 10_000

_Ids = tuple[str, ...]
"""The ids of messages that are published together."""


class EventPublisher:
    """Publishes events in order. If more than 10,000 wait, the newest is dropped and counted. Killed: waiting events
    are lost; an execution whose end was not published is continued by the next start and published then."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: asyncio.Queue[tuple[Outgoing, _Ids | None]] = asyncio.Queue(_MOST_WAITING)
        self._stored: dict[_Ids, asyncio.Event] = {}

    def publish(self, *messages: Outgoing) -> None:
        """Have messages published."""
        for message in messages:
            self._put(message, None)

    async def publish_within(self, *messages: Outgoing, within_s: float) -> bool:
        """Have messages published and wait until the last is stored; False when it was not within the time.

        They stay queued then: asked again for the same ids, it waits for the ones that are queued.
        """
        ids = tuple(message.msg_id for message in messages)
        stored = self._stored.get(ids)
        if stored is None:
            stored = asyncio.Event()
            queued = [self._put(message, ids if message is messages[-1] else None) for message in messages]
            if queued[-1]:
                self._stored[ids] = stored
        return await set_within(stored, within_s)

    def _put(self, message: Outgoing, ids: _Ids | None) -> bool:
        try:
            self._waiting.put_nowait((message, ids))
        except asyncio.QueueFull:
            metrics.UNPUBLISHED.inc()
            return False
        return True

    async def run(self) -> None:
        """Publish queued events until cancelled."""
        while True:
            batch = [await self._waiting.get()]
            while not self._waiting.empty() and len(batch) < 500:
                batch.append(self._waiting.get_nowait())
            await self._publish([message for message, _ in batch])
            for _, ids in batch:
                if ids is not None:
                    self._stored.pop(ids).set()

    async def _publish(self, messages: Sequence[Outgoing]) -> None:
        """A batch is of one stream."""
        streams: dict[str, list[Outgoing]] = {}
        for message in messages:
            streams.setdefault(message.subject.partition(".")[0], []).append(message)
        for part in streams.values():
            await until_done(partial(self._bus.publish_batch, part), "events_postponed")
