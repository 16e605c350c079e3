"""Answers requests: FastStream's subscriber for `rpc.<service>.*`, with a limit on how many run at a time.

At most 64 requests run at a time. For methods such as an emergency stop there are 64 further places, so they do not
wait behind the others.

If the process is killed, the requests that it was working on are not answered and their callers time out. If it is
stopped (`RpcSubscriber.stop`), it answers the requests that have reached NATS by then. If NATS is away or too slow,
requests that arrive after 3 s are refused with 503. Requests that still run another 5 s later are cancelled; their
callers are answered with 504, as whether the work was done is not known.
"""

import asyncio
import inspect
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar, cast, get_type_hints

import structlog
from faststream import Response, StreamMessage
from faststream.nats import ConsumerConfig
from faststream.nats.configs import NatsBrokerConfig
from faststream.nats.subscriber.config import NatsSubscriberSpecificationConfig
from faststream.nats.subscriber.specification import NatsSubscriberSpecification
from faststream.nats.subscriber.usecases import CoreSubscriber
from faststream.specification.schema import Message, Operation, SubscriberSpec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from pydantic import BaseModel, ValidationError

from kaiser_common.bus import metrics
from kaiser_common.bus.calls import Calls, subscriber_config
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.bus.right_of_way import RightOfWay
from kaiser_common.bus.rpc import (
    ASKED,
    CALLER,
    DEADLINE,
    DENIED,
    FAILED,
    NO_DATABASE,
    OUT_OF_RANGE,
    PROBLEM,
    TIMEOUT,
    UNAVAILABLE,
    Caller,
    CallerMissing,
    RpcError,
    is_late,
    may,
    unprocessable,
)
from kaiser_common.contract.rpc import Role
from kaiser_common.contract.schemas.text_checks import field_with_nul
from kaiser_common.contract.subjects import rpc_subject

log = structlog.get_logger()

_AT_ONCE = 64
_END_WITHIN_S = 5.0
_DRAIN_WITHIN_S = 3.0
_TOLD_WITHIN_S = 1.0

RequestT = TypeVar("RequestT", bound=BaseModel)
AnswerT = TypeVar("AnswerT", bound=BaseModel)
Answering = Callable[[RequestT, Caller], Awaitable[AnswerT]]
"""Answers a request; it raises RpcError to refuse."""


class Outages(NamedTuple):
    """The exceptions of a service's methods that mean an outage; the caller is answered with 503.

    database: the database does not answer (code 5304); others: something else is away, or refuses changes (5402).
    """

    database: tuple[type[Exception], ...] = ()
    others: tuple[type[Exception], ...] = ()


NO_OUTAGES = Outages()


class Wrapped(Protocol):
    """A handler as FastStream keeps it once it is registered."""

    async def call_wrapped(self, message: StreamMessage[Any]) -> Any:
        """Decode the message and call the handler."""


@dataclass(frozen=True, slots=True)
class MethodRow:
    """A method of a service: its subject, the models of its request and its answer, the least role of a caller, and
    its handler."""

    subject: str
    request: type[BaseModel]
    answer: type[BaseModel]
    least: Role
    purpose: str
    handler: Wrapped


class Request(NamedTuple):
    """A request that may be answered: its method, and on whose behalf it is made."""

    method: MethodRow
    caller: Caller


class RpcSpecification(NatsSubscriberSpecification):
    """A service's methods in the AsyncAPI document: a channel each, with the model of the request."""

    __slots__ = ("methods",)

    methods: dict[str, MethodRow]

    def get_schema(self) -> dict[str, SubscriberSpec]:
        """FastStream's generator asks this for the channels, by name."""
        return {
            row.subject: SubscriberSpec(
                address=row.subject,
                description=f"{row.purpose} Least role: {row.least}.",
                operation=Operation(
                    message=Message(title=f"{row.subject}:Message", payload=row.request.model_json_schema()),
                    bindings=None,
                ),
                bindings=None,
            )
            for row in self.methods.values()
        }


class RpcSubscriber(CoreSubscriber):
    """Answers the requests to one service; replicas share the work as a queue group.

    At most 64 requests run concurrently; further ones get a 503 immediately, except for the methods in `always`, of
    which another 64 may run (an emergency stop does not wait behind commands), and which have the right of way over the
    steps of the others. A request whose caller has stopped waiting (its deadline, by the clocks of both machines) is
    refused with 504 and code 5403, except for `always`: a stop is never too late. `unavailable` lists the exceptions
    that mean an outage: they become a 503.

    A subclass of FastStream's subscriber of a subject: `consume`, `process_message` and `stop` are our own. The
    method's handler is looked up by name, and no middleware of FastStream runs around it.
    """

    def __init__(
        self,
        bus: Bus,
        frame: NatsBrokerConfig,
        service: str,
        *,
        unavailable: Outages = NO_OUTAGES,
        always: frozenset[str] = frozenset(),
    ) -> None:
        subject = rpc_subject(service, "ANY").removesuffix("ANY") + "*"
        calls = cast("Any", Calls())
        shown = NatsSubscriberSpecificationConfig(
            subject=subject, queue=service, title_=None, description_=None, include_in_schema=True
        )
        described = RpcSpecification(frame, shown, calls)
        self._methods = described.methods = dict[str, MethodRow]()
        super().__init__(subscriber_config(frame, subject, ConsumerConfig()), described, calls, queue=service)
        self._bus = bus
        self._service = service
        self._others: tuple[type[Exception], ...] = (*unavailable.others, BusUnavailable)
        self._unavailable: tuple[type[Exception], ...] = (*unavailable.database, *self._others)
        self._always = always
        self._way = RightOfWay()
        self._answering: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def bus(self) -> Bus:
        """The connection that requests come by."""
        return self._bus

    @property
    def unavailable(self) -> tuple[type[Exception], ...]:
        """The exceptions that mean an outage."""
        return self._unavailable

    @property
    def methods(self) -> Mapping[str, MethodRow]:
        """The rows of the answered methods, by the name of the method."""
        return self._methods

    def method(
        self, name: str, *, least: Role = "viewer"
    ) -> Callable[[Answering[RequestT, AnswerT]], Answering[RequestT, AnswerT]]:
        """Register what answers a method. The models are those of its annotations: `(request, caller) -> answer`."""

        def register(handler: Answering[RequestT, AnswerT]) -> Answering[RequestT, AnswerT]:
            hints = get_type_hints(handler)
            request = hints[next(iter(inspect.signature(handler).parameters))]
            purpose = " ".join((inspect.getdoc(handler) or "").split("\n\n")[0].split())
            subject = rpc_subject(self._service, name)
            self._methods[name] = MethodRow(subject, request, hints["return"], least, purpose, self(handler))
            return handler

        return register

    async def start(self) -> None:
        """Subscribe; requests are answered from here on."""
        self._closed = False
        await super().start()

    async def stop(self) -> None:
        """Take no further request and answer those that NATS has handed out already, for at most some seconds.

        NATS away, or too slow to say what is on its way: what still comes is refused with a 503. A process that lost
        its lease takes no request for longer than three seconds.
        """
        subscription, self.subscription = self.subscription, None
        if subscription is not None:
            await self._drain(subscription)
        self._closed = True
        if self._answering:
            await asyncio.wait(self._answering, timeout=_END_WITHIN_S)
        for task in self._answering:
            task.cancel()
        if self._answering:
            await asyncio.wait(self._answering, timeout=_TOLD_WITHIN_S)
        await super().stop()

    async def _drain(self, subscription: Subscription) -> None:
        """Unsubscribe, but have what is on its way (`KaiserClient.flush`); nats-py's `unsubscribe` discards it."""
        draining = asyncio.create_task(self._drained(subscription), name="drain")
        await asyncio.wait([draining], timeout=_DRAIN_WITHIN_S)

    async def _drained(self, subscription: Subscription) -> None:
        try:
            await subscription.drain()  # type: ignore[no-untyped-call]
        except NatsError as error:
            log.debug("unsubscribe_failed", error=str(error))

    async def consume(self, msg: Msg) -> None:
        """Take a request, unless there are too many: a task answers it, so that the next one can be taken."""
        name = msg.subject.rpartition(".")[2]
        if self._closed:
            await self._refuse(msg, RpcError(503, UNAVAILABLE, f"service {self._service} is stopping, try again"))
            return
        if len(self._answering) >= (2 * _AT_ONCE if name in self._always else _AT_ONCE):
            await self._refuse(msg, RpcError(503, UNAVAILABLE, f"service {self._service} is busy, try again"))
            return
        work = self._answer_first(msg, name) if name in self._always else self._answer_behind(msg, name)
        task = asyncio.create_task(work, name=msg.subject)
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer_first(self, message: Msg, name: str) -> None:
        with self._way.urgent():
            await self._answer(message, name)

    async def _answer_behind(self, message: Msg, name: str) -> None:
        await self._way.giving_way(self._answer(message, name))

    async def _answer(self, message: Msg, name: str) -> None:
        """Answer a request, or send its caller the reason of a refusal or failure."""
        started = time.perf_counter()
        result = "ok"
        service = self._service
        try:
            await self._bus.client.publish(message.reply, await self._answer_of(message))
        except CallerMissing as error:
            result = "refused"
            metrics.RPC_WITHOUT_CALLER.labels(name if name in self.methods else "unknown").inc()
            log.error("caller_missing", method=name[:64], service=service)
            await self._refuse(message, error)
        except RpcError as error:
            result = "refused"
            await self._refuse(message, error)
        except ValidationError as error:
            result = "refused"
            await self._refuse(message, unprocessable(error))
        except self._unavailable as error:
            result = "unavailable"
            log.warning("request_unavailable", method=name, error=str(error) or type(error).__name__)
            await self._refuse(message, self._of_outage(error))
        except asyncio.CancelledError:
            result = "failed"
            detail = f"service {service} stopped while it was working on {name}; whether it was done is not known"
            await self._refuse(message, RpcError(504, TIMEOUT, detail))
            raise
        # The border of one caller's request: a bug in answering it is reported to that caller and to the operator. It
        # must not end the process, or one bad request repeated would keep, say, emergency stops from being served.
        except Exception as error:
            result = "failed"
            log.error("request_failed", method=name, error=repr(error), exc_info=True)
            await self._refuse(
                message, RpcError(500, FAILED, f"service {service} failed to answer {name}: see its log")
            )
        finally:
            if name in self.methods:
                metrics.RPC_SECONDS.labels(name, result).observe(time.perf_counter() - started)

    def _of_outage(self, error: Exception) -> RpcError:
        if isinstance(error, self._others):
            detail = f"service {self._service} cannot reach NATS, or cannot change its database: try again later"
            return RpcError(503, UNAVAILABLE, detail)
        return RpcError(503, NO_DATABASE, f"service {self._service} cannot reach its database: try again later")

    async def process_message(self, msg: Msg) -> Response:
        """Have the method's handler answer. ValidationError, RpcError: the request is refused.

        FastStream's own asks the filter of each handler in turn, inside contexts and middlewares that nothing here
        uses: more CPU than the rest of an answer's own (docs/decisions/1403).
        """
        request = self._admitted(msg)
        message = StreamMessage(request, msg.data, reply_to=msg.reply, correlation_id=request.method.subject)
        message.set_decoder(_decoded)
        return Response(await request.method.handler.call_wrapped(message))

    def _admitted(self, message: Msg) -> Request:
        """The request, if its caller is known, still waits and may ask for it. Raises RpcError."""
        caller = caller_of(self._service, message)
        name = message.subject.rpartition(".")[2]
        if is_late(caller, time.time_ns() // 1_000_000) and name not in self._always:
            detail = f"the request reached service {self._service} after its caller had stopped waiting"
            raise RpcError(504, TIMEOUT, detail)
        method = self._methods.get(name)
        if method is None:
            raise RpcError(404, FAILED, f"service {self._service} has no method {name!r}")
        if not may(caller, method.least):
            detail = f"{name} requires the role {method.least}; {caller.user} has the role {caller.role}"
            raise RpcError(403, DENIED, detail)
        return Request(method, caller)

    async def _answer_of(self, message: Msg) -> bytes:
        """The answer. A page that is larger than the bus carries is made again of half as many items. RpcError 422: an
        answer, or a single item, is larger."""
        most = self._bus.client.max_payload
        while True:
            answer = (await self.process_message(message)).body
            text = bytes(answer.model_dump_json().encode())
            if len(text) <= most:
                return text
            smaller = _half(message) if "next_cursor" in type(answer).model_fields else None
            if smaller is None:
                detail = f"the answer has {len(text)} bytes, the bus carries {most}: ask for fewer items"
                raise RpcError(422, OUT_OF_RANGE, detail, "limit")
            message = smaller

    async def _refuse(self, message: Msg, error: RpcError) -> None:
        try:
            problem = error.problem.model_dump_json().encode()
            await self._bus.client.publish(message.reply, problem, headers={PROBLEM: "1"})
        except NatsError as failure:
            log.warning("answer_lost", subject=message.subject, error=str(failure))


def _half(message: Msg) -> Msg | None:
    """A request for a page of half as many items; None where it says no number or asks for one."""
    body = json.loads(message.data)
    limit = body.get("limit")
    if not isinstance(limit, int) or limit < 2:
        return None
    return replace(message, data=json.dumps({**body, "limit": limit // 2}).encode())


async def _decoded(message: StreamMessage[Request]) -> tuple[BaseModel, Caller]:
    """The arguments of the handler. ValidationError, RpcError: the request is not what the method needs."""
    request = message.raw_message
    decoded = request.method.request.model_validate_json(message.body or b"{}")
    if (field := field_with_nul(decoded, message.body)) is not None:
        raise RpcError(422, OUT_OF_RANGE, f"{field} contains the character U+0000", field)
    return decoded, request.caller


def caller_of(service: str, message: Msg) -> Caller:
    """The caller of a request, with its times. Raises CallerMissing, also for one that cannot be read."""
    headers = message.headers or {}
    try:
        caller = Caller.model_validate_json(headers.get(CALLER, ""))
    except ValidationError as error:
        raise CallerMissing(service) from error
    times = {"asked_ms": _ms_of(headers.get(ASKED, "")), "deadline_ms": _ms_of(headers.get(DEADLINE, ""))}
    return caller.model_copy(update=times)


def _ms_of(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None
