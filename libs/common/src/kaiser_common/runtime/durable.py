"""Messages of a durable consumer: FastStream's subscriber around our pull consumer and our consume loop.

The handler gets whatever has arrived; it is acknowledged after the handler returns, by the rules of `consume.take`:
while the database or NATS is away, messages wait; a message on which the handler fails is isolated and rejected, so a
bug on one does not lose the others. `consume.take` and `bus.consumer.Consumer` describe what happens when the process
is killed or stopped.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from faststream import Response, StreamMessage
from faststream.nats import ConsumerConfig, JStream, PullSub
from faststream.nats.configs import NatsBrokerConfig
from faststream.nats.subscriber.config import NatsSubscriberSpecificationConfig
from faststream.nats.subscriber.specification import NatsSubscriberSpecification
from faststream.nats.subscriber.usecases import BatchPullStreamSubscriber, LogicSubscriber
from faststream.specification.schema import Message, Operation, SubscriberSpec
from pydantic import BaseModel

from kaiser_common.bus.calls import Calls, subscriber_config
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.catalogue import BODIES, BUS_MESSAGES, EVENT_MODELS
from kaiser_common.contract.subjects import DurableConsumer
from kaiser_common.runtime.consume import AS_USUAL, DeadLetters, Taking, Unreadable, take

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]
"""Starts a task whose failure ends the work that the broker is part of."""


class DurableSpecification(NatsSubscriberSpecification):
    """A durable consumer in the AsyncAPI document: a channel for each kind of message that it takes."""

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


class DurableSubscriber(BatchPullStreamSubscriber):
    """Takes the messages of a durable consumer, which the migrate step declares (FastStream's `declare=False`).

    A subclass of FastStream's subscriber of batches: `start` and `stop` are our own, with our consume loop between
    them. The handler gets the batch as it arrived, and returns what of it cannot be read.
    """

    def __init__(
        self,
        frame: NatsBrokerConfig,
        consumer: Consumer,
        letters: DeadLetters,
        spawn: Spawn,
        taking: Taking = AS_USUAL,
    ) -> None:
        spec = consumer.spec
        calls = cast("Any", Calls())
        own = subscriber_config(
            frame, "", ConsumerConfig(durable_name=spec.name, filter_subjects=list(spec.filters)), no_reply=True
        )
        shown = NatsSubscriberSpecificationConfig(
            subject="", queue=None, filter_subjects=list(spec.filters), title_=None, description_=None
        )
        described = DurableSpecification(frame, shown, calls)
        described.durable = spec
        stream = JStream(spec.stream, declare=False)
        super().__init__(own, described, calls, stream=stream, pull_sub=PullSub(batch=True))
        self.add_call(parser_=_as_message, decoder_=_as_it_is, dependencies_=())
        self.consumer = consumer
        self._letters = letters
        self._spawn = spawn
        self._taking = taking
        self._work: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to take messages, in a task."""
        await super(LogicSubscriber, self).start()  # not FastStream's own loop, which would wait
        self._work = self._spawn(self._take(), f"consume-{self.consumer.name}")
        self.running = True

    async def _take(self) -> None:
        async with self.consumer.open() as consumer:
            await take(consumer, self._process, self._letters, self._taking)

    async def _process(self, batch: Sequence[Delivery]) -> Unreadable:
        """Have FastStream call the handler. The consume loop judges what the handler raises."""
        response = await self.process_message(cast("Any", batch))
        unreadable: Unreadable = response.body or ()
        return unreadable

    async def process_message(self, msg: Any) -> Response:
        """Have the one handler process a batch.

        FastStream's own asks a filter inside contexts and middlewares that nothing here uses: at 200 packs a second it
        takes more CPU than a small pack itself (docs/decisions/1403).
        """
        message = await _as_message(msg)
        message.set_decoder(_as_it_is)
        return Response(await self.calls[0].handler.call_wrapped(message))

    async def stop(self) -> None:
        """Fetch nothing more; return when the batch at hand is done."""
        self.consumer.stop()
        if self._work is not None:
            await asyncio.wait([self._work])
        await super().stop()

    def cancel(self) -> None:
        """Stop taking messages immediately; those taken and not acknowledged are delivered again."""
        if self._work is not None:
            self._work.cancel()


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
