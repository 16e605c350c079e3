"""Publishes the messages of mocks to OUTBOX: in order, in batches, bounded."""

import asyncio
from collections import deque
from collections.abc import Iterable
from functools import partial

from kaiser_common.bus.connection import MAX_BATCH, Bus, BusUnavailable, Outgoing
from kaiser_common.runtime.loops import until_done

from kaiser_simulator import metrics

MOST_WAITING = 20_000
_RETRY_S = 0.5


class Sender:
    """Publishes what was added, one batch after the other. NATS away: it waits; over MOST_WAITING the oldest is lost,
    counted, as a device's own queue would lose it. Killed: what waited is lost, as in a device without power."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: deque[Outgoing] = deque()
        self._wake = asyncio.Event()
        self._added = 0
        self._done = 0
        self._progress = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether half of what may wait is waiting."""
        return len(self._waiting) > MOST_WAITING // 2

    def add(self, messages: Iterable[Outgoing]) -> None:
        """Publish these soon."""
        before = len(self._waiting)
        self._waiting.extend(messages)
        self._added += len(self._waiting) - before
        while len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self._done += 1
            metrics.SKIPPED.labels("blocked").inc()
        if self._waiting:
            self._wake.set()

    async def until_sent(self, timeout_s: float) -> None:
        """Wait until all that was added so far is on disk (or lost). BusUnavailable after `timeout_s`."""
        target = self._added
        try:
            async with asyncio.timeout(timeout_s):
                while self._done < target:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError as error:
            raise BusUnavailable(f"OUTBOX accepted nothing within {timeout_s:g} s") from error

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
            await until_done(partial(self._bus.publish_batch, batch), "mock_messages_wait", retry_s=_RETRY_S)
            self._done += len(batch)
            self._progress.set()
            metrics.PUBLISHED.inc(len(batch))
