"""The recordings that are being written and the files that are being read, each a task of the lease holder."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import until_done

from kaiser_recorder import metrics
from kaiser_recorder.consumers.topics import Following
from kaiser_recorder.domain.budget import Budget
from kaiser_recorder.jobs.importing import import_file
from kaiser_recorder.store import recordings
from kaiser_recorder.store.recordings import Active
from kaiser_recorder.store.uploads import Upload

log = structlog.get_logger()

MOST = 8
"""Recordings that may be written at once."""
_LAST_S = 10.0


class Recorders:
    """Starts and ends the tasks; used as `async with`, at whose end they are cancelled and go on at the next start."""

    def __init__(self, bus: Bus, pool: DatabasePool, budget: Budget) -> None:
        self._bus = bus
        self._pool = pool
        self._budget = budget
        self._following: dict[str, tuple[Following, asyncio.Task[None]]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self, is_ready: asyncio.Event) -> None:
        """Take up what is being written, set the event, and keep the tasks until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            await until_done(self._take_up, "recordings_not_loaded")
            is_ready.set()
            await asyncio.Event().wait()

    @property
    def count(self) -> int:
        """How many recordings are being written."""
        return len(self._following)

    def start(self, recording: Active) -> None:
        """Write a recording from TOPICS."""
        following = Following(self._bus, self._pool, self._budget, recording)
        task = self._spawn(self._follow(following), f"recording-{recording.recording_id}")
        self._following[recording.recording_id] = following, task
        metrics.RECORDING.set(self.count)

    async def stop(self, recording_id: str, last_sequence: int) -> None:
        """End a recording behind this sequence of TOPICS; what has not come within 10 s is left out.

        Database away: its error is raised, and the recording goes on."""
        following, task = self._following.get(recording_id, (None, None))
        if following is not None:
            try:
                async with asyncio.timeout(_LAST_S):
                    await following.until(last_sequence)
            except TimeoutError:
                log.warning("recording_stopped_early", recording=recording_id)
        async with self._pool.connection() as connection:
            await recordings.finish(connection, recording_id, "ready", datetime.now(UTC), None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def read_file(self, recording_id: str, upload: Upload) -> None:
        """Read a file that has come into a recording."""
        self._spawn(import_file(self._pool, self._budget, recording_id, upload), f"import-{recording_id}")

    async def _take_up(self) -> None:
        async with self._pool.connection() as connection:
            reason = "the recorder ended in the middle of the import: import the file again"
            await recordings.fail_imports(connection, datetime.now(UTC), reason)
            self._budget.set(await recordings.total_bytes(connection))
            found = await recordings.active(connection)
        for one in found:
            self.start(one)

    async def _follow(self, following: Following) -> None:
        try:
            await following.run()
        finally:
            del self._following[following.recording_id]
            metrics.RECORDING.set(self.count)
        log.warning("recording_ended", recording=following.recording_id, reason=following.reason)
        await until_done(partial(self._end, following), "recording_not_ended")

    async def _end(self, following: Following) -> None:
        async with self._pool.connection() as connection:
            await recordings.finish(connection, following.recording_id, "ready", datetime.now(UTC), following.reason)

    def _spawn(self, work: object, name: str) -> asyncio.Task[None]:
        assert self._tasks is not None, "only while running"
        create: Callable[..., asyncio.Task[None]] = self._tasks.create_task
        return create(work, name=name)
