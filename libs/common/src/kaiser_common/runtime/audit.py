"""Records each change that a person asks for on the stream AUDIT, from which health stores it.

The functions of a service are wrapped for it. A change is recorded as `begun` before it is made, and again with its
outcome afterwards, so no change is without a record, wherever the service is killed. If NATS does not accept the first
record, the change is refused (503). An urgent change (an emergency stop) is made first and recorded afterwards; if the
service is killed in between, its audit record is lost, but the events of the stop remain.
"""

import asyncio
import functools
from typing import Any, NamedTuple

import structlog
from pydantic import BaseModel

from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.bus.requests import Answering
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.rpc import Audited, Nothing, RpcMethod
from kaiser_common.contract.schemas.audit import AuditRecord
from kaiser_common.contract.subjects import audit_subject
from kaiser_common.runtime.clock import now_ms

log = structlog.get_logger()

_WITHIN_S = 2.0
_MOST_CHARACTERS = 32_768
"""Of what it was before, and of what it is after."""
_MOST_TARGET = 300


class ReadBefore(NamedTuple):
    """The method that reads what is changed: its function, the model of its request, and what is an outage to it."""

    function: Answering[Any, Any]
    request: type[BaseModel]
    unavailable: tuple[type[Exception], ...]


def audited(
    bus: Bus, row: RpcMethod, change: Audited, function: Answering[Any, Any], reading: ReadBefore | None
) -> Answering[Any, Any]:
    """The function of a method, with a record of each call that comes from somebody's address.

    Services ask on their own account without an address: their own records (executions, history) have what they do.
    """

    @functools.wraps(function)
    async def recorded(request: BaseModel, caller: Caller) -> BaseModel:
        if not caller.address:
            unrecorded: BaseModel = await function(request, caller)
            return unrecorded
        before = await _before(change, reading, request, caller) if reading is not None else None
        begun = AuditRecord(
            key=bus.message_id(),
            at=now_ms(),
            service=row.service,
            action=change.action,
            target=target_of(change, request),
            actor=caller.user,
            role=caller.role,
            address=caller.address,
            request_id=caller.request_id,
            outcome="begun",
            before=before,
        )
        if not change.urgent:
            await _publish(bus, begun)
        end: dict[str, Any] = {"outcome": "failed"}
        try:
            answer: BaseModel = await function(request, caller)
            after = None if isinstance(answer, Nothing) else shown(change, request, answer)
            end = {"outcome": "done", "target": target_of(change, request, answer), "after": after}
        except RpcError as error:
            end = {"outcome": "refused", "detail": f"{error} ({error.problem.code})"}
            raise
        finally:
            await _publish_end(bus, begun.model_copy(update=end))
        return answer

    return recorded


async def _before(change: Audited, reading: ReadBefore, request: BaseModel, caller: Caller) -> dict[str, Any] | None:
    """The state before a change; None if there is none, or it cannot be read now."""
    unreadable: tuple[type[Exception], ...] = (RpcError, TimeoutError, *reading.unavailable)
    try:
        answer = await reading.function(request_to_read(reading.request, request), caller)
    except unreadable as error:
        if not isinstance(error, RpcError):
            log.warning("audit_before_not_read", action=change.action, error=str(error) or type(error).__name__)
        return None
    return shown(change, request, answer)


async def _publish(bus: Bus, record: AuditRecord) -> None:
    body = record.model_dump_json(exclude_none=True).encode()
    await bus.publish(audit_subject(record.service), body, f"{record.key}-{record.outcome}", deadline_s=_WITHIN_S)


async def _publish_end(bus: Bus, record: AuditRecord) -> None:
    """That it could not be recorded how a change ended is no reason to fail it: its record stays `begun`."""
    try:
        async with asyncio.timeout(_WITHIN_S):
            await _publish(bus, record)
    except (BusUnavailable, TimeoutError) as error:
        log.warning("audit_end_not_recorded", key=record.key, action=record.action, error=str(error))


def request_to_read(model: type[BaseModel], request: BaseModel) -> BaseModel:
    """The request to the method that reads, of the fields that both have; of a list its longest page."""
    given = {name: value for name, value in flat(request).items() if name in model.model_fields}
    return model.model_validate({**given, **({"limit": 1000} if "cursor" in model.model_fields else {})})


def shown(change: Audited, request: BaseModel, answer: BaseModel) -> dict[str, Any] | None:
    """The part of an answer that the change is about: its field `of`, and of a list the item with the request's key."""
    found: Any = answer.model_dump(mode="json", exclude_none=True)
    if change.of and change.of in type(answer).model_fields:
        found = found.get(change.of)
    if isinstance(found, list):
        key = {name: value for name, value in flat(request).items() if name in change.target}
        found = next((item for item in found if all(item.get(name, "") == key[name] for name in key)), None)
    return bounded(found) if found else None


def target_of(change: Audited, request: BaseModel, answer: BaseModel | None = None) -> str:
    """The target of a change: the values of its fields, from the answer if the request lacks them. Without any value it
    is the name that the request gives, or "all"."""
    values = {**(flat(answer) if answer is not None else {}), **flat(request)}
    parts = [str(values[name]) for name in change.target if values.get(name) not in (None, "")]
    return ("/".join(parts) or str(values.get("name") or "all"))[:_MOST_TARGET]


def flat(model: BaseModel) -> dict[str, Any]:
    """The fields that are given, and those of the objects in them: a key may be a part of its request."""
    found = model.model_dump(mode="json", exclude_none=True)
    inner = {name: value for part in found.values() if isinstance(part, dict) for name, value in part.items()}
    return {**inner, **found}


def bounded(value: dict[str, Any]) -> dict[str, Any]:
    """A value as it is stored; one that is too large by its size alone."""
    size = len(str(value))
    return value if size <= _MOST_CHARACTERS else {"omitted": f"{size} characters"}
