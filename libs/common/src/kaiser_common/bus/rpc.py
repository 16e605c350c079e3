"""Asks another service over NATS, with typed requests, answers and problems. Answering is in requests.py."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import structlog
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError

from kaiser_common.bus.connection import Bus
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import RANKS, Problem, Role
from kaiser_common.contract.subjects import rpc_subject
from kaiser_common.contract.wording import first_of, reason_of

log = structlog.get_logger()

AnswerT = TypeVar("AnswerT", bound=BaseModel)
ItemT_co = TypeVar("ItemT_co", covariant=True)

PROBLEM = "Kaiser-Problem"
CALLER = "Kaiser-Caller"
DEADLINE = "Kaiser-Deadline"
ASKED = "Kaiser-Asked"
MISSING_FIELD, TYPE_MISMATCH = Code.MISSING_REQUIRED_FIELD, Code.FIELD_TYPE_MISMATCH
OUT_OF_RANGE, UNAVAILABLE, TIMEOUT = Code.VALUE_OUT_OF_RANGE, Code.DEPENDENCY_MISSING, Code.OPERATION_TIMEOUT
FAILED, DENIED, NO_CALLER = Code.PROCESSING_FAILED, Code.PERMISSION_DENIED, Code.CALLER_MISSING
NO_DATABASE = Code.CONNECTION_FAILED


class Caller(BaseModel):
    """The user or service on whose behalf a request is made; owners write it to their audit log. A request without one
    is refused.

    user: a person, or the service that asks on its own account. address: of the client from which a person asks; a
    service has none. role: viewer, operator or admin; a service's own is the
    least that a person would need for the same. deadline_ms: when the caller stops waiting (ms since 1970), None if
    unknown. The owner must not act on the request after it. asked_ms: when the request was made, by the clock of the
    process that the person asked; it may have waited since. None if unknown.
    """

    model_config = ConfigDict(frozen=True)

    user: str = Field(min_length=1, max_length=200)
    role: str = Field(min_length=1, max_length=32)
    request_id: str = ""
    address: str = Field(default="", max_length=64)
    deadline_ms: int | None = Field(default=None, exclude=True)
    asked_ms: int | None = Field(default=None, exclude=True)


class RpcError(Exception):
    """The owner refused a request, or did not answer (status 504, code 5403)."""

    def __init__(self, status: int, code: int, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.problem = Problem(status=status, code=int(code), detail=detail, field=field)


class NotRunning(RpcError):
    """No process answers for a service (504, 5403)."""

    def __init__(self, service: str) -> None:
        super().__init__(504, TIMEOUT, f"service {service} is not running")
        self.service = service


class CallerMissing(RpcError):
    """A request names no caller (403, 5408): an owner acts only for a named caller."""

    def __init__(self, service: str) -> None:
        super().__init__(
            403, NO_CALLER, f"the request to service {service} does not name a caller in the header {CALLER}"
        )


async def call(
    bus: Bus,
    service: str,
    method: str,
    request: BaseModel,
    answer: type[AnswerT],
    *,
    caller: Caller,
    timeout_s: float = 5.0,
) -> AnswerT:
    """Ask the owning service. Raises as `call_for_json`, and RpcError (502, 5407) when the answer is no `answer`, as of
    another version."""
    body = await call_for_json(bus, service, method, request, caller=caller, timeout_s=timeout_s)
    try:
        return answer.model_validate_json(body)
    except ValidationError as error:
        raise not_understood(service, method, error) from error


def not_understood(service: str, method: str, error: Exception) -> RpcError:
    """The error of an answer that cannot be read (502, 5407), as of another version of a service. The log says why."""
    log.error("answer_not_understood", asked=service, method=method, error=str(error))
    return RpcError(502, FAILED, f"service {service} sent an answer that cannot be read")


async def call_for_json(
    bus: Bus, service: str, method: str, request: BaseModel, *, caller: Caller, timeout_s: float = 5.0
) -> bytes:
    """Ask the owning service for its answer as JSON, as it sent it: a page of 10,000 items that is only passed on needs
    no decoding, which would hold up the event loop for a tenth of a second.

    Raises RpcError, also (422, 5209) for text that is no Unicode, and (504, 5403) without an answer within `timeout_s`,
    of which NotRunning where no process is there to answer.
    """
    asked_ms = time.time_ns() // 1_000_000
    deadline_ms = asked_ms + int(timeout_s * 1000)
    headers = {CALLER: caller.model_dump_json(), ASKED: str(asked_ms), DEADLINE: str(deadline_ms)}
    try:
        body = request.model_dump_json().encode()
    except PydanticSerializationError as error:
        text = "the request has text that is no Unicode: half a surrogate pair"
        raise RpcError(422, Code.JSON_PARSE_ERROR, text) from error
    try:
        reply = await bus.client.request(rpc_subject(service, method), body, timeout=timeout_s, headers=headers)
    except MaxPayloadError as error:
        raise RpcError(413, OUT_OF_RANGE, f"the request to {service} is larger than the bus allows") from error
    except NoRespondersError as error:
        raise NotRunning(service) from error
    except (NatsError, TimeoutError, OSError) as error:
        raise RpcError(504, TIMEOUT, f"service {service} did not answer within {timeout_s:g} s") from error
    if reply.headers and PROBLEM in reply.headers:
        problem = Problem.model_validate_json(reply.data)
        raise RpcError(problem.status, problem.code, problem.detail, problem.field)
    return reply.data


class ListPage(Protocol[ItemT_co]):
    """A page of a list."""

    @property
    def items(self) -> Sequence[ItemT_co]: ...
    @property
    def next_cursor(self) -> str | None: ...


async def all_pages(ask: Callable[[str | None], Awaitable[ListPage[ItemT_co]]], most: int) -> list[ItemT_co]:
    """The items of the first `most` pages of a list. `ask` asks for the page behind a cursor; its errors are raised."""
    found: list[ItemT_co] = []
    cursor: str | None = None
    for _ in range(most):
        page = await ask(cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return found


def may(caller: Caller, least: Role) -> bool:
    """Whether a caller's role suffices; a role that is unknown suffices for nothing."""
    return caller.role in RANKS and RANKS[caller.role] >= RANKS[least]


def is_late(caller: Caller, now_ms: int) -> bool:
    """True once the caller waits no longer; without a deadline (a caller of an older version) never."""
    return caller.deadline_ms is not None and caller.deadline_ms <= now_ms


def unprocessable(error: ValidationError) -> RpcError:
    """The refusal of a request that its model refuses (422), with the first field that is wrong."""
    first = first_of(error.errors(include_url=False, include_input=False))
    field = ".".join(str(part) for part in first["loc"]) or None
    code = MISSING_FIELD if first["type"] == "missing" else TYPE_MISMATCH
    return RpcError(422, code, f"{field or 'request'}: {reason_of(first)}", field)
