"""The sandbox broker on a real NATS server: mock, replay and live hear nothing of each other, in either direction."""

import re
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import paho.mqtt.client as paho
import pytest
from kaiser_stack.logins import Login
from kaiser_stack.nats import binary
from kaiser_stack.private import PrivateServer
from kaiser_stack.process import Program
from kaiser_stack.sandbox import Sandbox
from leaving import leave

WITHIN_S = 60.0
DEPLOYED = Path(__file__).parents[3] / "deploy/nats/sandbox.conf"


@dataclass(frozen=True, slots=True)
class DeployedSandbox:
    """The sandbox broker as containers and Kubernetes start it, at other ports and with another place for its data."""

    home: Path
    port: int
    login: Login
    name: str = "sandbox"

    def prepare(self) -> Program:
        text = DEPLOYED.read_text()
        for line, here in (
            (r"^http: .*$", ""),
            (r"^port: 4222$", "port: -1"),
            (r'store_dir: ".*"', f'store_dir: "{self.home}"'),
            (r'host: "0.0.0.0"\n  port: 1884', f'host: "127.0.0.1"\n  port: {self.port}'),
            (r"^include .*$", f'sandbox_password: "{self.login.password}"'),
        ):
            text, count = re.subn(line, here, text, flags=re.M)
            assert count == 1, line
        config = self.home / "nats.conf"
        config.write_text(text)
        return Program(self.name, (binary(), "--config", str(config)))

    def probe(self) -> None:
        """NotReadyError until it answers a CONNECT."""
        Sandbox(self.home, self.port, self.login).probe()


@pytest.fixture(params=[Sandbox, DeployedSandbox], ids=["make run", "containers"])
def sandbox(
    request: pytest.FixtureRequest, server_folder: Path, free_port: Callable[[], int]
) -> Iterator[Sandbox | DeployedSandbox]:
    home = server_folder / f"sandbox-{secrets.token_hex(3)}"
    home.mkdir()
    password = home / "password"
    password.write_text(secrets.token_hex(8))
    server = PrivateServer(request.param(home, free_port(), Login("mock", password)), home / "sandbox.log")
    server.start()
    yield server.server
    server.kill()


class Client:
    """An MQTT client of a broker. refused: the reason, where the broker did not let it in."""

    def __init__(self, port: int, user: str = "", password: str = "") -> None:
        self.heard: list[bytes] = []
        self.refused = ""
        self._answered, self._arrived = threading.Event(), threading.Condition()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        if user:
            self._client.username_pw_set(user, password)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._answered.wait(WITHIN_S), "the broker answers"

    def subscribe(self, topic: str) -> None:
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.subscribe(topic, 1)
        assert subscribed.wait(WITHIN_S), "the broker confirms the subscription"

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish; returns once the broker has acknowledged it."""
        sent = self._client.publish(topic, payload, qos=1, retain=retain)
        sent.wait_for_publish(WITHIN_S)
        assert sent.is_published()

    def wait_for(self, payload: bytes) -> None:
        with self._arrived:
            assert self._arrived.wait_for(lambda: payload in self.heard, WITHIN_S), payload

    def end(self) -> None:
        leave(self._client)

    def _on_connect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        self.refused = str(reason) if reason.is_failure else ""
        self._answered.set()

    def _on_message(self, _: Any, __: Any, message: Any) -> None:
        with self._arrived:
            self.heard.append(message.payload)
            self._arrived.notify_all()


async def test_mock_replay_and_live_hear_nothing_of_each_other(sandbox: Any, nats_mqtt: Any) -> None:
    """Not what is published, and not what is retained; a client of the live bus hears nothing of the sandbox either."""
    password, token = sandbox.login.password, secrets.token_hex(4)
    ports = {"live": (nats_mqtt.port,), "mock": (sandbox.port, "mock", password)}
    ports["replay"] = (sandbox.port, "replay", password)
    topic, wanted = f"module/v1/ff/{token}/state", f"module/v1/ff/{token}/#"
    bus = await nats.connect(nats_mqtt.url)
    on_bus: list[bytes] = []

    async def keep(message: Any) -> None:
        on_bus.append(message.data)

    await bus.subscribe(f"module.v1.ff.{token}.>", cb=keep)
    await bus.flush()
    clients = {name: Client(*at) for name, at in ports.items()}
    late: dict[str, Client] = {}
    try:
        assert {client.refused for client in clients.values()} == {""}
        for client in clients.values():
            client.subscribe(wanted)
        for name, client in clients.items():
            client.publish(topic, f"{name} says".encode(), retain=True)
        # The end of each comes after everything that was acknowledged before, also what another had said.
        for name, client in clients.items():
            client.publish(topic, f"{name} ends".encode(), retain=True)
            client.wait_for(f"{name} ends".encode())
        for name, at in ports.items():
            late[name] = Client(*at)
            late[name].subscribe(wanted)
            late[name].wait_for(f"{name} ends".encode())
        assert {name: client.heard for name, client in clients.items()} == {
            name: [f"{name} says".encode(), f"{name} ends".encode()] for name in ports
        }
        assert {name: client.heard for name, client in late.items()} == {
            name: [f"{name} ends".encode()] for name in ports
        }
        await bus.flush()
        assert {data for data in on_bus if b"mock" in data or b"replay" in data} == set()
        assert any(b"live says" in data for data in on_bus)
    finally:
        clients["live"].publish(topic, b"", retain=True)
        for client in (*clients.values(), *late.values()):
            client.end()
        await bus.close()


def test_only_who_has_the_password_enters_the_sandbox(sandbox: Any) -> None:
    for user, password in (("", ""), ("mock", "another"), ("live", sandbox.login.password), ("MOCK", "")):
        client = Client(sandbox.port, user, password)
        client.end()
        assert client.refused, user
