"""Asking another service over NATS, with typed requests, answers and problems. Answering is in requests.py."""

import re
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import structlog
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kaiser_common.bus.connection import Bus
from kaiser_common.contract.subjects import rpc_subject

log = structlog.get_logger()

AnswerT = TypeVar("AnswerT", bound=BaseModel)

PROBLEM = "Kaiser-Problem"
CALLER = "Kaiser-Caller"
_OWN = re.compile(r"^(Value|Assertion) error, ")
"""What pydantic writes before the text of an error of our own."""
DEADLINE = "Kaiser-Deadline"
MISSING_FIELD, TYPE_MISMATCH, OUT_OF_RANGE, UNAVAILABLE, TIMEOUT, FAILED = 5205, 5206, 5207, 5402, 5403, 5407
DENIED, NO_CALLER = 5405, 5408
_RANKS = {"viewer": 1, "operator": 2, "admin": 3}


class Caller(BaseModel):
    """The user or service on whose behalf a request is made; owners write it to their audit log. A request without one
    is refused.

    user: a person, or the service that asks on its own account. role: viewer, operator or admin; a service's own is the
    least that a person would need for the same. deadline_ms: when the caller stops waiting (ms since 1970), None if
    unknown. The owner must not act on the request after it.
    """

    model_config = ConfigDict(frozen=True)

    user: str = Field(min_length=1, max_length=200)
    role: str = Field(min_length=1, max_length=32)
    request_id: str = ""
    deadline_ms: int | None = Field(default=None, exclude=True)


class Nothing(BaseModel):
    """A request or an answer without content."""


class Problem(BaseModel):
    """Why a request failed, as RFC 9457 needs it. `status` as in HTTP, `code` from the error codes."""

    model_config = ConfigDict(frozen=True)

    status: int
    code: int
    detail: str
    field: str | None = None


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
    """A request names no caller (403, 5408): an owner acts on nobody's behalf."""

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
    """Ask the owning service. Raises RpcError, also (504, 5403) when nobody answers within `timeout_s`, of which
    NotRunning where no process is there to answer, and (502, 5407) when the answer is no `answer`, as of another
    version."""
    deadline_ms = time.time_ns() // 1_000_000 + int(timeout_s * 1000)
    headers = {CALLER: caller.model_dump_json(), DEADLINE: str(deadline_ms)}
    try:
        reply = await bus.client.request(
            rpc_subject(service, method), request.model_dump_json().encode(), timeout=timeout_s, headers=headers
        )
    except MaxPayloadError as error:
        raise RpcError(413, OUT_OF_RANGE, f"the request to {service} is larger than the bus allows") from error
    except NoRespondersError as error:
        raise NotRunning(service) from error
    except (NatsError, TimeoutError, OSError) as error:
        raise RpcError(504, TIMEOUT, f"service {service} did not answer within {timeout_s:g} s") from error
    if reply.headers and PROBLEM in reply.headers:
        problem = Problem.model_validate_json(reply.data)
        raise RpcError(problem.status, problem.code, problem.detail, problem.field)
    try:
        return answer.model_validate_json(reply.data)
    except ValidationError as error:
        log.error("answer_not_understood", service=service, method=method, error=str(error))
        raise RpcError(502, FAILED, f"service {service} sent an answer that cannot be read") from error


def may(caller: Caller, least: str) -> bool:
    """Whether a caller's role suffices; a role that is unknown suffices for nothing."""
    return _RANKS.get(caller.role, 0) >= _RANKS[least]


def is_late(caller: Caller, now_ms: int) -> bool:
    """True once the caller waits no longer; without a deadline (a caller of an older version) never."""
    return caller.deadline_ms is not None and caller.deadline_ms <= now_ms


def unprocessable(error: ValidationError) -> RpcError:
    """The refusal of a request that its model refuses (422), with the first field that is wrong."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or None
    code = MISSING_FIELD if first["type"] == "missing" else TYPE_MISMATCH
    return RpcError(422, code, f"{field or 'request'}: {reason_of(first)}", field)


def reason_of(error: Mapping[str, Any]) -> str:
    """The reason of one of pydantic's errors, as text for the caller."""
    return "there is no such field" if error["type"] == "extra_forbidden" else _OWN.sub("", error["msg"])
