"""One viewer of the message centre: its filters, its queue, and the loop that sends."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from kaiser_common.bus.waiting import set_within
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.runtime.clock import now_ms

from kaiser_gateway import metrics
from kaiser_gateway.domain.conflation import Outlet
from kaiser_gateway.domain.kept import TopicMessage
from kaiser_gateway.domain.message_frames import (
    FRAME_BYTES,
    Waiting,
    conflated_frame,
    item_of,
    messages_frame,
    opened_frame,
    pong_frame,
    ready_frame,
)
from kaiser_gateway.domain.selection import TopicSelection
from kaiser_gateway.domain.tokens import Identity
from kaiser_gateway.domain.topic_index import TopicIndex
from kaiser_gateway.store.standing import Ended

Send = Callable[[bytes], Awaitable[None]]
Since = Callable[[str, int, int], AsyncIterator[TopicMessage]]
"""The messages of a subject filter from a sequence to another."""

MOST_RESUMED = 50_000
"""A viewer that is further behind gets the last values instead."""
_BURST = 64
_LOOKED_AT = 200
"""Topics that are looked at between two turns of the others."""
_LOOK_EVERY_S = 1.0


class ViewerClosed(Exception):
    """The viewer is to be closed with a code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Opening:
    """The start of a view, before live messages. after: the viewer has all up to it; None: it gets the last values,
    of `there` those that it selects."""

    environment: FactoryEnvironment
    there: Sequence[TopicMessage]
    held: Callable[[str], int]
    last_seq: int
    complete: bool
    after: int | None


class Viewer:
    """Bounded: messages wait in the outlet, by bytes; the last values are the index's own."""

    def __init__(
        self,
        identity: Identity,
        selection: TopicSelection,
        outlet: Outlet,
        send: Send,
        since: Since,
        ended: Callable[[Identity], Ended | None],
        stalled_s: float,
    ) -> None:
        self.selection = selection
        self._identity = identity
        self._outlet = outlet
        self._send = send
        self._since = since
        self._ended = ended
        self._stalled_s = stalled_s
        self._opening: _Opening | None = None
        self._pongs = 0
        self._wake = asyncio.Event()
        self._looked_at = 0.0
        self._closing: ViewerClosed | None = None

    @property
    def user(self) -> str:
        """Its name."""
        return self._identity.user

    def begin(self, index: TopicIndex, after: int | None = None) -> None:
        """Send what is there, then live messages: the last value of each topic, or what came behind `after`."""
        self._outlet.clear()
        if after is not None and not 0 <= index.last_seq - after <= MOST_RESUMED:
            after = None
        there = list(index) if after is None else []
        self._opening = _Opening(index.environment, there, index.held, index.last_seq, index.complete, after)
        self._wake.set()

    def offer(self, waiting: Waiting, now: float) -> None:
        """Have a message sent; above the rate, or where too many bytes wait, a newer one of its topic replaces it."""
        self._outlet.offer(waiting, now)
        self._wake.set()

    def ping(self) -> None:
        """Answer a ping."""
        self._pongs = 1
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Have the loop end with ViewerClosed."""
        self._closing = ViewerClosed(code, reason)
        self._wake.set()

    async def run(self) -> None:
        """Send until ViewerClosed: by `close`, or because the user may look no longer, or reads nothing (4008)."""
        while True:
            self._look()
            if self._opening is not None:
                opening, self._opening = self._opening, None
                await self._open(opening)
                continue
            if self._pongs:
                self._pongs = 0
                await self._write(pong_frame())
            if items := self._take():
                metrics.MESSAGES_SENT.inc(len(items))
                await self._write(messages_frame(items, now_ms(), snapshot=False))
            else:
                await self._until_more()

    def _take(self) -> list[bytes]:
        """Take the messages that may be sent now, at most one frame of them."""
        items: list[bytes] = []
        size, now = 0, time.monotonic()
        while len(items) < _BURST and size < FRAME_BYTES and (waiting := self._outlet.take(now)) is not None:
            items.append(waiting.frame)
            size += len(waiting.frame)
        return items

    async def _open(self, opening: _Opening) -> None:
        resumed = opening.after is not None
        await self._write(opened_frame(opening.environment, now_ms(), resumed=resumed))
        selected = await self._selected(opening.there)
        if opening.after is None:
            await self._write_all((item_of(one, opening.held(one.topic)) for one in selected), snapshot=True)
        elif opening.after < opening.last_seq:
            subject = self.selection.subject(opening.environment.env)
            missed: list[bytes] = []
            async for one in self._since(subject, opening.after + 1, opening.last_seq + 1):
                if self.selection.admits(one.topic):
                    missed.append(item_of(one, opening.held(one.topic)))
                if len(missed) >= _BURST:
                    await self._write_all(missed, snapshot=False)
                    missed = []
                if self._opening is not None:
                    return  # the environment was switched in between
            await self._write_all(missed, snapshot=False)
        await self._write(ready_frame(opening.last_seq, len(selected), complete=opening.complete))

    async def _selected(self, there: Sequence[TopicMessage]) -> list[TopicMessage]:
        """The messages that the viewer selects, oldest first. There may be 10,000, with turns for others in between."""
        selected: list[TopicMessage] = []
        for number, one in enumerate(there):
            if number % _LOOKED_AT == _LOOKED_AT - 1:
                await asyncio.sleep(0)
            if self.selection.admits(one.topic):
                selected.append(one)
        return sorted(selected, key=lambda one: one.seq)

    async def _write_all(self, items: Iterable[bytes], *, snapshot: bool) -> None:
        """Write messages in frames of a bounded size, encoded as they go."""
        part: list[bytes] = []
        size = 0
        for item in items:
            part.append(item)
            size += len(item)
            if size >= FRAME_BYTES:
                await self._write(messages_frame(part, now_ms(), snapshot=snapshot))
                part, size = [], 0
                await asyncio.sleep(0)  # other viewers and the reader are not delayed by a large snapshot
        if part:
            await self._write(messages_frame(part, now_ms(), snapshot=snapshot))

    async def _write(self, frame: bytes) -> None:
        try:
            async with asyncio.timeout(self._stalled_s):
                await self._send(frame)
        except TimeoutError as error:
            raise ViewerClosed(4008, f"the viewer read nothing for {self._stalled_s:g} s") from error
        metrics.FRAMES.inc()

    def _look(self) -> None:
        """Raise ViewerClosed where the connection is to end."""
        if self._closing is not None:
            raise self._closing
        if self._identity.expires_at <= time.time():
            raise ViewerClosed(4001, "the token has expired")
        if (ended := self._ended(self._identity)) is not None:
            raise ViewerClosed(ended.code, ended.reason)

    async def _until_more(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            if count := self._outlet.conflated():
                metrics.CONFLATED.inc(count)
                await self._write(conflated_frame(count))
                return
        due_s = self._outlet.wait_s(now)
        wait_s = _LOOK_EVERY_S if due_s is None else min(due_s, _LOOK_EVERY_S)
        if wait_s <= 0:
            await asyncio.sleep(0)
            return
        self._wake.clear()
        await set_within(self._wake, wait_s)
