"""Answers requests about replays."""

import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import NoReturn

from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.replays import (
    ControlledReplay,
    ReplayKey,
    ReplaysPage,
    ReplaysQuery,
    StartReplay,
)
from kaiser_common.contract.schemas.factory import FactoryEnvironment, FactoryReplay
from kaiser_common.runtime.cursors import to_cursor
from kaiser_common.runtime.database import DatabasePool

from kaiser_recorder.domain.selection import chosen
from kaiser_recorder.domain.verdict import fault_of
from kaiser_recorder.jobs.replaying import Replaying
from kaiser_recorder.store import Connection, recordings, replays
from kaiser_recorder.store.replays import Replay


class ReplaysApi:
    """A replay that is answered is committed: it goes on after a kill."""

    def __init__(
        self,
        pool: DatabasePool,
        replaying: Replaying,
        environment: Callable[[], FactoryEnvironment | None],
        clock: Callable[[], datetime],
    ) -> None:
        self._clock = clock
        self._pool = pool
        self._replaying = replaying
        self._environment = environment

    async def start(self, request: StartReplay, caller: Caller) -> FactoryReplay:
        """Begin a replay. 409 (5405): the environment in force is none of kind replay; 409 (5414): another one is not
        at its end, or the recording is not ready; 404: there is no such recording."""
        environment = self._environment()
        if environment is None:
            raise RpcError(503, Code.DEPENDENCY_MISSING, "no environment of the factory is in force")
        if environment.kind != "replay":
            text = f"replays run in an environment of kind replay; {environment.env} is of kind {environment.kind}"
            raise RpcError(409, Code.PERMISSION_DENIED, f"{text}: switch the environment first")
        if request.armed is not None and request.armed != environment.env:
            text = f"armed must repeat the name of the environment, {environment.env}"
            raise RpcError(422, Code.VALUE_OUT_OF_RANGE, text, "armed")
        if request.expect is not None:
            _check_expectation(request.expect)
        filters = None if request.filter is None else _chosen(request.filter, "filter")
        exclude = _chosen(request.exclude, "exclude")
        async with self._pool.connection() as connection:
            replay = await self._new(connection, request, environment, caller)
            replay = replace(replay, filters=filters, exclude=exclude)
            if not await replays.add(connection, replay):
                text = "another replay is not at its end: stop it first"
                raise RpcError(409, Code.STATE_CHANGED, text)
        self._replaying.start(replay)
        return replay.shown(self._clock())

    async def page(self, query: ReplaysQuery, _: Caller) -> ReplaysPage:
        """A page of replays."""
        async with self._pool.connection() as connection:
            found = await replays.page(connection, query)
        now = self._clock()
        items = [each.shown(now) for each in found[: query.limit]]
        more = len(found) > query.limit
        return ReplaysPage(
            items=items, next_cursor=to_cursor(items[-1].created_at, items[-1].replay_id) if more else None
        )

    async def read(self, request: ReplayKey, _: Caller) -> FactoryReplay:
        """A replay, as far as it is."""
        player = self._replaying.player_of(request.replay_id)
        if player is not None:
            return player.replay.shown(self._clock())
        async with self._pool.connection() as connection:
            found = await replays.read(connection, request.replay_id)
        return (found or _unknown(request.replay_id)).shown(self._clock())

    async def control(self, request: ControlledReplay, _: Caller) -> FactoryReplay:
        """Pause, resume, step, seek, stop, or another speed. 409 (5414): it is at its end."""
        player = self._replaying.player_of(request.replay_id)
        if player is not None and player.replay.phase != "ending":
            return await player.control(request.control)
        async with self._pool.connection() as connection:
            found = await replays.read(connection, request.replay_id)
        if found is None:
            _unknown(request.replay_id)
        raise RpcError(409, Code.STATE_CHANGED, f"replay {request.replay_id} is at its end", "replay_id")

    async def _new(
        self, connection: Connection, request: StartReplay, environment: FactoryEnvironment, caller: Caller
    ) -> Replay:
        recording = await recordings.read(connection, request.recording)
        if recording is None:
            text = f"there is no recording {request.recording}"
            raise RpcError(404, Code.NOT_FOUND, text, "recording")
        if recording.state != "ready":
            text = f"recording {request.recording} is {recording.state}: it is replayed once it is ready"
            raise RpcError(409, Code.STATE_CHANGED, text, "recording")
        first_us, last_us = await replays.span(connection, request.recording)
        begin = 0
        if request.from_:
            begin = await replays.number_before(connection, request.recording, first_us + request.from_ * 1000)
        end = recording.messages
        if request.to is not None:
            end = await replays.number_before(connection, request.recording, first_us + request.to * 1000)
        if begin >= end:
            raise RpcError(422, Code.VALUE_OUT_OF_RANGE, "the recording has no message between from and to", "from")
        now = self._clock()
        return Replay(
            replay_id=secrets.token_hex(8),
            recording_id=request.recording,
            env=environment.env,
            epoch=environment.epoch,
            state="paused" if request.paused else "running",
            phase="entering",
            ends_as=None,
            reason=None,
            speed=request.speed if isinstance(request.speed, float) else None,
            filters=None,
            exclude=[],
            begin_number=begin,
            end_number=end,
            number=begin,
            turn=1,
            first_us=first_us,
            last_us=last_us,
            position_us=first_us + request.from_ * 1000,
            repeats=request.loop,
            shift=str(request.shift),
            shift_ms=0,
            armed=request.armed is not None,
            expected=request.expect,
            sent=0,
            left_out=0,
            failed=0,
            refused=0,
            drift_ms=0,
            passed=None,
            differences=[],
            created_at=now.replace(microsecond=now.microsecond // 1000 * 1000),
            created_by=caller.user,
            ended_at=None,
        )


def _chosen(filters: Iterable[str], field: str) -> list[str]:
    try:
        return list(chosen(filters))
    except ValueError as error:
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, str(error), field) from error


def _check_expectation(expect: dict[str, object]) -> None:
    if (fault := fault_of(expect)) is not None:
        raise RpcError(422, Code.FIELD_TYPE_MISMATCH, f"expect: {fault}", "expect")
    if "\\u0000" in json.dumps(expect):
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, "expect: a value contains the character U+0000", "expect")


def _unknown(replay_id: str) -> NoReturn:
    raise RpcError(404, Code.NOT_FOUND, f"there is no replay {replay_id}", "replay_id")
