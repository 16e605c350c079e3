"""Rejected messages, answered by ingest."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.bounds import MAX_EXACT
from kaiser_common.contract.schemas.api.messages import CheckedMessage
from kaiser_common.contract.schemas.api.rejected import (
    CauseReplay,
    CausesPage,
    CausesQuery,
    Encoding,
    FixedMessage,
    FixRejected,
    MessageFix,
    RejectedItem,
    RejectedKey,
    RejectedPage,
    RejectedQuery,
    ReplayAnswer,
    ReplayedCause,
    ReplayRequest,
)

from kaiser_gateway.http.auth import Guard

Seq = Annotated[int, Path(ge=1, le=MAX_EXACT, examples=[4711])]


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/rejected."""
    routes = APIRouter(prefix="/api/v1/rejected", tags=["rejected messages"])
    operator = guard.needs("operator")

    @routes.get("")
    async def list_rejected(
        code: Annotated[int | None, Query(ge=5000, le=5999)] = None,
        esp_id: Annotated[str | None, Query(pattern=r"^[A-Z0-9_]{1,32}$")] = None,
        serial: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")] = None,
        cursor: Annotated[int | None, Query(ge=1, le=MAX_EXACT)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        encoding: Encoding = "text",
        caller: Caller = operator,
    ) -> RejectedPage:
        """Rejected messages of the last seven days, newest first, each with its reason. serial: the one of a module,
        AGV or TXT of the factory, instead of esp_id.
        """
        query = RejectedQuery(code=code, esp_id=esp_id, serial=serial, before=cursor, limit=limit, encoding=encoding)
        return await call(bus, "ingest", "rejected_list", query, RejectedPage, caller=caller)

    @routes.get("/causes")
    async def list_causes(
        code: Annotated[int | None, Query(ge=5000, le=5999)] = None,
        esp_id: Annotated[str | None, Query(pattern=r"^[A-Z0-9_]{1,32}$")] = None,
        serial: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")] = None,
        topic: Annotated[str | None, Query(min_length=1, max_length=1024)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        caller: Caller = operator,
    ) -> CausesPage:
        """The causes of the rejected messages, the most frequent first: code, field that was wrong, and sender, each
        with the number of its messages and the text of the newest."""
        query = CausesQuery(code=code, esp_id=esp_id, serial=serial, topic=topic, limit=limit)
        return await call(bus, "ingest", "rejected_causes", query, CausesPage, caller=caller, timeout_s=10.0)

    @routes.post("/replay")
    async def replay_cause(body: CauseReplay, caller: Caller = operator) -> ReplayedCause:
        """Validate the rejected messages of a cause again, oldest first: one step of at most 1,000 messages and about
        3 s. While `next_cursor` is not null, ask again with it as `after`, and with the same `through`. A step that is
        repeated stores nothing twice."""
        return await call(bus, "ingest", "rejected_replay_cause", body, ReplayedCause, caller=caller, timeout_s=20.0)

    @routes.get("/{seq}")
    async def read_rejected(seq: Seq, caller: Caller = operator) -> RejectedItem:
        """One rejected message."""
        return await call(bus, "ingest", "rejected_item", RejectedKey(seq=seq), RejectedItem, caller=caller)

    @routes.post("/{seq}/check")
    async def validate_correction(seq: Seq, body: MessageFix, caller: Caller = operator) -> CheckedMessage:
        """Ingest's verdict on the message as it is given here; nothing is published."""
        return await call(
            bus, "ingest", "rejected_check", FixRejected(seq=seq, fix=body), CheckedMessage, caller=caller
        )

    @routes.post("/{seq}/fix")
    async def replay_correction(seq: Seq, body: MessageFix, caller: Caller = operator) -> FixedMessage:
        """Take the message in as it should have been, as if it had come so at the time at which it came. 422 with the
        reason if it is rejected again; the rejected message stays as it is."""
        return await call(bus, "ingest", "rejected_fix", FixRejected(seq=seq, fix=body), FixedMessage, caller=caller)

    @routes.post("/{seq}/replay")
    async def replay_rejected(seq: Seq, caller: Caller = operator) -> ReplayAnswer:
        """Validate a message again, as if it had just arrived: for example after its device was registered."""
        return await call(bus, "ingest", "rejected_replay", ReplayRequest(seq=seq), ReplayAnswer, caller=caller)

    return routes
