"""Everybody at one moment: devices that all connect within seconds, and WebSocket clients whose tokens end together."""

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import jwt
import psycopg
import pytest
from harness import Stack, wait_until
from kaiser_stack import mosquitto
from trial import SETTINGS, Trial, trial
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from bench import mqtt_packets

DEVICES = {True: 10_000, False: 300}
CONNECT_WITHIN_S = 10.0
ONLINE_WITHIN_S = {True: 30.0, False: 120.0}
CLIENTS = {True: 1_000, False: 60}
CONNECTING_S = {True: 60.0, False: 20.0}
BACK_WITHIN_S = {True: 60.0, False: 120.0}
"""All thousand clients are one process here, which opens its sockets one after the other."""
_AT_ONCE = 50
_TRIES = 5
_TOKEN_EXPIRED = 4001
_OF_A_CROWD = {"KAISER_HTTP_PER_ADDRESS": "5000", "KAISER_WS_PER_USER": "5000"}


@pytest.fixture(scope="module")
def stack_of_a_crowd(server_folder: Path, missing) -> Iterator[Stack]:
    """Every client has the address of this machine."""
    if not mosquitto.is_installed():
        missing("mosquitto", "mosquitto is not installed")
    folder = server_folder / f"crowd-{secrets.token_hex(3)}"
    stack = Stack(folder, KAISER_MQTT_BROKER="mosquitto", **SETTINGS, **_OF_A_CROWD)
    try:
        yield stack.start()
    finally:
        stack.stop()


class Booting(asyncio.Protocol):
    """A device that connects, says one heartbeat and stays."""

    transport: asyncio.Transport

    def __init__(self, esp_id: str) -> None:
        self._esp_id = esp_id
        self._packets = mqtt_packets.Acknowledgements()
        self.accepted_at = 0.0
        self.acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(mqtt_packets.connect(self._esp_id, keepalive_s=600))

    def data_received(self, data: bytes) -> None:
        packet_ids = self._packets.feed(data)
        if self._packets.accepted and not self.accepted_at:
            self.accepted_at = time.monotonic()
            topic = f"kaiser/god/esp/{self._esp_id}/system/heartbeat"
            self.transport.write(mqtt_packets.publish(topic, b'{"uptime":1,"heap_free":100000}', 1))
        if packet_ids and not self.acknowledged.done():
            self.acknowledged.set_result(None)


async def boot(stack: Stack, esp_ids: list[str]) -> list[Booting]:
    """Have the devices connect, spread evenly over ten seconds."""
    loop = asyncio.get_running_loop()
    host, port = stack.addresses["mqtt_host"], stack.addresses["mqtt_port"]
    began = time.monotonic()

    async def one(place: int, esp_id: str) -> Booting:
        await asyncio.sleep(began + place * CONNECT_WITHIN_S / len(esp_ids) - time.monotonic())
        _, device = await loop.create_connection(lambda: Booting(esp_id), host, port)
        return device

    async with asyncio.TaskGroup() as tasks:
        booting = [tasks.create_task(one(place, esp_id)) for place, esp_id in enumerate(esp_ids)]
    return [task.result() for task in booting]


def register(stack: Stack, count: int) -> list[str]:
    """Register so many devices; harness.register asks for one after the other."""
    run = secrets.token_hex(2).upper()
    esp_ids = [f"TEST_{run}_{number:05}" for number in range(count)]
    with stack.sign_in() as rest, ThreadPoolExecutor(8) as workers:
        answers = workers.map(lambda esp_id: rest.post("/api/v1/esp/devices", json={"esp_id": esp_id}), esp_ids)
        assert {answer.status_code for answer in answers} == {201}
    stack.settle_registry()
    return esp_ids


def online(stack: Stack, esp_ids: list[str]) -> int:
    with psycopg.connect(stack.addresses["database_url"], connect_timeout=5) as connection:
        found = connection.execute("SELECT count(*) FROM health.devices WHERE online AND esp_id = ANY(%s)", [esp_ids])
        return int((found.fetchone() or (0,))[0])


async def test_devices_that_all_connect_within_ten_seconds_are_online_and_delay_no_reading(
    stack_of_a_crowd: Stack, verdicts: Path, seed: int, full: bool
):
    stack = stack_of_a_crowd
    esp_ids = await asyncio.to_thread(register, stack, DEVICES[full])
    async with trial(stack, "crowd-of-devices", verdicts, seed=seed) as run:
        run.note(f"{len(esp_ids)} devices connect within {CONNECT_WITHIN_S:g} s")
        booted = await boot(stack, esp_ids)
        run.note("every device is connected")
        try:
            async with asyncio.timeout(ONLINE_WITHIN_S[full]):
                await asyncio.gather(*(device.acknowledged for device in booted))
            await asyncio.to_thread(
                wait_until,
                lambda: online(stack, esp_ids) == len(esp_ids),
                "every device is online",
                ONLINE_WITHIN_S[full],
            )
            run.note("every device is online")
            await run.recovered()
        finally:
            for device in booted:
                device.transport.abort()


@dataclass
class Page:
    """A frontend that is open: it is closed as its token ends, fetches a new one, connects and resumes."""

    url: str
    place: int
    closed_at: float = 0.0
    code: int = 0
    back_at: float = 0.0
    missed: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, ending: str, fresh: str) -> None:
        """With the token that ends, then with the fresh one, until cancelled."""
        try:
            async with self._open(ending) as socket:
                await self._subscribe(socket)
                self.ready.set()
                async for _ in socket:
                    pass
        except ConnectionClosed:
            self.ready.set()  # seen below by its code
        self.closed_at, self.code = time.time(), socket.close_code or 0
        while True:
            try:
                async with self._open(fresh) as socket:
                    await self._subscribe(socket)
                    await socket.send(json.dumps({"action": "resume", "after": 0}))
                    self.missed = (await self._until(socket, "resumed"))["data"]["missed"]
                    self.back_at = time.time()
                    async for _ in socket:
                        pass
            except (OSError, TimeoutError, WebSocketException):
                await asyncio.sleep(0.2)

    def _open(self, token: str) -> connect:
        url = f"{self.url}/api/v1/ws/realtime/page-{self.place}?token={token}"
        return connect(url, open_timeout=60, compression=None, ping_interval=None)

    async def _subscribe(self, socket: ClientConnection) -> None:
        await socket.send(json.dumps({"action": "subscribe", "filters": {"types": ["system_event"]}}))
        await self._until(socket, "subscribed")

    async def _until(self, socket: ClientConnection, kind: str) -> dict:
        async with asyncio.timeout(60):
            while (frame := json.loads(await socket.recv()))["type"] != kind:
                pass
        return frame


def token_until(stack: Stack, run: Trial, at: float) -> str:
    """The administrator's token, made to end at a given time."""
    claims = jwt.decode(run.token, options={"verify_signature": False})
    key = (stack.state_dir / "token-secret").read_text().strip()
    return jwt.encode({**claims, "exp": int(at)}, key, algorithm="HS256")


async def connected(
    stack: Stack, run: Trial, tasks: asyncio.TaskGroup, count: int, within_s: float
) -> tuple[list[Page], list[asyncio.Task[None]], float]:
    """Pages that are all connected, their tasks, and when their tokens end together. A machine that does not connect
    them in time begins again, with twice the time."""
    url = stack.addresses["http_url"].replace("http", "ws", 1)
    for tried in range(_TRIES):
        pages = [Page(url, place) for place in range(count)]
        ends_at = time.time() + within_s * 2**tried
        ending, fresh = token_until(stack, run, ends_at), token_until(stack, run, ends_at + 3600)
        running: list[asyncio.Task[None]] = []
        for start in range(0, count, _AT_ONCE):
            some = pages[start : start + _AT_ONCE]
            running += [tasks.create_task(page.run(ending, fresh)) for page in some]
            await asyncio.gather(*(page.ready.wait() for page in some))
        if time.time() < ends_at:
            return pages, running, ends_at
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    raise AssertionError(f"{count} clients did not connect within {within_s * 2 ** (_TRIES - 1):g} s")


async def test_clients_whose_tokens_end_at_one_moment_are_all_back_and_delay_nobody(
    stack_of_a_crowd: Stack, verdicts: Path, seed: int, full: bool
):
    stack = stack_of_a_crowd
    async with trial(stack, "tokens-end", verdicts, seed=seed) as run, asyncio.TaskGroup() as tasks:
        pages, running, ends_at = await connected(stack, run, tasks, CLIENTS[full], CONNECTING_S[full])
        await run.flow(ends_at - time.time())
        run.note(f"the tokens of {len(pages)} clients end")
        await run.until(lambda: all(page.back_at for page in pages), BACK_WITHIN_S[full], "every client is back")
        await run.recovered()
        for task in running:
            task.cancel()
    assert {page.code for page in pages} == {_TOKEN_EXPIRED}
