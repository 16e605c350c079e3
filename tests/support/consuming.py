"""Runs a service's loop for one durable consumer on real NATS; tests publish to it with a plain nats-py client."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
from kaiser_common.bus.connection import Bus, Outgoing
from kaiser_common.bus.consumer import Consumer
from kaiser_common.contract.subjects import DurableConsumer
from kaiser_common.runtime.consume import DeadLetters, Handler, take
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from nats.js.errors import NotFoundError
from waiting import until as eventually

CASES = Path(__file__).parents[2] / "tests" / "cases" / "security-cases.json"
Loop = Callable[[Consumer, DeadLetters], Coroutine[Any, Any, None]]
"""The loop of a service for one consumer."""
FAR = 10**21
"""A time in ms that no datetime takes, as in the case bus-heartbeat-received-at."""


def case(case_id: str) -> tuple[str, bytes]:
    """Subject and body that a case of the security review publishes on the bus."""
    [found] = [each for each in json.loads(CASES.read_text())["cases"] if each["id"] == case_id]
    publish = found["do"][0]["nats_publish"]
    now_ms = int(time.time() * 1000)
    body = {name: now_ms if value == "$now_ms" else value for name, value in publish["body"].items()}
    return publish["subject"], json.dumps(body).encode()


class FaultyBus:
    """The bus, but a message that has `word` in it is one on which the service has a bug."""

    def __init__(self, bus: Bus, word: str) -> None:
        self._bus = bus
        self._word = word

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def publish_batch(self, messages: Sequence[Outgoing], **options: Any) -> None:
        """Publish, or raise ZeroDivisionError."""
        if any(self._word in message.subject or self._word.encode() in message.body for message in messages):
            raise ZeroDivisionError("a bug of the service")
        await self._bus.publish_batch(messages, **options)


class Consuming:
    """A consume loop under test, with the fates of its messages."""

    def __init__(self, bus: Bus, spec: DurableConsumer, loop: "asyncio.Task[None]", service: Service) -> None:
        self._bus = bus
        self._spec = spec
        self._service = service
        self.loop = loop

    async def settled(self) -> None:
        """Wait until each message is processed or rejected, and the loop is still there."""

        async def at_rest() -> bool:
            assert not self.loop.done(), "the loop lives"
            info = await self._bus.jetstream.consumer_info(self._spec.stream, self._spec.name)
            return bool(info.num_pending == info.num_ack_pending == 0)

        await eventually(at_rest)

    async def readiness(self) -> str:
        """The consumer's part of /readyz; none before its loop runs."""
        return (await self._service.readiness()).get(f"consumer {self._spec.name}", "")


def handling(on_messages: Handler) -> Loop:
    """The loop of a service whose handler of a batch this is, for `consuming`."""
    return lambda consumer, letters: take(consumer, on_messages, letters)


def loop_of(storing: Any) -> Loop:
    """The loop of sensor's store, for `consuming`: as its handlers.py registers it."""

    async def run(consumer: Consumer, letters: DeadLetters) -> None:
        async with storing.keeping_latest(consumer):
            await take(consumer, storing.on_readings, letters, storing.taking(consumer))

    return run


@asynccontextmanager
async def consuming(bus: Bus, spec: DurableConsumer, run: Loop) -> AsyncIterator[Consuming]:
    """`run(consumer, letters)`, the loop of a service, for as long as the block lasts."""
    service = Service("test")
    async with Consumer(bus, spec).open() as consumer, asyncio.TaskGroup() as tasks:
        loop = tasks.create_task(run(consumer, DeadLetters(bus, service, CommonSettings())))
        yield Consuming(bus, spec, loop, service)
        consumer.stop()


async def publish(bus: Bus, messages: Iterable[tuple[str, bytes]]) -> None:
    """Publish subjects and bodies with nats-py, before a loop begins: it takes them as one batch."""
    address = bus.client.connected_url
    assert address is not None
    client = await nats.connect(address.geturl())
    try:
        for subject, body in messages:
            await client.jetstream().publish(subject, body)
    finally:
        await client.close()


async def rejected(bus: Bus) -> list[tuple[str, str]]:
    """Of each message in REJECTED its subject and the subject that it came on."""
    return [(subject, body["topic"]) for subject, body in await stored(bus, "REJECTED")]


async def stored(bus: Bus, stream: str) -> list[tuple[str, dict[str, Any]]]:
    """The messages of a stream, oldest first, each line of a pack separately; purged ones are left out."""
    state = (await bus.jetstream.stream_info(stream)).state
    found = []
    for seq in range(state.first_seq, state.last_seq + 1) if state.messages else ():
        try:
            one = await bus.jetstream.get_msg(stream, seq=seq)
        except NotFoundError:
            continue
        found += [(str(one.subject), json.loads(line)) for line in (one.data or b"").split(b"\n")]
    return found
