"""Writes TOPICS into one recording, from its last position until it is stopped.

Messages and the sequence that follows them are committed together, so a process that is killed goes on from its last
sequence and writes nothing twice. While the database is away the recording waits: TOPICS keeps the last 1,000 messages
of each topic, and a sequence that is gone by then is counted as missing.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.contract.subjects import TOPICS
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import until_done

from kaiser_recorder import metrics
from kaiser_recorder.domain.arrived import TakenBatch, take
from kaiser_recorder.domain.budget import Budget
from kaiser_recorder.domain.selection import Selection
from kaiser_recorder.store import recordings
from kaiser_recorder.store.recordings import Active, size_of

log = structlog.get_logger()

_FEW = 500
_TOGETHER_S = 0.2
"""The wait after few messages, so that a commit has more than one."""


class Following:
    """Writes one recording. `next_sequence`: where it goes on, None before its first batch."""

    def __init__(self, bus: Bus, pool: DatabasePool, budget: Budget, start: Active) -> None:
        self.recording_id = start.recording_id
        self.next_sequence = start.next_sequence
        self.reason: str | None = None
        """Why it ended without a request."""
        self._pool = pool
        self._budget = budget
        self._env = start.env
        self._selection = Selection(start.filters, start.dialects)
        self._messages = start.messages
        self._moved = asyncio.Event()
        self._reader = OrderedReader(
            bus, TOPICS.name, list(TOPICS.subjects), start_sequence=start.next_sequence, start_at=start.from_at
        )

    async def run(self) -> None:
        """Until cancelled, or until it may not grow any more, or is not being written any more (`reason`)."""
        async for batch in self._reader:
            if batch and not await self._on_messages(batch):
                self._reader.stop()
                break
        self._moved.set()

    async def until(self, sequence: int) -> None:
        """Wait until everything up to this sequence is written, or it has ended."""
        while self.reason is None and (self.next_sequence or 0) <= sequence:
            self._moved.clear()
            await self._moved.wait()

    async def _on_messages(self, batch: Sequence[Delivery]) -> bool:
        taken = take(batch, self._env, self._selection, self.next_sequence)
        if not self._budget.take(size_of(taken.messages)):
            self.reason = self._budget.full()
            return False
        await until_done(partial(self._write, taken), "recording_postponed")
        if self.reason is not None:
            return False
        metrics.MESSAGES.labels("live").inc(len(taken.messages))
        metrics.MISSING.inc(taken.missing)
        self._moved.set()
        if len(batch) < _FEW:
            await asyncio.sleep(_TOGETHER_S)
        return True

    async def _write(self, taken: TakenBatch) -> None:
        """One transaction. If the answer to its commit is lost, the next attempt finds it written and writes
        nothing."""
        async with self._pool.connection() as connection:
            found = await recordings.position(connection, self.recording_id)
            if found is None:
                self.reason = "it is not being written any more"
                return
            if found == (self._messages, self.next_sequence):
                await recordings.append(
                    connection, self.recording_id, self._messages, taken.messages, taken.next_sequence
                )
                if taken.missing:
                    await recordings.note_missing(connection, self.recording_id, taken.missing)
            elif found != (self._messages + len(taken.messages), taken.next_sequence):
                self.reason = "another process writes it"
                return
        self._messages += len(taken.messages)
        self.next_sequence = taken.next_sequence
