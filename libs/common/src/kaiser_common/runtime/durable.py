"""Messages of a durable consumer: FastStream's subscriber around our pull consumer and our consume loop.

Handed over is what has arrived, acknowledged after the handler, by the rules of `outside.take`: what the database or
NATS is away for waits, what a handler fails on is isolated and rejected, a bug is no reason to lose the others.
Killed, and stopped: as `outside.take` and `bus.consumer.Consumer` say.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from typing import Any, NoReturn, Unpack

from faststream import AckPolicy, StreamMessage
from faststream._internal.endpoint.subscriber.call_item import CallsCollection
from faststream.nats import ConsumerConfig
from faststream.nats.configs import NatsBrokerConfig
from faststream.nats.subscriber.config import NatsSubscriberConfig, NatsSubscriberSpecificationConfig
from faststream.nats.subscriber.specification import NatsSubscriberSpecification
from faststream.nats.subscriber.usecases import LogicSubscriber
from faststream.specification.schema import Message, Operation, SubscriberSpec
from pydantic import BaseModel

from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.catalogue import BODIES, BUS_MESSAGES, EVENT_MODELS
from kaiser_common.contract.subjects import DurableConsumer
from kaiser_common.runtime.outside import DeadLetters, Taking, Unreadable, take

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]
"""Starts a task whose failure ends the work that the broker is part of."""


class DurableSpecification(NatsSubscriberSpecification):
    """What the AsyncAPI document says of a durable consumer: a channel for each kind of message that it takes."""

    __slots__ = ("durable",)

    durable: DurableConsumer

    def get_schema(self) -> dict[str, SubscriberSpec]:
        """FastStream's generator asks this for the channels, by name."""
        name = self.durable.name
        return {
            f"{name}-{subject}": SubscriberSpec(
                address=f"{subject}.>",
                description=f"Taken from the stream {self.durable.stream} by the durable consumer {name}.",
                operation=Operation(
                    message=Message(title=f"{name}-{subject}:Message", payload=model.model_json_schema()),
                    bindings=None,
                ),
                bindings=None,
            )
            for subject, model in messages_of(self.durable).items()
        }


class DurableSubscriber(LogicSubscriber[Sequence[Delivery]]):
    """Takes the messages of a durable consumer, which the migrate step declares (FastStream's `declare=False`).

    Extension points of FastStream: a subclass of its NATS subscriber (`_create_subscription`, `stop`) with a parser
    and a decoder of its own, AckPolicy.MANUAL. The handler gets the batch as it arrived, and returns what of it cannot
    be read.
    """

    def __init__(
        self,
        config: NatsBrokerConfig,
        consumer: Consumer,
        letters: DeadLetters,
        spawn: Spawn,
        **taking: Unpack[Taking],
    ) -> None:
        spec = consumer.spec
        calls = CallsCollection[Sequence[Delivery]]()
        own = NatsSubscriberConfig(
            subject="",
            sub_config=ConsumerConfig(durable_name=spec.name, filter_subjects=list(spec.filters)),
            _outer_config=config,
            no_reply=True,
            _ack_policy=AckPolicy.MANUAL,
        )
        own.parser, own.decoder = _as_message, _as_it_is
        shown = NatsSubscriberSpecificationConfig(
            subject="", queue=None, filter_subjects=list(spec.filters), title_=None, description_=None
        )
        described = DurableSpecification(config, shown, calls)
        described.durable = spec
        super().__init__(own, described, calls)
        self.consumer = consumer
        self._letters = letters
        self._spawn = spawn
        self._taking = taking
        self._work: asyncio.Task[None] | None = None

    async def _create_subscription(self) -> None:
        self._work = self._spawn(self._take(), f"consume-{self.consumer.name}")

    async def _take(self) -> None:
        async with self.consumer.open() as consumer:
            await take(consumer, self._process, self._letters, **self._taking)

    async def _process(self, batch: Sequence[Delivery]) -> Unreadable:
        """Have FastStream call the handler. What it raises, the loop judges."""
        response = await self.process_message(batch)
        unreadable: Unreadable = response.body or ()
        return unreadable

    async def stop(self) -> None:
        """Fetch nothing more; return when the batch at hand is done."""
        self.consumer.stop()
        if self._work is not None:
            await asyncio.wait([self._work])
        await super().stop()

    def cancel(self) -> None:
        """Take nothing more, at once; what was taken and not acknowledged is delivered again."""
        if self._work is not None:
            self._work.cancel()

    def _make_response_publisher(self, message: StreamMessage[Any]) -> Iterable[Any]:
        return ()

    async def get_one(self, *, timeout: float = 5.0) -> NoReturn:
        """Of FastStream's interface; messages come in batches."""
        raise NotImplementedError

    def __aiter__(self) -> AsyncIterator[StreamMessage[Sequence[Delivery]]]:
        """Of FastStream's interface; messages come in batches."""
        raise NotImplementedError


def messages_of(consumer: DurableConsumer) -> dict[str, type[BaseModel]]:
    """The messages of the catalogue that a durable consumer takes: the beginning of the subject, and the model."""
    known: dict[str, type[BaseModel]] = {
        **{f"esp.{kind.value}": model for kind, model in BODIES.items()},
        **{f"event.{kind}": model for kind, model in EVENT_MODELS.items()},
        **{row.subject.partition(".{")[0]: row.model for row in BUS_MESSAGES},
    }
    return {
        subject: model
        for subject, model in known.items()
        if any(f"{subject}.".startswith(each.removesuffix(">")) for each in consumer.filters)
    }


async def _as_message(batch: Sequence[Delivery]) -> StreamMessage[Sequence[Delivery]]:
    return StreamMessage(batch, batch, correlation_id="batch")


async def _as_it_is(message: StreamMessage[Sequence[Delivery]]) -> Sequence[Delivery]:
    return message.raw_message
