"""Asks NATS how many messages of replays are on the OUTBOX (never more than 500), how far the last one was put there,
and how many were refused."""

import asyncio
from typing import Any

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.pull import stream_info
from kaiser_common.contract.schemas.factory import ReplayPlace
from kaiser_common.contract.subjects import OUTBOX, REJECTED, REPLAY_PLACE, replay_rejected_subject
from kaiser_factory_dialect.subjects import outbox_subject
from nats.js.errors import NotFoundError
from pydantic import ValidationError

log = structlog.get_logger()

_ASK_S = 3.0
AHEAD = 499
"""With the place there are 500."""
_TOGETHER = 250
_WANTED = {"subjects_filter": outbox_subject("replay", None).removesuffix("_") + ">"}


class Ahead:
    """Asks NATS only when there may be too many: between two answers it counts what is put there."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._most = AHEAD

    async def room(self) -> int:
        """How many more may be put there now, at most 250."""
        if self._most > AHEAD - _TOGETHER:
            self._most = await self.count()
        return max(0, min(_TOGETHER, AHEAD - self._most))

    def put(self, count: int) -> None:
        """So many were put there."""
        self._most += count

    async def count(self) -> int:
        """How many are there; 500 where NATS does not say."""
        answer: dict[str, Any] = await stream_info(self._bus, OUTBOX.name, _WANTED)
        if "state" not in answer:
            return AHEAD
        return sum((answer["state"].get("subjects") or {}).values())


async def refused_so_far(bus: Bus, replay_id: str) -> int | None:
    """How many messages of a replay ingest or the broker has refused; each is on REJECTED. None: NATS does not say."""
    wanted = {"subjects_filter": replay_rejected_subject("*", replay_id)}
    answer: dict[str, Any] = await stream_info(bus, REJECTED.name, wanted)
    return sum((answer["state"].get("subjects") or {}).values()) if "state" in answer else None


async def last_place(bus: Bus) -> ReplayPlace | None:
    """How far the messages of the last replay are on the OUTBOX, also of those that are gone from there; None: no
    replay of the last day had one. Raises nats.errors.Error, OSError, TimeoutError."""
    try:
        async with asyncio.timeout(_ASK_S):
            found = await bus.jetstream.get_last_msg(OUTBOX.name, REPLAY_PLACE, direct=True)
    except NotFoundError:
        return None
    try:
        return ReplayPlace.model_validate_json(found.data or b"")
    except ValidationError as error:
        log.error("replay_place_unreadable", error=str(error))
        return None
