"""Imports an uploaded file into the messages of a recording.

The file is read in a thread, in parts that are committed one by one. Database away: the part waits. Killed: the import
has failed, and what was written of it is removed.
"""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import structlog
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import until_done
from kaiser_factory_dialect.recordings import Recorded, Recording

from kaiser_recorder import metrics
from kaiser_recorder.domain.budget import Budget
from kaiser_recorder.store import recordings
from kaiser_recorder.store.files import NoRecording, parts_of
from kaiser_recorder.store.recordings import size_of
from kaiser_recorder.store.uploads import Upload

log = structlog.get_logger()

_LONGEST_META = 65_536


async def import_file(pool: DatabasePool, budget: Budget, recording_id: str, upload: Upload) -> None:
    """Read the file; then it is removed, and the recording is ready, or has failed with the reason."""
    found = Recording()
    reason: str | None = None
    try:
        written = await _write_parts(
            pool, budget, recording_id, parts_of(upload.path, upload.filename, upload.offset_us, found)
        )
        if not written:
            reason = "the file has no message"
    except NoRecording as error:
        reason = str(error)
    finally:
        upload.path.unlink(missing_ok=True)
    log.info("recording_imported", recording=recording_id, bad_lines=found.bad_lines, reason=reason)
    await until_done(partial(_finish, pool, recording_id, found, reason), "import_not_finished")


async def _write_parts(pool: DatabasePool, budget: Budget, recording_id: str, parts: Iterator[list[Recorded]]) -> int:
    """Write all parts; how many messages they had."""
    written = 0
    while (part := await asyncio.to_thread(next, parts, None)) is not None:
        if not budget.take(size_of(part)):
            raise NoRecording(budget.full())
        await until_done(partial(_write, pool, recording_id, written, part), "import_postponed")
        written += len(part)
        metrics.MESSAGES.labels("import").inc(len(part))
    return written


async def _write(pool: DatabasePool, recording_id: str, after: int, part: list[Recorded]) -> None:
    async with pool.connection() as connection:
        if await recordings.position(connection, recording_id) == (after, None):
            await recordings.append(connection, recording_id, after, part, None)


async def _finish(pool: DatabasePool, recording_id: str, found: Recording, reason: str | None) -> None:
    meta = json.dumps(found.meta) if found.meta else None
    async with pool.connection() as connection:
        await recordings.note_file(
            connection,
            recording_id,
            naive=found.naive,
            bad_lines=found.bad_lines,
            skipped=found.skipped,
            meta=meta if meta is not None and len(meta) <= _LONGEST_META else None,
        )
        await recordings.finish(
            connection, recording_id, "ready" if reason is None else "failed", datetime.now(UTC), reason
        )
