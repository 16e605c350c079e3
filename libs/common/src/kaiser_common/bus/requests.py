"""Answering requests: FastStream's subscriber for `rpc.<service>.*`, bounded, with a lane that never waits.

Killed: requests that run are not answered; their callers time out. Stopped: no request that reached NATS before is
lost. Those that are here or on their way are answered, within seconds (`RpcSubscriber.stop`).
"""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar, get_type_hints

import structlog
from faststream import AckPolicy, PublishCommand, StreamMessage
from faststream._internal.endpoint.publisher import PublisherProto
from faststream._internal.endpoint.subscriber.call_item import CallsCollection
from faststream.nats import ConsumerConfig
from faststream.nats.configs import NatsBrokerConfig
from faststream.nats.subscriber.config import NatsSubscriberConfig, NatsSubscriberSpecificationConfig
from faststream.nats.subscriber.specification import NatsSubscriberSpecification
from faststream.nats.subscriber.usecases import LogicSubscriber
from faststream.specification.schema import Message, Operation, SubscriberSpec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from pydantic import BaseModel, ValidationError

from kaiser_common.bus import metrics
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.bus.rpc import (
    CALLER,
    DEADLINE,
    DENIED,
    FAILED,
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
from kaiser_common.contract.schemas.nul import field_with_nul
from kaiser_common.contract.subjects import rpc_subject

log = structlog.get_logger()

_AT_ONCE = 64
_END_WITHIN_S = 5.0
_DRAIN_WITHIN_S = 3.0

RequestT = TypeVar("RequestT", bound=BaseModel)
AnswerT = TypeVar("AnswerT", bound=BaseModel)
Role = Literal["viewer", "operator", "admin"]
Answering = Callable[[RequestT, Caller], Awaitable[AnswerT]]
"""Answers a request; it raises RpcError to refuse."""


@dataclass(frozen=True, slots=True)
class MethodRow:
    """A method of a service: its subject, the models of its request and its answer, the least role of a caller."""

    subject: str
    request: type[BaseModel]
    answer: type[BaseModel]
    least: Role
    purpose: str


class Request(NamedTuple):
    """A request that may be answered: its method, and on whose behalf it is made."""

    message: Msg
    method: str
    caller: Caller


class RpcSpecification(NatsSubscriberSpecification):
    """What the AsyncAPI document says of a service's methods: a channel each, with the model of the request."""

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


class RpcSubscriber(LogicSubscriber[Request]):
    """Answers the requests to one service; replicas share the work as a queue group.

    At most 64 requests run concurrently; further ones get a 503 immediately, except for the methods in `always`, of
    which another 64 may run (an emergency stop does not wait behind commands). A request whose caller has stopped
    waiting (its deadline, by the clocks of both machines) is refused with 504 and code 5403, except for `always`: a
    stop is never too late. `unavailable` lists the exceptions that mean an outage: they become a 503 with code 5402.

    Extension points of FastStream: a subclass of its NATS subscriber (`_create_subscription`, `stop`), a filter for
    each handler, a parser, a decoder, and the publisher of the answer (`_make_response_publisher`).
    """

    def __init__(
        self,
        bus: Bus,
        config: NatsBrokerConfig,
        service: str,
        *,
        unavailable: tuple[type[Exception], ...] = (),
        always: frozenset[str] = frozenset(),
    ) -> None:
        subject = rpc_subject(service, "ANY").removesuffix("ANY") + "*"
        calls = CallsCollection[Request]()
        own = NatsSubscriberConfig(
            subject=subject, sub_config=ConsumerConfig(), _outer_config=config, _ack_policy=AckPolicy.MANUAL
        )
        own.parser, own.decoder = self._parse, self._decode
        shown = NatsSubscriberSpecificationConfig(
            subject=subject, queue=service, title_=None, description_=None, include_in_schema=True
        )
        described = RpcSpecification(config, shown, calls)
        self._methods = described.methods = dict[str, MethodRow]()
        super().__init__(own, described, calls)
        self._bus = bus
        self._service = service
        self._queue = service
        self._unavailable: tuple[type[Exception], ...] = (*unavailable, BusUnavailable)
        self._always = always
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def methods(self) -> Mapping[str, MethodRow]:
        """What is answered, by the name of the method."""
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
            self._methods[name] = MethodRow(subject, request, hints["return"], least, purpose)
            self(handler, filter=partial(_is_for, name))
            return handler

        return register

    async def _create_subscription(self) -> None:
        self._closed = False
        self.subscription = await self.connection.subscribe(self._subject, queue=self._queue, cb=self._on_request)

    async def stop(self) -> None:
        """Take no further request and answer those that NATS has handed out already, for at most some seconds.

        NATS away, or too slow to say what is on its way: what still comes is refused with a 503. A process that lost
        its lease takes no request for longer than three seconds.
        """
        subscription, self.subscription = self.subscription, None
        if isinstance(subscription, Subscription):
            await self._drain(subscription)
        self._closed = True
        if self._running:
            await asyncio.wait(self._running, timeout=_END_WITHIN_S)
        for task in self._running:
            task.cancel()
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

    async def _on_request(self, message: Msg) -> None:
        name = message.subject.rpartition(".")[2]
        if self._closed:
            await self._refuse(message, RpcError(503, UNAVAILABLE, f"service {self._service} is stopping, try again"))
            return
        if len(self._running) >= (2 * _AT_ONCE if name in self._always else _AT_ONCE):
            await self._refuse(message, RpcError(503, UNAVAILABLE, f"service {self._service} is busy, try again"))
            return
        task = asyncio.create_task(self._answer(message, name), name=message.subject)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _answer(self, message: Msg, name: str) -> None:
        """Answer a request, or send its caller the reason of a refusal or failure."""
        started = time.perf_counter()
        result = "ok"
        service = self._service
        try:
            await self.process_message(self._admitted(message, name))
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
            await self._refuse(
                message, RpcError(503, UNAVAILABLE, f"service {service} cannot reach a dependency, try again later")
            )
        # The border of one caller's request: a bug in answering it must be told to that caller and to the operator, and
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

    def _admitted(self, message: Msg, name: str) -> Request:
        """The request, if its caller is known, still waits and may ask for it. Raises RpcError."""
        caller = caller_of(self._service, message)
        if is_late(caller, time.time_ns() // 1_000_000) and name not in self._always:
            detail = f"the request reached service {self._service} after its caller had stopped waiting"
            raise RpcError(504, TIMEOUT, detail)
        method = self.methods.get(name)
        if method is None:
            raise RpcError(404, FAILED, f"service {self._service} has no method {name!r}")
        if not may(caller, method.least):
            detail = f"{name} requires the role {method.least}; {caller.user} has the role {caller.role}"
            raise RpcError(403, DENIED, detail)
        return Request(message, name, caller)

    async def _parse(self, request: Request) -> StreamMessage[Request]:
        message = request.message
        return StreamMessage(request, message.data, reply_to=message.reply, correlation_id=request.method)

    async def _decode(self, message: StreamMessage[Request]) -> tuple[BaseModel, Caller]:
        """The arguments of the handler. ValidationError, RpcError: the request is not what the method needs."""
        request = message.raw_message
        decoded = self.methods[request.method].request.model_validate_json(message.body or b"{}")
        if (field := field_with_nul(decoded, message.body)) is not None:
            raise RpcError(422, OUT_OF_RANGE, f"{field} contains the character U+0000", field)
        return decoded, request.caller

    def _make_response_publisher(self, message: StreamMessage[Any]) -> Iterable["AnswerPublisher"]:
        return (AnswerPublisher(self._bus, message.reply_to),)

    async def _refuse(self, message: Msg, error: RpcError) -> None:
        try:
            problem = error.problem.model_dump_json().encode()
            await self._bus.client.publish(message.reply, problem, headers={PROBLEM: "1"})
        except NatsError as failure:
            log.warning("answer_lost", subject=message.subject, error=str(failure))

    async def get_one(self, *, timeout: float = 5.0) -> NoReturn:
        """Of FastStream's interface; a service never takes a single request."""
        raise NotImplementedError

    def __aiter__(self) -> AsyncIterator[StreamMessage[Request]]:
        """Of FastStream's interface; a service never iterates over requests."""
        raise NotImplementedError


class AnswerPublisher(PublisherProto[PublishCommand]):
    """Publishes what a handler answered, unless it is larger than the bus carries (422): FastStream calls it."""

    def __init__(self, bus: Bus, reply: str) -> None:
        self._bus = bus
        self._reply = reply

    async def publish(self, message: Any, /, *, correlation_id: str | None = None) -> None:
        """Publish an answer."""
        text = message.model_dump_json().encode()
        if len(text) > self._bus.client.max_payload:
            most = self._bus.client.max_payload
            detail = f"the answer has {len(text)} bytes, the bus carries {most}: ask for fewer items"
            raise RpcError(422, OUT_OF_RANGE, detail, "limit")
        await self._bus.client.publish(self._reply, text)

    async def _publish(self, cmd: PublishCommand, *, _extra_middlewares: Iterable[Any]) -> None:
        async def send(command: PublishCommand) -> None:
            await self.publish(command.body)

        call: Callable[[PublishCommand], Awaitable[None]] = send
        for middleware in _extra_middlewares:
            call = partial(middleware, call)
        await call(cmd)

    async def request(self, message: Any, /, *, correlation_id: str | None = None) -> NoReturn:
        """Of FastStream's interface; an answer asks nothing."""
        raise NotImplementedError


async def _is_for(name: str, message: StreamMessage[Request]) -> bool:
    return message.raw_message.method == name


def caller_of(service: str, message: Msg) -> Caller:
    """The caller of a request, with its deadline. Raises CallerMissing, also for one that cannot be read."""
    headers = message.headers or {}
    deadline = headers.get(DEADLINE, "")
    try:
        caller = Caller.model_validate_json(headers.get(CALLER, ""))
    except ValidationError as error:
        raise CallerMissing(service) from error
    known = deadline.isascii() and deadline.isdigit() and len(deadline) <= 15
    return caller.model_copy(update={"deadline_ms": int(deadline) if known else None})
