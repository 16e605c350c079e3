"""Helpers of ingest's tests: ingest as a real process, devices that publish, and a look at what was stored.

Each test has a site of its own, so its MQTT session and its messages are its own on a shared broker.
"""

import asyncio
import base64
import json
import os
import secrets
import signal
import socket
import struct
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import forked
import nats
import pytest
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.topics import filters
from kaiser_common.runtime.settings import CommonSettings
from waiting import until as wait_until

WITHIN_S = 120.0


class Ingest:
    """ingest as a process of its own."""

    def __init__(self, environment: dict[str, str], log: Path, port: int) -> None:
        self._environment = environment
        self._log = log
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it is ready later."""
        with self._log.open("ab") as log:
            self._process = forked.Popen(
                ["kaiser-ingest"],
                env={**os.environ, **self._environment, "KAISER_METRICS_PORT": str(self._port)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL."""
        self._signal(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        return self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        try:
            return self._process.wait(60)
        finally:
            self._process.kill()
            self._process = None

    def end(self) -> None:
        """End it whatever its state."""
        if self._process is not None:
            self.kill()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of its internal HTTP server; 0 if there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=2.0) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def connected(self) -> bool:
        return self.metric("kaiser_ingest_connected") == 1.0

    def metrics(self) -> dict[str, float]:
        """Every sample by its name with labels."""
        lines = [line for line in self.get("/metrics")[1].splitlines() if line and not line.startswith("#")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    def metric(self, name: str) -> float:
        return self.metrics().get(name, 0.0)

    def total(self, name: str) -> float:
        """Sum over the labels of a metric."""
        return sum(value for key, value in self.metrics().items() if key == name or key.startswith(name + "{"))

    def accounts_balance(self) -> bool:
        """received = published + rejected + ignored + in flight, for each kind."""
        balance: Counter[str] = Counter()
        for name, value in self.metrics().items():
            kind = name.partition('kind="')[2].partition('"')[0]
            if name.startswith("kaiser_ingest_received_messages_total{"):
                balance[kind] += int(value)
            elif name.startswith(("kaiser_ingest_messages_total{", "kaiser_ingest_in_flight_messages{")):
                balance[kind] -= int(value)
        return not any(balance.values())

    def log(self) -> str:
        return self._log.read_text()


class Device:
    """An MQTT 3.1.1 client that publishes, pipelined, and knows which PUBACKs it has seen."""

    def __init__(self, host: str, port: int, client_id: str = "", clean: bool = True) -> None:
        self._host, self._port = host, port
        self._client_id = client_id or f"device-{secrets.token_hex(6)}"
        self._clean = clean
        self._waiting: dict[int, int] = {}
        self._next_id = 0
        self._window = asyncio.Semaphore(500)
        self._tasks: list[asyncio.Task[None]] = []
        self._subscribed = asyncio.Event()
        self.acknowledged: set[int] = set()
        self.heard: list[tuple[str, bytes]] = []
        self.closed = asyncio.Event()

    async def connect(self) -> "Device":
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        name = self._client_id.encode()
        flags = 0x02 if self._clean else 0
        body = b"\x00\x04MQTT\x04" + bytes([flags]) + b"\x00\x3c" + struct.pack(">H", len(name)) + name
        self._writer.write(b"\x10" + _length(len(body)) + body)
        answer = await asyncio.wait_for(self._reader.readexactly(4), 60.0)
        assert answer[3] == 0, answer
        self._tasks = [asyncio.create_task(self._read())]
        return self

    async def publish(self, number: int, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> None:
        """Send; the PUBACK puts `number` into `acknowledged`. ConnectionError once the broker is gone."""
        if qos:
            await self._window.acquire()
            if self.closed.is_set():
                raise ConnectionError("closed")
            self._next_id = self._next_id % 65535 + 1
            self._waiting[self._next_id] = number
        name = topic.encode()
        body = struct.pack(">H", len(name)) + name + (struct.pack(">H", self._next_id) if qos else b"") + payload
        self._writer.write(bytes([0x30 | qos << 1 | retain]) + _length(len(body)) + body)
        if self._writer.transport.get_write_buffer_size() > 1_000_000:
            await self._writer.drain()

    async def subscribe(self, topic_filter: str) -> None:
        name = topic_filter.encode()
        body = b"\x00\x01" + struct.pack(">H", len(name)) + name + b"\x01"
        self._writer.write(b"\x82" + _length(len(body)) + body)
        await asyncio.wait_for(self._subscribed.wait(), 60.0)

    async def all_acknowledged(self, within_s: float = WITHIN_S) -> None:
        await self.all_acknowledged_or_closed(within_s)
        assert not self._waiting, f"{len(self._waiting)} without PUBACK"

    async def all_acknowledged_or_closed(self, within_s: float = WITHIN_S) -> None:
        await wait_until(lambda: not self._waiting or self.closed.is_set(), within_s=within_s, every_s=0.01)

    async def close(self) -> None:
        self._writer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while True:
                first = (await self._reader.readexactly(1))[0]
                length, shift = 0, 0
                while True:
                    byte = (await self._reader.readexactly(1))[0]
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                self._take(first, await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            self.closed.set()
            for _ in range(1000):
                self._window.release()

    def _take(self, first: int, body: bytes) -> None:
        kind = first & 0xF0
        if kind == 0x40:
            self.acknowledged.add(self._waiting.pop(struct.unpack(">H", body[:2])[0]))
            self._window.release()
        elif kind == 0x90:
            self._subscribed.set()
        elif kind == 0x30:
            end = 2 + struct.unpack(">H", body[:2])[0]
            packet_id = 2 if first & 6 else 0
            self.heard.append((body[2:end].decode(), body[end + packet_id :]))
            if packet_id and self._clean:  # a client on another's session takes nothing away
                self._writer.write(b"\x40\x02" + body[end : end + 2])


def _length(value: int) -> bytes:
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


class ScriptedBroker:
    """A broker that says what no real one here can be made to say; it answers the first packets and then hangs up."""

    host = "127.0.0.1"

    def __init__(self, *, connack: int = 0, suback: int = 1, puback: int | None = 0, farewell: bytes = b"") -> None:
        self._connack, self._suback, self._puback, self._farewell = connack, suback, puback, farewell
        self.port = 0
        self.connects: list[float] = []

    async def __aenter__(self) -> "ScriptedBroker":
        self._server = await asyncio.start_server(self._serve, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connects.append(time.monotonic())
        try:
            while True:
                first = (await reader.readexactly(1))[0] & 0xF0
                length, shift = 0, 0
                while True:
                    byte = (await reader.readexactly(1))[0]
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                body = await reader.readexactly(length)
                if first == 0x10:
                    writer.write(bytes([0x20, 3, 0, self._connack, 0]))
                    if self._connack:
                        break
                elif first == 0x80:
                    answers = bytes([self._suback] * len(filters()))
                    writer.write(bytes([0x90, 3 + len(answers)]) + body[:2] + b"\x00" + answers)
                elif first == 0x30 and self._puback is not None:
                    end = 2 + struct.unpack(">H", body[:2])[0]
                    writer.write(b"\x40\x03" + body[end : end + 2] + bytes([self._puback]))
                    if self._farewell:
                        await asyncio.sleep(0.2)
                        writer.write(self._farewell)
                        break
            await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


@pytest.fixture(autouse=True)
def servers_run_again(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start what a failed test left killed, so that it fails alone."""
    servers = [request.getfixturevalue(name) for name in ("nats_server", "mosquitto") if name in request.fixturenames]
    yield
    for server in servers:
        try:
            server.pid  # noqa: B018
        except RuntimeError:
            server.start()


@pytest.fixture
def scripted_broker() -> type[ScriptedBroker]:
    return ScriptedBroker


class World:
    """One site on real servers: its devices, its ingest processes, and what they stored."""

    def __init__(self, bus: CommonSettings, broker: Any, folder: Path, free_port: Callable[[], int]) -> None:
        self.bus = bus
        self.broker = broker
        self.site = f"s{secrets.token_hex(4)}"
        self._folder = folder
        self._free_port = free_port
        self._ingests: list[Ingest] = []

    def ingest(self, **environment: str) -> Ingest:
        """A process of ingest that serves this site, started."""
        settings = {
            "KAISER_NATS_URL": self.bus.nats_address,
            "KAISER_MQTT_HOST": self.broker.host,
            "KAISER_MQTT_PORT": str(self.broker.port),
            "KAISER_SITE": self.site,
            "KAISER_MQTT_KAISER_IDS": json.dumps([self.site]),
            "KAISER_LOG_FORMAT": "json",
            "KAISER_MQTT_FLAPPING_S": "0.2",
            "KAISER_SENSOR_RETENTION_DAYS": "36500",  # messages of the tests have fixed times
            **environment,
        }
        found = Ingest(settings, self._folder / f"ingest-{len(self._ingests)}.log", self._free_port())
        self._ingests.append(found)
        found.start()
        return found

    def end(self) -> None:
        for ingest in self._ingests:
            ingest.end()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[nats.NATS]:
        """A NATS client of the test's own."""
        client = await nats.connect(self.bus.nats_address, max_reconnect_attempts=-1, reconnect_time_wait=0.2)
        try:
            yield client
        finally:
            await client.close()

    async def approve(self, esp_ids: Sequence[str], state: str = "approved") -> None:
        """Register devices, as health does."""
        async with self.client() as client:
            bucket = await client.jetstream().key_value("devices")
            for esp_id in esp_ids:
                record = DeviceRecord(esp_id=esp_id, kaiser_id=self.site, state=state)  # type: ignore[arg-type]
                await bucket.put(esp_id, record.model_dump_json().encode())

    async def device(self, client_id: str = "", clean: bool = True) -> Device:
        """A device connected to the broker."""
        return await Device(self.broker.host, self.broker.port, client_id, clean).connect()

    def topic(self, esp_id: str, rest: str) -> str:
        return f"kaiser/{self.site}/esp/{esp_id}/{rest}"

    async def stored(self, stream: str) -> list[tuple[str, dict[str, Any]]]:
        """Subject and body of every message of a stream, of a pack those of each line."""
        async with self.client() as client:
            jetstream = client.jetstream()
            state = (await jetstream.stream_info(stream)).state
            if not state.messages:
                return []
            subscription = await jetstream.subscribe(
                ">" if stream != "SENSORS" else "esp.sensor.data.>",
                stream=stream,
                ordered_consumer=True,
                pending_msgs_limit=-1,
                pending_bytes_limit=-1,
            )
            found = []
            while True:
                message = await subscription.next_msg(timeout=60.0)
                found += [(message.subject, json.loads(line)) for line in message.data.split(b"\n")]
                if message.metadata.num_pending == 0:
                    return found

    async def count(self, stream: str) -> int:
        """Messages in a stream; readings on SENSORS."""
        if stream == "SENSORS":
            return len(await self.stored(stream))
        async with self.client() as client:
            return int((await client.jetstream().stream_info(stream)).state.messages)

    async def last_sequence(self, stream: str) -> int:
        """The sequence of the last message that a stream ever took, also where it keeps it no longer."""
        async with self.client() as client:
            return int((await client.jetstream().stream_info(stream)).state.last_seq)


@pytest.fixture
def make_world(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Callable[..., World]]:
    """`make_world(bus_settings, broker)`; every ingest started in it is ended with the test."""
    worlds: list[World] = []

    def make(bus: CommonSettings, broker: Any) -> World:
        worlds.append(World(bus, broker, tmp_path, free_port))
        return worlds[-1]

    yield make
    for world in worlds:
        world.end()


@pytest.fixture
def world_at(make_world: Callable[..., World], bus_settings: CommonSettings) -> Callable[[Any], World]:
    """`world_at(broker)` gives a site on the session's NATS (its streams empty) and that broker."""
    return lambda broker: make_world(bus_settings, broker)


@pytest.fixture
def world(world_at: Callable[[Any], World], mosquitto: Any) -> World:
    """A site on the session's NATS (its streams empty) and Mosquitto."""
    return world_at(mosquitto)


@pytest.fixture
def worlds_site(world: World) -> Callable[[str], str]:
    """A topic moved to the world's site."""
    return lambda topic: "/".join(["kaiser", world.site, *topic.split("/")[2:]])


def reading(esp_id: str, number: int, **fields: Any) -> bytes:
    """The payload of a reading whose ts and raw tell its number."""
    return json.dumps(
        {
            "ts": 1_767_225_600_000 + number,
            "esp_id": esp_id,
            "gpio": 34,
            "sensor_type": "ph",
            "raw": number,
            "raw_mode": True,
            **fields,
        }
    ).encode()


def payload_of(rejected: dict[str, Any]) -> bytes:
    """The payload of a stored rejection."""
    return base64.b64decode(rejected["payload_base64"])


@pytest.fixture
def make_reading() -> Callable[..., bytes]:
    return reading


@pytest.fixture
def until() -> Callable[..., Awaitable[Any]]:
    return wait_until


@contextmanager
def listening_port() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.fixture
def mute_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with listening_port() as port:
        yield port
