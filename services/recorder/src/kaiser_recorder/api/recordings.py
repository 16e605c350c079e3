"""Answers requests about recordings."""

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NoReturn

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.recordings import (
    RecordingDetails,
    RecordingKey,
    RecordingsPage,
    RecordingsQuery,
    SavedRecording,
    StartRecording,
)
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.subjects import TOPICS
from kaiser_common.contract.times import ms_of
from kaiser_common.runtime.cursors import to_cursor
from kaiser_common.runtime.database import DatabasePool
from kaiser_factory_dialect.priorities import shown_at
from nats.errors import Error as NatsError

from kaiser_recorder.domain.budget import Budget
from kaiser_recorder.domain.selection import chosen, seconds_back
from kaiser_recorder.jobs.recorders import MOST, Recorders
from kaiser_recorder.store import recordings, replays
from kaiser_recorder.store.recordings import Active

_WITHIN_S = 3.0


class RecordingsApi:
    """A recording that is answered is committed: it is taken up again after a kill."""

    def __init__(
        self,
        bus: Bus,
        pool: DatabasePool,
        recorders: Recorders,
        budget: Budget,
        environment: Callable[[], FactoryEnvironment | None],
        clock: Callable[[], datetime],
    ) -> None:
        self._clock = clock
        self._bus = bus
        self._pool = pool
        self._recorders = recorders
        self._budget = budget
        self._environment = environment

    async def page(self, query: RecordingsQuery, _: Caller) -> RecordingsPage:
        """A page of recordings."""
        async with self._pool.connection() as connection:
            found = await recordings.page(connection, query)
        items = found[: query.limit]
        more = len(found) > query.limit
        return RecordingsPage(
            items=items,
            next_cursor=to_cursor(items[-1].created_at, items[-1].recording_id) if more else None,
            bytes=self._budget.used,
            bytes_limit=self._budget.limit,
        )

    async def read(self, request: RecordingKey, _: Caller) -> RecordingDetails:
        """A recording with the lines that were skipped."""
        async with self._pool.connection() as connection:
            found = await recordings.details(connection, request.recording_id)
        return found or _unknown(request.recording_id)

    async def start(self, request: StartRecording, caller: Caller) -> SavedRecording:
        """Record from now on, or from before. 422: a filter or span is none; 409: as many as may be are written."""
        filters = _filters(request)
        from_at = _from_at(request, self._clock())
        environment = self._environment()
        if environment is None:
            raise RpcError(
                503, Code.DEPENDENCY_MISSING, "no environment of the factory is in force, so there is nothing to record"
            )
        if self._recorders.count >= MOST:
            text = f"at most {MOST} recordings are written at a time: stop one"
            raise RpcError(409, Code.VALUE_OUT_OF_RANGE, text)
        if not self._budget.take(0):
            raise RpcError(409, Code.VALUE_OUT_OF_RANGE, self._budget.full())
        now = self._clock()
        recording = SavedRecording(
            recording_id=secrets.token_hex(8),
            name=request.name,
            note=request.note,
            source="live",
            state="recording",
            env=environment.env,
            filters=list(filters),
            dialects=request.dialects,
            created_at=ms_of(now),
            created_by=caller.user,
        )
        next_sequence = None if from_at is not None else await self._last_sequence() + 1
        async with self._pool.connection() as connection:
            await recordings.insert(connection, recording, now, from_at=from_at, next_sequence=next_sequence)
        self._recorders.start(
            Active(
                recording.recording_id,
                environment.env,
                recording.filters,
                list(recording.dialects),
                next_sequence,
                from_at,
                messages=0,
            )
        )
        return recording

    async def stop(self, request: RecordingKey, _: Caller) -> SavedRecording:
        """End a recording with what TOPICS has now. 409: it is not being written."""
        async with self._pool.connection() as connection:
            found = await recordings.read(connection, request.recording_id)
        if (found or _unknown(request.recording_id)).state != "recording":
            text = f"recording {request.recording_id} is not being written"
            raise RpcError(409, Code.STATE_CHANGED, text, "recording_id")
        await self._recorders.stop(request.recording_id, await self._last_sequence())
        async with self._pool.connection() as connection:
            return await recordings.read(connection, request.recording_id) or _unknown(request.recording_id)

    async def delete(self, request: RecordingKey, _: Caller) -> Nothing:
        """Delete a recording. 409: it is being written, or replayed."""
        async with self._pool.connection() as connection:
            if await replays.is_replayed(connection, request.recording_id):
                text = f"recording {request.recording_id} is being replayed: stop the replay first"
                raise RpcError(409, Code.STATE_CHANGED, text, "recording_id")
            if await recordings.delete(connection, request.recording_id):
                return Nothing()
            found = await recordings.read(connection, request.recording_id)
        if found is None:
            _unknown(request.recording_id)
        text = f"recording {request.recording_id} is being written: stop it first"
        raise RpcError(409, Code.STATE_CHANGED, text, "recording_id")

    async def _last_sequence(self) -> int:
        """The last sequence of TOPICS. 503: NATS does not say."""
        try:
            async with asyncio.timeout(_WITHIN_S):
                return (await self._bus.jetstream.stream_info(TOPICS.name)).state.last_seq
        except (NatsError, TimeoutError) as error:
            text = "NATS does not answer: try again later"
            raise RpcError(503, Code.DEPENDENCY_MISSING, text) from error


def _filters(request: StartRecording) -> tuple[str, ...]:
    if request.priority is not None:
        return shown_at(request.priority)
    try:
        return chosen(request.filters or ())
    except ValueError as error:
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, str(error), "filters") from error


def _from_at(request: StartRecording, now: datetime) -> datetime | None:
    if request.from_ is None:
        return None
    try:
        return now - timedelta(seconds=seconds_back(request.from_))
    except ValueError as error:
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, str(error), "from") from error


def _unknown(recording_id: str) -> NoReturn:
    raise RpcError(404, Code.NOT_FOUND, f"there is no recording {recording_id}", "recording_id")
