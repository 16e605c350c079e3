"""Rejected messages by their cause: counted, and replayed a step at a time.

A step replays at most 1,000 messages of a cause in about 3 s, oldest first, and answers where the next one begins; a
replay that is repeated from any step publishes the same ids, so nothing is stored twice. Killed in between: the same
step is asked again.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import groupby

from kaiser_common.bus.connection import Bus, Outgoing
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.pack import place_of, seq_of
from kaiser_common.contract.schemas.api.rejected import (
    CauseReplay,
    CausesPage,
    CausesQuery,
    RefusedReplay,
    RejectedCause,
    ReplayedCause,
)
from kaiser_common.contract.schemas.event import RejectedMessage
from kaiser_common.contract.subjects import REJECTED

from kaiser_ingest.api.rejected import UNUSED_S, RejectedMessages
from kaiser_ingest.domain.admission import Registered
from kaiser_ingest.domain.causes import CauseCounts
from kaiser_ingest.domain.rejected_lines import lines_of, subjects_of

_STEP_S = 3.0
_COUNT_S = 1.5
"""Beyond a step's own time, for counting what is left."""
_MOST_LOOKS = 40
_LOOK_EVERY_S = 0.05
_QUIET_S = 3.0
_FLUSH = 100
_MOST_REFUSALS = 20
_FIRST_SPAN = 500
_LONGEST_SPAN = 20_000
_AT_ONCE = 100
"""Messages of the stream that are taken together."""
_OF_READINGS = "esp.sensor.data."


class RejectedCauses:
    """Reads the stream REJECTED by cause."""

    def __init__(self, bus: Bus, registered: Registered, rejected: RejectedMessages) -> None:
        self._bus = bus
        self._registered = registered
        self._rejected = rejected

    async def causes(self, query: CausesQuery, _: Caller) -> CausesPage:
        """The causes of the rejected messages, the most frequent first, counted for about 3 s.

        From the newest messages back, in spans of 500 to 20,000 that are read oldest first: of the span in which the
        time ends only the oldest messages are counted.
        """
        cause = RejectedCause(code=query.code, esp_id=query.esp_id, serial=query.serial, topic=query.topic)
        state = (await self._bus.jetstream.stream_info(REJECTED.name)).state
        first, high = max(1, state.first_seq), state.last_seq
        deadline = time.monotonic() + _STEP_S
        counts = CauseCounts()
        span, is_late = _FIRST_SPAN, False
        while high >= first and not is_late:
            low = max(first, high - span + 1)
            async with aclosing(self._messages(cause, low, high)) as messages:
                async for _place, found in messages:
                    for seq, message in found:
                        counts.add(seq, message)
                    if is_late := time.monotonic() > deadline:
                        break
            high = low - 1
            span = min(span * 4, _LONGEST_SPAN)
        items, left_out = counts.most_frequent(query.limit)
        is_complete = high < first and not is_late
        return CausesPage(items=items, looked_at=counts.looked_at, is_complete=is_complete, left_out=left_out)

    async def replay(self, request: CauseReplay, _: Caller) -> ReplayedCause:
        """Replay the next messages of a cause, and count those that are left."""
        if request.code == Code.ESP_DEVICE_NOT_FOUND and request.esp_id is not None:
            await self._until_known(request.esp_id)
        state = (await self._bus.jetstream.stream_info(REJECTED.name)).state
        through = seq_of(state.last_seq + 1) - 1 if request.through is None else request.through
        after = -1 if request.after is None else request.after
        step = _Step(self._bus, self._rejected, request.limit, time.monotonic() + _STEP_S)
        is_left_exact = True
        low = max(1, state.first_seq, place_of(after + 1)[0])
        high = min(place_of(through)[0], state.last_seq)
        async with aclosing(self._messages(request, low, high)) as messages:
            async for place, found in messages:
                for seq, message in found:
                    if after < seq <= through:
                        await step.take(seq, message)
                step.looked_at(seq_of(place + 1) - 1)
                if step.is_over and time.monotonic() > step.deadline + _COUNT_S:
                    is_left_exact = False
                    break
        await step.flush()
        return ReplayedCause(
            replayed=step.replayed,
            published=step.published,
            refused=step.refused,
            refusals=step.refusals,
            left=step.left,
            is_left_exact=is_left_exact,
            through=through,
            next_cursor=str(step.last_seq) if step.left or not is_left_exact else None,
        )

    async def _until_known(self, esp_id: str) -> None:
        """ingest learns of a device that was registered just now in a moment; it is waited for at most 2 s."""
        for _ in range(_MOST_LOOKS):
            if esp_id in self._registered:
                return
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _messages(
        self, cause: RejectedCause, low: int, high: int
    ) -> AsyncGenerator[tuple[int, list[tuple[int, RejectedMessage]]], None]:
        """The stream's messages from low to high, oldest first: each one's sequence, and its rejections of a cause with
        their seq. TimeoutError: NATS does not give the next ones within 3 s."""
        if low > high:
            return
        reader = OrderedReader(
            self._bus,
            REJECTED.name,
            subjects_of(cause),
            start_sequence=low,
            max_messages=_AT_ONCE,
            unused_s=UNUSED_S,
        )
        async with aclosing(aiter(reader)) as batches:
            is_last = False
            while not is_last:
                async with asyncio.timeout(_QUIET_S):
                    batch = await anext(batches)
                for each in batch:
                    if each.stream_sequence > high:
                        break
                    yield each.stream_sequence, [one for one in lines_of(each) if cause.covers(one[1])]
                    await asyncio.sleep(0)  # a pack is 24 KiB: what arrives meanwhile waits no longer than for one
                is_last = not batch or batch[-1].pending == 0 or batch[-1].stream_sequence >= high


class _Step:
    """Replays messages until it has had `limit` of them or its time is over; what comes then is left."""

    def __init__(self, bus: Bus, rejected: RejectedMessages, limit: int, deadline: float) -> None:
        self._bus = bus
        self._rejected = rejected
        self._limit = limit
        self._waiting: list[Outgoing] = []
        self.deadline = deadline
        self.is_over = False
        self.last_seq = 0
        self.replayed = 0
        self.published = 0
        self.refused = 0
        self.refusals: list[RefusedReplay] = []
        self.left = 0

    async def take(self, seq: int, message: RejectedMessage) -> None:
        """Replay a message, or count it. BusUnavailable: some may be published; the same step again adds nothing."""
        handled = self.replayed + self.refused
        if handled == self._limit or (handled and time.monotonic() > self.deadline):
            self.is_over = True
        if self.is_over:
            self.left += 1
            return
        self.last_seq = seq
        try:
            outgoing, _ = self._rejected.again(seq, message)
        except RpcError as error:
            self.refused += 1
            if len(self.refusals) < _MOST_REFUSALS:
                self.refusals.append(RefusedReplay(seq=seq, code=error.problem.code, message=error.problem.detail))
            return
        self.replayed += 1
        self._waiting += outgoing
        if len(self._waiting) >= _FLUSH:
            await self.flush()

    def looked_at(self, seq: int) -> None:
        """All up to a seq was looked at: where nothing of it has the cause, the next step need not look again."""
        if not self.is_over:
            self.last_seq = seq
            self.is_over = time.monotonic() > self.deadline

    async def flush(self) -> None:
        """Publish what waits, in its order; a batch is of one stream."""
        for _, together in groupby(self._waiting, lambda each: each.subject.startswith(_OF_READINGS)):
            batch = list(together)
            await self._bus.publish_batch(batch, deadline_s=3.0)
            self.published += len(batch)
        self._waiting.clear()
