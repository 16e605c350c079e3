"""Replays of recordings, answered by recorder."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.schemas.api.recordings import RECORDING_ID
from kaiser_common.contract.schemas.api.replays import (
    ControlledReplay,
    ReplayControl,
    ReplayKey,
    ReplaysPage,
    ReplaysQuery,
    StartReplay,
)
from kaiser_common.contract.schemas.factory import FactoryReplay

from kaiser_gateway.http.auth import Guard

_WITHIN_S = 30.0

ReplayPath = Annotated[str, Path(pattern=RECORDING_ID, examples=["0a1b2c3d0a1b2c3d"])]


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/replays."""
    routes = APIRouter(prefix="/api/v1/replays", tags=["recordings"])
    viewer, operator = guard.needs("viewer"), guard.needs("operator")

    @routes.get("")
    async def list_replays(
        limit: Annotated[int, Query(ge=1, le=1000)] = 20,
        cursor: Annotated[str | None, Query(max_length=300)] = None,
        caller: Caller = viewer,
    ) -> ReplaysPage:
        """Replays, the newest first; at most one has not ended."""
        query = ReplaysQuery(limit=limit, cursor=cursor)
        return await call(bus, "recorder", "replays", query, ReplaysPage, caller=caller)

    @routes.post("", status_code=202)
    async def start_replay(body: StartReplay, caller: Caller = operator) -> FactoryReplay:
        """Replay a recording into the environment in force, which must be of kind replay; it begins empty."""
        return await call(bus, "recorder", "start_replay", body, FactoryReplay, caller=caller, timeout_s=_WITHIN_S)

    @routes.get("/{replay_id}")
    async def read_replay(replay_id: ReplayPath, caller: Caller = viewer) -> FactoryReplay:
        """A replay with its progress and its result."""
        return await call(bus, "recorder", "replay", ReplayKey(replay_id=replay_id), FactoryReplay, caller=caller)

    @routes.post("/{replay_id}/control")
    async def control_replay(replay_id: ReplayPath, body: ReplayControl, caller: Caller = operator) -> FactoryReplay:
        """Pause, resume, step, seek, stop, or another speed."""
        request = ControlledReplay(replay_id=replay_id, control=body)
        return await call(bus, "recorder", "control_replay", request, FactoryReplay, caller=caller, timeout_s=_WITHIN_S)

    return routes
