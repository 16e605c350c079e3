"""Request and reply between services, with typed requests, answers and problems."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kaiser_common.bus import metrics
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.contract.schemas.nul import field_with_nul
from kaiser_common.contract.subjects import rpc_subject

log = structlog.get_logger()

RequestT = TypeVar("RequestT", bound=BaseModel)
AnswerT = TypeVar("AnswerT", bound=BaseModel)

_PROBLEM = "Kaiser-Problem"
_CALLER = "Kaiser-Caller"
_OWN = re.compile(r"^(Value|Assertion) error, ")
"""What pydantic writes before the text of an error of our own."""
_DEADLINE = "Kaiser-Deadline"
_MISSING_FIELD, _TYPE_MISMATCH, _OUT_OF_RANGE, _UNAVAILABLE, _TIMEOUT, _FAILED = 5205, 5206, 5207, 5402, 5403, 5407
_DENIED, _NO_CALLER = 5405, 5408
_RANKS = {"viewer": 1, "operator": 2, "admin": 3}
_AT_ONCE = 64


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
        super().__init__(504, _TIMEOUT, f"service {service} is not running")
        self.service = service


class CallerMissing(RpcError):
    """A request names no caller (403, 5408): an owner acts on nobody's behalf."""

    def __init__(self, service: str) -> None:
        super().__init__(
            403, _NO_CALLER, f"the request to service {service} does not name a caller in the header {_CALLER}"
        )


@dataclass(frozen=True, slots=True)
class Method(Generic[RequestT, AnswerT]):
    """A method of a service: the model of its request, what answers it, and the least role that a caller needs. The
    handler raises RpcError to refuse."""

    request: type[RequestT]
    handler: Callable[[RequestT, Caller], Awaitable[AnswerT]]
    least: Literal["viewer", "operator", "admin"] = "viewer"


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
    headers = {_CALLER: caller.model_dump_json(), _DEADLINE: str(deadline_ms)}
    try:
        reply = await bus.client.request(
            rpc_subject(service, method), request.model_dump_json().encode(), timeout=timeout_s, headers=headers
        )
    except MaxPayloadError as error:
        raise RpcError(413, _OUT_OF_RANGE, f"the request to {service} is larger than the bus allows") from error
    except NoRespondersError as error:
        raise NotRunning(service) from error
    except (NatsError, TimeoutError, OSError) as error:
        raise RpcError(504, _TIMEOUT, f"service {service} did not answer within {timeout_s:g} s") from error
    if reply.headers and _PROBLEM in reply.headers:
        problem = Problem.model_validate_json(reply.data)
        raise RpcError(problem.status, problem.code, problem.detail, problem.field)
    try:
        return answer.model_validate_json(reply.data)
    except ValidationError as error:
        log.error("answer_not_understood", service=service, method=method, error=str(error))
        raise RpcError(502, _FAILED, f"service {service} sent an answer that cannot be read") from error


@asynccontextmanager
async def serve(
    bus: Bus,
    service: str,
    methods: Mapping[str, Method[Any, Any]],
    *,
    unavailable: tuple[type[Exception], ...] = (),
    always: frozenset[str] = frozenset(),
) -> AsyncIterator[None]:
    """Answer requests to `service` while the context is open; replicas share the work as a queue group.

    At most 64 requests run concurrently; further ones get a 503 immediately, except for the methods in `always`, of
    which another 64 may run (an emergency stop does not wait behind commands). A request whose caller has stopped
    waiting (its deadline, by the clocks of both machines) is refused with 504 and code 5403, except for `always`: a
    stop is never too late. `unavailable` lists the exceptions that mean an outage (such as a database error): they
    become a 503 with code 5402.
    """
    running: set[asyncio.Task[None]] = set()

    async def on_request(message: Msg) -> None:
        name = message.subject.rpartition(".")[2]
        if len(running) >= (2 * _AT_ONCE if name in always else _AT_ONCE):
            await _refuse(bus, message, RpcError(503, _UNAVAILABLE, f"service {service} is busy, try again"))
            return
        task = asyncio.create_task(
            _answer(bus, service, methods, message, unavailable, always=name in always), name=message.subject
        )
        running.add(task)
        task.add_done_callback(running.discard)

    subscription = await bus.client.subscribe(
        rpc_subject(service, "ANY").removesuffix("ANY") + "*", queue=service, cb=on_request
    )
    try:
        yield
    finally:
        try:
            await subscription.unsubscribe()
        except NatsError as error:
            log.debug("unsubscribe_failed", error=str(error))
        if running:
            await asyncio.wait(running, timeout=5.0)
        for task in running:
            task.cancel()


async def _answer(
    bus: Bus,
    service: str,
    methods: Mapping[str, Method[Any, Any]],
    message: Msg,
    unavailable: tuple[type[Exception], ...],
    *,
    always: bool,
) -> None:
    name = message.subject.rpartition(".")[2]
    started = time.perf_counter()
    result = "ok"
    expected: tuple[type[Exception], ...] = (*unavailable, BusUnavailable)
    try:
        caller = _caller(service, message)
        if is_late(caller, time.time_ns() // 1_000_000) and not always:
            raise RpcError(504, _TIMEOUT, f"the request reached service {service} after its caller had stopped waiting")
        method = methods.get(name)
        if method is None:
            raise RpcError(404, _FAILED, f"service {service} has no method {name!r}")
        if not may(caller, method.least):
            raise RpcError(
                403, _DENIED, f"{name} requires the role {method.least}; {caller.user} has the role {caller.role}"
            )
        request = method.request.model_validate_json(message.data or b"{}")
        if (field := field_with_nul(request, message.data)) is not None:
            raise RpcError(422, _OUT_OF_RANGE, f"{field} contains the character U+0000", field)
        answer = await method.handler(request, caller)
        text = answer.model_dump_json().encode()
        if len(text) > bus.client.max_payload:
            detail = f"the answer has {len(text)} bytes, the bus carries {bus.client.max_payload}: ask for fewer items"
            raise RpcError(422, _OUT_OF_RANGE, detail, "limit")
        await bus.client.publish(message.reply, text)
    except CallerMissing as error:
        result = "refused"
        metrics.RPC_WITHOUT_CALLER.labels(name if name in methods else "unknown").inc()
        log.error("caller_missing", method=name[:64], service=service)
        await _refuse(bus, message, error)
    except RpcError as error:
        result = "refused"
        await _refuse(bus, message, error)
    except ValidationError as error:
        result = "refused"
        await _refuse(bus, message, _unprocessable(error))
    except expected as error:
        result = "unavailable"
        log.warning("request_unavailable", method=name, error=str(error) or type(error).__name__)
        await _refuse(
            bus, message, RpcError(503, _UNAVAILABLE, f"service {service} cannot reach a dependency, try again later")
        )
    # The border of one caller's request: a bug in answering it must be told to that caller and to the operator, and
    # must not end the process, or one bad request repeated would keep, say, emergency stops from being served.
    except Exception as error:
        result = "failed"
        log.error("request_failed", method=name, error=repr(error), exc_info=True)
        await _refuse(bus, message, RpcError(500, _FAILED, f"service {service} failed to answer {name}: see its log"))
    finally:
        if name in methods:
            metrics.RPC_SECONDS.labels(name, result).observe(time.perf_counter() - started)


def may(caller: Caller, least: str) -> bool:
    """Whether a caller's role suffices; a role that is unknown suffices for nothing."""
    return _RANKS.get(caller.role, 0) >= _RANKS[least]


def is_late(caller: Caller, now_ms: int) -> bool:
    """True once the caller waits no longer; without a deadline (a caller of an older version) never."""
    return caller.deadline_ms is not None and caller.deadline_ms <= now_ms


def _caller(service: str, message: Msg) -> Caller:
    """The caller of a request, with its deadline. Raises CallerMissing, also for one that cannot be read."""
    headers = message.headers or {}
    deadline = headers.get(_DEADLINE, "")
    try:
        caller = Caller.model_validate_json(headers.get(_CALLER, ""))
    except ValidationError as error:
        raise CallerMissing(service) from error
    known = deadline.isascii() and deadline.isdigit() and len(deadline) <= 15
    return caller.model_copy(update={"deadline_ms": int(deadline) if known else None})


def _unprocessable(error: ValidationError) -> RpcError:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or None
    code = _MISSING_FIELD if first["type"] == "missing" else _TYPE_MISMATCH
    return RpcError(422, code, f"{field or 'request'}: {reason_of(first)}", field)


def reason_of(error: Mapping[str, Any]) -> str:
    """The reason of one of pydantic's errors, as text for the caller."""
    return "there is no such field" if error["type"] == "extra_forbidden" else _OWN.sub("", error["msg"])


async def _refuse(bus: Bus, message: Msg, error: RpcError) -> None:
    try:
        await bus.client.publish(message.reply, error.problem.model_dump_json().encode(), headers={_PROBLEM: "1"})
    except NatsError as failure:
        log.warning("answer_lost", subject=message.subject, error=str(failure))
