"""A gateway as a real process on a real NATS and PostgreSQL, and a client of an independent library."""

import asyncio
import json
import os
import re
import signal
import subprocess
import time
from contextlib import asynccontextmanager
from pathlib import Path

import forked
import httpx
import nats
import psycopg
import pytest
from kaiser_common.bus.connection import connect as bus_connect
from kaiser_common.bus.declare import apply
from kaiser_common.runtime.settings import CommonSettings
from kaiser_gateway.domain.tokens import Signer
from websockets.asyncio.client import connect

KEY = "test-key-test-key-test-key-test-key-test"
PASSWORD = "correct horse"


class Gateway:
    """One gateway process that can be stopped, killed and started again on the same port."""

    def __init__(self, environment: dict[str, str], port: int, log: Path | None) -> None:
        self.internal = f"http://127.0.0.1:{environment['KAISER_METRICS_PORT']}"
        self._environment = environment
        self._log = log
        self.port = port
        self.base = f"http://127.0.0.1:{port}"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        output = self._log.open("ab") if self._log else None
        self.process = forked.Popen(
            ["kaiser-websocket-gateway"],
            env=self._environment,
            stdout=output,
            stderr=output,
        )
        if output:
            output.close()
        deadline = time.monotonic() + 120
        while True:
            try:
                if httpx.get(f"{self.base}/readyz", timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert self.process.poll() is None, "the gateway ended"
            assert time.monotonic() < deadline, "the gateway is not ready"
            time.sleep(0.05)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)

    def events_read(self) -> float:
        """How many events it has read from the bus since its start."""
        page = httpx.get(f"{self.internal}/metrics", timeout=60).text
        return sum(map(float, re.findall(r"^kaiser_gateway_events_total{.*} (\S+)$", page, re.MULTILINE)))

    def token(self, role: str = "admin", lifetime_s: float = 600, user: str = "ada", generation: int = 0) -> str:
        """A token as the gateway makes them; ada and bea are users of generation 0 (see `known_users`)."""
        return Signer(KEY).sign(user, role, "access", time.time(), lifetime_s, gen=generation)

    def url(self, client_id: str, token: str | None = None, **query) -> str:
        query = {"token": token if token is not None else self.token(), **query}
        return f"ws://127.0.0.1:{self.port}/api/v1/ws/realtime/{client_id}?" + "&".join(
            f"{name}={value}" for name, value in query.items()
        )

    def connect(self, client_id: str = "c1", token: str | None = None, max_queue: int | None = 16, **query):
        return connect(self.url(client_id, token, **query), max_queue=max_queue)

    def wait_for_sign_in(self) -> None:
        """Return once sign-in is served: the gateway is ready before it has read its users."""
        body = {"refresh_token": "none"}
        for _ in range(600):
            if httpx.post(f"{self.base}/api/v1/auth/refresh", json=body, timeout=60).status_code != 503:
                return
            time.sleep(0.1)
        raise AssertionError("no sign-in within a minute")

    def http(self, role: str | None = "admin") -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.token(role)}"} if role else {}
        return httpx.AsyncClient(base_url=self.base, headers=headers, timeout=120)


@pytest.fixture(scope="module")
def module_bus(nats_server) -> str:
    """Address of a bus with everything declared."""
    settings = CommonSettings(nats_url=nats_server.url)

    async def declare() -> None:
        async with bus_connect(settings, "tests") as bus:
            await apply(bus)

    asyncio.run(declare())
    return settings.nats_address


@pytest.fixture(scope="module")
def known_users(database) -> None:
    """Users whose tokens the tests make by the key; nobody knows a password of theirs."""
    with psycopg.connect(database) as connection:
        for name in ("ada", "bea"):
            connection.execute(
                "INSERT INTO gateway.users (username, password_hash, role, generation) VALUES (%s, '!', 'admin', 0)"
                " ON CONFLICT DO NOTHING",
                (name,),
            )


@pytest.fixture(scope="module")
def start_gateway(module_bus, database, known_users, free_port):
    """`start_gateway(log=None, **settings)` gives a running gateway; all end with the module."""
    started: list[Gateway] = []

    def start(log: Path | None = None, **settings: str) -> Gateway:
        port = free_port()
        environment = {
            **os.environ,
            "KAISER_NATS_URL": module_bus,
            "KAISER_DATABASE_URL": database,
            "KAISER_METRICS_PORT": str(free_port()),
            "KAISER_HTTP_PORT": str(port),
            "KAISER_TOKEN_SECRET": KEY,
            "KAISER_ADMIN_PASSWORD": PASSWORD,
            "KAISER_WS_PER_USER": "5000",
            "KAISER_WS_MESSAGES": "1000",
            "KAISER_HTTP_PER_ADDRESS": "5000",
            **settings,
        }
        gateway = Gateway(environment, port, log)
        started.append(gateway)
        gateway.start()
        return gateway

    yield start
    for gateway in started:
        if gateway.process.poll() is None:
            assert gateway.stop() == 0


@pytest.fixture(scope="module")
def gateway(start_gateway) -> Gateway:
    """The module's gateway, with its administrator set; a test that stops it starts it again."""
    gateway = start_gateway(KAISER_REQUEST_PER_SECOND="1000")
    gateway.wait_for_sign_in()
    return gateway


class Events:
    """Publishes events as services do."""

    def __init__(self, client) -> None:
        self.client = client
        self._jetstream = client.jetstream()

    async def publish(self, kind: str = "sensor_data", esp_id: str = "ESP_A", **data) -> int:
        """Its seq."""
        data = {"esp_id": esp_id, "gpio": 4, "sensor_type": "ph", "value": 7.0, **data}
        ack = await self._jetstream.publish(f"event.{kind}.{esp_id}", json.dumps(data).encode())
        return ack.seq * 4096

    async def publish_pack(self, lines: list[str]) -> int:
        """The seq of its first line."""
        ack = await self._jetstream.publish("event.sensor_data.0", "\n".join(lines).encode())
        return ack.seq * 4096


@pytest.fixture
async def events(module_bus):
    client = await nats.connect(module_bus)
    yield Events(client)
    await client.close()


@pytest.fixture
def events_on():
    """`async with events_on(url) as events`: on another bus."""

    @asynccontextmanager
    async def open_events(url: str):
        client = await nats.connect(url, allow_reconnect=False)
        try:
            yield Events(client)
        finally:
            await client.close()

    return open_events


async def receive(websocket, kind: str | None = None, timeout_s: float = 60.0) -> dict:
    """The next frame, of a type if one is given."""
    async with asyncio.timeout(timeout_s):
        while True:
            frame = json.loads(await websocket.recv())
            if kind is None or frame["type"] == kind:
                return frame


async def settled(websocket) -> None:
    """A round trip: what was asked before is in force."""
    await websocket.send('{"action":"ping"}')
    await receive(websocket, "pong")


@pytest.fixture(name="receive")
def receive_fixture():
    return receive


@pytest.fixture(name="settled")
def settled_fixture():
    return settled
