"""The service as a process on a bus of its own and a database of its own, and TOPICS as ingest fills it."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import forked
import psycopg
import pytest
from kaiser_common.bus.connection import Bus, Outgoing, connect
from kaiser_common.bus.declare import apply
from kaiser_common.bus.pull import ask
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.subjects import INGEST_BUCKET, OUTBOX, outbox_subject
from kaiser_common.runtime.settings import CommonSettings
from kaiser_factory_dialect.subjects import topic_subject
from pydantic import BaseModel

WITHIN_S = 60.0
_PROBE = outbox_subject("god", "TEST_PROBE", "setup")
"""A subject of OUTBOX that nothing in these tests reads."""


class World:
    """The bus with an environment in force, and requests as the gateway makes them."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.database_url = ""

    async def enter(self, env: str = "live") -> None:
        bucket = await self.bus.jetstream.key_value(INGEST_BUCKET.name)
        entered = FactoryEnvironment(env=env, kind="live", epoch=1)
        await bucket.put("environment", entered.model_dump_json().encode())

    async def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement in the service's database."""
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
            return await (await connection.execute(statement, values)).fetchall()

    async def forget_ids(self) -> None:
        """Have OUTBOX remember message ids for half a second."""
        found = await ask(self.bus, f"$JS.API.STREAM.INFO.{OUTBOX.name}", {})
        config = found["config"] | {"duplicate_window": 500_000_000}
        assert "error" not in await ask(self.bus, f"$JS.API.STREAM.UPDATE.{OUTBOX.name}", config)

    async def forgotten(self) -> None:
        """Wait until OUTBOX remembers no id of a message that was published before."""
        probe = {"Nats-Msg-Id": self.bus.message_id()}
        await self.bus.jetstream.publish(_PROBE, b"", headers=probe)

        async def is_new() -> bool:
            return not (await self.bus.jetstream.publish(_PROBE, b"", headers=probe)).duplicate

        await self.until(is_new)

    async def say(self, topic: str, payload: bytes = b"{}", env: str = "live", **headers: str) -> None:
        """A message on TOPICS."""
        await self.say_all([(topic, payload)], env, **headers)

    async def say_all(self, messages: list[tuple[str, bytes]], env: str = "live", **headers: str) -> None:
        outgoing = [
            Outgoing(topic_subject(env, topic), payload, self.bus.message_id(), headers=self._headers(headers))
            for topic, payload in messages
        ]
        await self.bus.publish_batch(outgoing)

    def _headers(self, more: dict[str, str]) -> tuple[tuple[str, str], ...]:
        headers = {"Mqtt-Qos": "1", "Mqtt-Retain": "0", "Kaiser-Received-At": str(time.time_ns())}
        return tuple((headers | {name.replace("_", "-"): value for name, value in more.items()}).items())

    async def ask(self, method: str, request: BaseModel, answer: type[BaseModel] = Nothing, role: str = "admin") -> Any:
        caller = Caller(user="ada", role=role)
        return await call(self.bus, "recorder", method, request, answer, caller=caller, timeout_s=30.0)

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> Any:
        """Ask until the answer is true; what the service refuses meanwhile counts as not yet."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                if found := await condition():
                    return found
            except RpcError as error:
                if error.problem.status < 500:
                    raise
            assert time.monotonic() < deadline, "not in time"
            await asyncio.sleep(0.05)


@pytest.fixture
async def world(nats_factory: Any) -> AsyncIterator[World]:
    async with connect(CommonSettings(nats_url=nats_factory().url), "test") as bus:
        await apply(bus)
        world = World(bus)
        await world.enter()
        yield world


@pytest.fixture
def start(world: World, make_database: Callable[[], str], free_port: Any, tmp_path: Path) -> Iterator[Any]:
    """`start(**settings)`: the service."""
    database_url = world.database_url = make_database()
    environment = {
        **os.environ,
        "KAISER_NATS_URL": world.bus.client.connected_url.geturl(),  # type: ignore[union-attr]
        "KAISER_DATABASE_URL": database_url,
        "KAISER_METRICS_PORT": str(free_port()),
        "KAISER_STATE_DIR": str(tmp_path),
    }
    running = []

    def start(**settings: str) -> Any:
        process = forked.Popen(["kaiser-recorder"], env=environment | settings)
        running.append(process)
        return process

    yield start
    for process in running:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGKILL)
