"""ingest and factory as processes on real servers, a client of the factory's broker, and requests as the gateway's."""

import json
import os
import secrets
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import forked
import paho.mqtt.client as paho
import pytest
from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.factory import FactoryModules
from kaiser_common.contract.schemas.api.system import MqttProfiles, SwitchProfile
from kaiser_common.runtime.settings import CommonSettings
from leases import end_lease
from leaving import leave
from pydantic import BaseModel
from simulated_factory import SimulatedFactory
from steered import is_known
from waiting import until as wait_until

WITHIN_S = 120.0


class Process:
    """A service as a process of its own."""

    def __init__(self, command: str, environment: dict[str, str], log: Path, lease: str = "") -> None:
        self._command = command
        self._lease = lease
        self._environment = {**os.environ, **environment}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._log.exists() and self._lease:  # it was killed before
            end_lease(self._environment["KAISER_NATS_URL"], self._lease)
        with self._log.open("ab") as log:
            self._process = forked.Popen([self._command], env=self._environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            self._process = None

    def log(self) -> str:
        return self._log.read_text()


class Plant:
    """A factory's broker with Kaiser at it."""

    def __init__(self, bus: Bus, broker: Any, ingest: Process, factory: Process, env: str) -> None:
        self.bus = bus
        self.env = env
        self.ingest = ingest
        self.factory = factory
        self.heard: list[tuple[str, bytes]] = []
        self.on_message: Callable[[str, bytes], None] = lambda _, __: None
        self.broker = broker
        self.relay_port = 0
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._filters: list[tuple[str, int]] = []
        self._client.on_message = self._on_message
        self._client.on_connect = self._on_connect
        self._client.reconnect_delay_set(1, 2)  # in place of up to two minutes after a long absence
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def subscribe(self, *filters: str) -> None:
        """Subscribe to messages of Kaiser; returns once the broker has confirmed."""
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._filters += [(each, 1) for each in filters]
        self._client.subscribe([(each, 1) for each in filters])
        assert subscribed.wait(WITHIN_S), "the broker confirms the subscription"

    def publish(self, topic: str, payload: Any, retain: bool = False) -> None:
        """Say something as the factory does; a value that is no bytes as JSON."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._client.publish(topic, body, qos=1, retain=retain)

    def link(self) -> str:
        """How this client is at the broker, for a test that hears nothing."""
        socket = self._client.socket()
        number = "no socket" if socket is None else f"socket {socket.fileno()}"
        return f"{'connected' if self._client.is_connected() else 'not connected'}, {number}, {len(self.heard)} heard"

    def end(self) -> None:
        leave(self._client)

    async def ask(
        self, method: str, request: BaseModel | None = None, answer: type[BaseModel] = Nothing, role: str = "operator"
    ) -> Any:
        """Ask the service factory."""
        caller = Caller(user="someone", role=role)
        return await call(self.bus, "factory", method, request or Nothing(), answer, caller=caller, timeout_s=60.0)

    async def switch(self, env: str) -> None:
        """Switch the environment, which is a profile of ingest, and wait until the factory has followed."""
        request = SwitchProfile(profile=env)
        caller = Caller(user="someone", role="admin")
        await call(self.bus, "ingest-factory", "switch_profile", request, MqttProfiles, caller=caller, timeout_s=60.0)

        async def followed() -> bool:
            found = await self.answers("modules", None, FactoryModules)
            return found is not None and bool(found.env == env)

        await wait_until(followed)

    async def answers(self, method: str, request: BaseModel | None, answer: type[BaseModel]) -> Any:
        """The same; None where the service is not ready, or refuses."""
        try:
            return await self.ask(method, request, answer)
        except RpcError:
            return None

    def _on_connect(self, *_: Any) -> None:
        if self._filters:  # a broker that was stopped keeps no session of this client
            self._client.subscribe(self._filters)

    def _on_message(self, _: Any, __: Any, message: Any) -> None:
        self.heard.append((message.topic, message.payload))
        self.on_message(message.topic, message.payload)


@pytest.fixture
async def plant(
    bus_settings: CommonSettings,
    database: str,
    mosquitto_factory: Callable[[], Any],
    tmp_path: Path,
    free_port: Callable[[], int],
) -> AsyncIterator[Plant]:
    """A broker of its own, empty streams, an empty environment."""
    broker = mosquitto_factory()
    env = f"live-{secrets.token_hex(4)}"
    common = {
        "KAISER_NATS_URL": bus_settings.nats_address,
        "KAISER_DATABASE_URL": database,
        "KAISER_LOG_FORMAT": "json",
        "KAISER_METRICS_PORT": "0",
    }
    at = {"host": broker.host, "port": broker.port}
    kinds = {env: "live", "other": "live", "again": "mock", "past": "replay"}
    profile = {name: {**at, "kind": kind} for name, kind in kinds.items()}
    profile["behind"] = {"host": "127.0.0.1", "port": free_port(), "kind": "live"}  # of a relay, if a test starts one
    at_broker = {
        "KAISER_MQTT_DIALECTS": '["factory"]',
        "KAISER_MQTT_PROFILES": json.dumps(profile),
        "KAISER_MQTT_PROFILE": env,
        "KAISER_MQTT_RETRY_S": "2",  # in place of up to a minute after a long absence of the broker
        "KAISER_SITE": "factory",
    }
    ingest = Process("kaiser-ingest", common | at_broker, tmp_path / "ingest.log")
    factory = Process("kaiser-factory", common, tmp_path / "factory.log", "factory")
    async with connect(bus_settings, "tests") as bus:
        ingest.start()
        factory.start()
        plant = Plant(bus, broker, ingest, factory, env)
        plant.relay_port = profile["behind"]["port"]
        try:
            # Before its first subscription the broker keeps nothing for ingest, and says nothing of that.
            await wait_until(lambda: "mqtt_connected" in ingest.log())
            yield plant
        finally:
            plant.end()
            factory.kill()
            ingest.kill()


@pytest.fixture
async def simulated(plant: Plant) -> SimulatedFactory:
    """A simulated factory, as soon as Kaiser has its state."""
    await wait_until(lambda: plant.answers("modules", None, FactoryModules))
    factory = SimulatedFactory(plant)
    await wait_until(lambda: is_known(plant, factory))
    return factory


@pytest.fixture
def process(bus_settings: CommonSettings, database: str, tmp_path: Path) -> Iterator[Callable[[str], Process]]:
    """Starts another service beside the factory."""
    environment = {
        "KAISER_NATS_URL": bus_settings.nats_address,
        "KAISER_DATABASE_URL": database,
        "KAISER_LOG_FORMAT": "json",
        "KAISER_METRICS_PORT": "0",
    }
    started: list[Process] = []

    def start(command: str) -> Process:
        started.append(Process(command, environment, tmp_path / f"{command}.log"))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def until() -> Callable[..., Awaitable[Any]]:
    return wait_until
