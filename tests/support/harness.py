"""A whole stack as its users run it: `kaiser-stack run`, its processes, and what goes in and comes out.

Nothing here imports Kaiser: tests reach it only through MQTT, REST, WebSocket, NATS and SQL.
"""

import asyncio
import atexit
import base64
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forked
import httpx
import nats
import paho.mqtt.client as paho
import prepared
import psycopg
from leaving import leave
from own_ports import own_ports
from paho.mqtt.enums import CallbackAPIVersion
from websockets.asyncio.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 240.0
_LONGEST_PAUSE_S = 0.4
"""An answer costs the stack more time of the processor than it may take from what is waited for."""
_PATIENCE_S = 20.0
_PORTS = 16
"""The services' metrics are behind the port of HTTP."""
_OF_MIGRATION = {"KAISER_DATABASE_URL", "KAISER_NATS_URL", "KAISER_NATS_REPLICAS"}
"""With one of these, kaiser-migrate does something else than it has done in the folder that others are copies of."""
_LISTS = tuple(f"/api/v1/{path}" for path in ("esp/devices", "sensors", "actuators", "logic/rules", "debug/mock-esp"))
"""A list of each service that has a database."""
_WORSE = re.compile(r"warning|error|critical|Traceback|\[WRN\]|\[ERR\]|\[FTL\]|FATAL|PANIC", re.IGNORECASE)


def wait_until(condition: Callable[[], Any], what: str, within_s: float = 120.0) -> Any:
    """Ask until the answer is true, and return it; AssertionError naming `what` when the time is over."""
    deadline = time.monotonic() + within_s
    pause_s = 0.02
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.3, _LONGEST_PAUSE_S)
    return answer


@dataclass(frozen=True, slots=True)
class Message:
    """An MQTT message that is to be sent."""

    topic: str
    payload: bytes


class Stack:
    """A stack of one's own on free ports. `start` may be called again after `stop`: the data stays in `state_dir`.

    plain: started as its users start it, its services too; else each is a fork (forked.py).
    """

    def __init__(
        self, state_dir: Path, command: tuple[str, ...] = ("run",), *, plain: bool = False, **environment: str
    ) -> None:
        self.state_dir = state_dir
        self._plain = plain
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("KAISER_")},
            "KAISER_STATE_DIR": str(state_dir),
            "KAISER_HTTP_PORT": str(own_ports().take(_PORTS)),
            "KAISER_NATS_PORT": str(own_ports().take()),
            "KAISER_MQTT_PORT": str(own_ports().take()),
            "KAISER_SANDBOX_PORT": str(own_ports().take()),
            # Devices of tests speak MQTT themselves; test_system_secrets.py has a stack that asks them for a password.
            "KAISER_MQTT_ANONYMOUS": "true",
            "KAISER_ALARM_CHANNEL_NETWORKS": '["127.0.0.0/8"]',  # receivers of tests are on this machine
            "KAISER_INGEST_DISK_FREE": "0",  # how full the disk of this machine is must not matter
            **environment,
        }
        self._command = command
        self._console = state_dir.with_name(f"{state_dir.name}.console")
        self.addresses: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self._token = ""
        self._is_disturbed = False

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it without waiting."""
        environment = self.environment
        if self._command == ("run",) and not self._plain and not self.state_dir.exists():
            is_filled = prepared.fill(self.state_dir, _initialise)
            if is_filled and _OF_MIGRATION.isdisjoint(environment):
                environment = {**environment, forked.LEFT_OUT: "kaiser-migrate"}
        with self._console.open("ab") as output:
            self.process = forked.Popen(
                ["kaiser-stack", *self._command],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                plain=self._plain,
            )
        return self.process

    def start(self) -> "Stack":
        """Start it and wait until it says that it is ready."""
        process = self.launch()
        wait_until(
            lambda: process.poll() is not None or self._read_addresses(process.pid),
            "the stack is ready",
            READY_WITHIN_S,
        )
        assert process.poll() is None, f"the stack ended with {process.returncode}:\n{self.console()}"
        return self

    def _read_addresses(self, pid: int) -> bool:
        path = self.state_dir / "run" / "stack.json"
        if not path.exists():
            return False
        text = path.read_text()
        if not text:  # a power cut left it empty
            return False
        self.addresses = json.loads(text)
        return bool(self.addresses["pid"] == pid)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ctrl-C; its exit status. Nothing happens when it has ended."""
        if not self.process:
            return 0
        _remove_at_exit(self.state_dir / "postgres" / "elsewhere")
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(90.0)

    def remove(self) -> None:
        """Remove what it has stored, once it has ended; its logs stay."""
        prepared.remove(self.state_dir)

    def pid(self, name: str) -> int:
        """Process id of a server or service; waits until it runs."""
        return int(wait_until(lambda: self._pid(name), f"{name} runs"))

    def _pid(self, name: str) -> int | None:
        try:
            words = (self.state_dir / "run" / f"{name}.pid").read_text().split()
        except FileNotFoundError:
            return None
        return int(words[0]) if words else None  # a power cut, or the moment before it is written, leaves it empty

    def pids(self) -> dict[str, int]:
        """Process ids of everything that runs."""
        found = {path.stem: self._pid(path.stem) for path in (self.state_dir / "run").glob("*.pid")}
        return {name: pid for name, pid in found.items() if pid is not None}  # None: ended while we looked

    def kill(self, name: str) -> None:
        """SIGKILL a process; the stack starts it again."""
        self._is_disturbed = True
        os.kill(self.pid(name), signal.SIGKILL)

    def control(self, command: str, name: str) -> None:
        """`stop` or `kill` a process and keep it down; `start` it again."""
        self._is_disturbed = True
        forked.run(["kaiser-stack", command, name], env=self.environment, cwd=ROOT, check=True, timeout=60)

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def settle(self) -> None:
        """After a test that killed or stopped something: wait until each service answers what needs the database."""
        if self._is_disturbed:
            with self.sign_in() as rest:
                wait_until(lambda: all(_answers(rest, path) for path in _LISTS), "every service answers again", 120.0)
        self._is_disturbed = False

    def console(self) -> str:
        """The output of the stack so far."""
        return self._console.read_text(errors="replace") if self._console.exists() else ""

    def logs(self) -> str:
        """For a failed test: the end of what the console said, and of each log the last warnings and errors."""
        parts = [f"=== console, {self.state_dir}\n{self.console()[-600:]}"]
        for path in sorted((self.state_dir / "log").glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()
            worse = [line[:250] for line in lines if _WORSE.search(line)]
            parts.append(f"=== {path.name}, {len(lines)} lines\n" + "\n".join(worse[-6:]))
        return "\n".join(parts)

    def log_lines(self) -> str:
        """All that the processes have written."""
        return "\n".join(path.read_text(errors="replace") for path in (self.state_dir / "log").glob("*.log"))

    # What goes in and comes out

    def publish(self, messages: Iterable[Message], *, as_ingest: bool = False) -> None:
        """Send messages at QoS 1, as devices would; returns once the broker has acknowledged every one.

        as_ingest: by the user of ingest, the only one who may send to devices.
        """
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        if as_ingest:
            client.username_pw_set("kaiser-ingest", (self.state_dir / "mqtt-ingest-password").read_text().strip())
        client.max_inflight_messages_set(200)
        client.reconnect_delay_set(1, 2)
        client.connect(self.addresses["mqtt_host"], self.addresses["mqtt_port"], keepalive=30)
        client.loop_start()
        try:
            sent = [client.publish(message.topic, message.payload, qos=1) for message in messages]
            wait_until(lambda: all(one.is_published() for one in sent), "the broker acknowledged every message", 60.0)
        finally:
            leave(client)

    def sign_in(self) -> httpx.Client:
        """A REST client of the administrator; one token serves them all, so the database need not be there again."""
        if not self._token:
            form = {"username": "admin", "password": self.password()}
            address = f"{self.addresses['http_url']}/api/v1/auth/token"

            def asked() -> httpx.Response | None:  # 503: the database is busy
                answer = httpx.post(address, data=form, timeout=60, verify=False)
                return answer if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE else None

            answer = wait_until(asked, "a sign-in is answered")
            answer.raise_for_status()
            self._token = answer.json()["access_token"]
        return httpx.Client(
            base_url=self.addresses["http_url"],
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=30.0,
            transport=_Patient(verify=False),  # plain HTTP: reading certificates costs more than all requests of a test
        )

    def password(self) -> str:
        """The administrator's password."""
        return (self.state_dir / "admin-password").read_text().strip()

    def register(self, count: int) -> list[str]:
        """Register devices that no other test has, and return their ids."""
        run = secrets.token_hex(4).upper()
        devices = [f"TEST_{run}_{number:03}" for number in range(count)]
        with self.sign_in() as rest:
            for esp_id in devices:
                answer = rest.post("/api/v1/esp/devices", json={"esp_id": esp_id})
                assert answer.status_code == 201, answer.text
        self.settle_registry()
        return devices

    def settle_registry(self) -> None:
        """Return once ingest knows the registry as it is now: before, it rejects a new device's messages as unknown."""
        revision = self._newest("KV_devices")
        wait_until(lambda: self._seen_by_ingest("devices") >= revision, "ingest knows the new devices")

    def _newest(self, stream: str) -> int:
        """The last sequence of a stream."""
        with ThreadPoolExecutor(1) as aside:  # a test may run in an event loop of its own
            return aside.submit(asyncio.run, self._last_sequence(stream)).result(60)

    async def _last_sequence(self, stream: str) -> int:
        client = await nats.connect(self.addresses["nats_url"], max_reconnect_attempts=3)
        try:
            return int((await client.jetstream().stream_info(stream)).state.last_seq)
        finally:
            await client.close()

    def _seen_by_ingest(self, bucket: str) -> float:
        found = re.search(
            rf'^kaiser_bus_mirror_revision{{bucket="{bucket}"}} (\S+)$', self._metrics_of_ingest(), re.MULTILINE
        )
        return float(found[1]) if found else -1.0

    def _metrics_of_ingest(self) -> str:
        """Empty while it does not answer."""
        port = self.addresses["metrics_ports"]["ingest"]
        try:
            return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10, verify=False).text
        except httpx.HTTPError:
            return ""

    def rows(self, devices: list[str]) -> int:
        """How many readings of the devices are stored."""
        with psycopg.connect(self.addresses["database_url"], connect_timeout=5) as connection:
            found = connection.execute("SELECT count(*) FROM sensor.data WHERE esp_id = ANY(%s)", [devices]).fetchone()
        return int(found[0]) if found else 0

    @asynccontextmanager
    async def events(self, devices: list[str], rate: int = 5000) -> AsyncIterator["Events"]:
        """The sensor_data events of the devices, as a WebSocket client gets them."""
        with self.sign_in() as rest:
            token = rest.headers["Authorization"].removeprefix("Bearer ")
        host = self.addresses["http_url"].removeprefix("http://")
        url = f"ws://{host}/api/v1/ws/realtime/{secrets.token_hex(4)}?rate={rate}&token={token}"
        async with connect(url, max_queue=None, open_timeout=60) as socket:
            filters = {"types": ["sensor_data"], "esp_ids": devices}
            await socket.send(json.dumps({"action": "subscribe", "filters": filters}))
            events = Events(socket)
            await events.until("subscribed")
            yield events

    async def rejected(self, topics: set[str] | None = None) -> list[dict[str, Any]]:
        """Every entry of the stream REJECTED, or those that came by one of these MQTT topics."""
        client = await nats.connect(self.addresses["nats_url"], max_reconnect_attempts=3)
        try:
            jetstream = client.jetstream()
            count = (await jetstream.stream_info("REJECTED")).state.messages
            subscription = await jetstream.subscribe("rejected.>", ordered_consumer=True)
            packs = [(await subscription.next_msg(5.0)).data for _ in range(count)]
        finally:
            await client.close()
        bodies = [json.loads(line) for pack in packs for line in pack.split(b"\n")]
        return [body for body in bodies if topics is None or body["topic"] in topics]

    async def rejected_count(self, topics: set[str], count: int, within_s: float = 120.0) -> list[dict[str, Any]]:
        """The entries of REJECTED, once there are as many as expected."""
        deadline = time.monotonic() + within_s
        while len(found := await self.rejected(topics)) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} entries in REJECTED within {within_s:g} s"
            await asyncio.sleep(0.2)
        return found


def _initialise(state_dir: Path) -> None:
    """Start servers on a new state folder, without an MQTT broker; stop them when all is migrated and declared."""
    prepared.keep_database_in_reach(state_dir)
    servers = Stack(state_dir, ("servers",), KAISER_MQTT_HOST="127.0.0.1").start()
    assert servers.stop() == 0, servers.console()


def _remove_at_exit(link: Path) -> None:
    """Of a stack that root started, PostgreSQL's data lies outside the state folder: remove it when the tests end."""
    if link.is_symlink() and (data := link.resolve()).is_relative_to("/var/lib/kaiser"):
        atexit.register(shutil.rmtree, data, ignore_errors=True)


class _Patient(httpx.HTTPTransport):
    """Repeats a request that was answered 429, as a client should: the set-up of a test is not a flood."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            response = super().handle_request(request)
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS or time.monotonic() > deadline:
                return response
            response.close()
            time.sleep(float(response.headers.get("Retry-After", 1)))


def _answers(rest: httpx.Client, path: str) -> bool:
    try:
        return rest.get(path).status_code == 200
    except httpx.HTTPError:
        return False


class Events:
    """A WebSocket's frames."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def until(self, frame_type: str, within_s: float = 120.0) -> dict[str, Any]:
        """The next frame of a type; others before it are dropped."""
        async with asyncio.timeout(within_s):
            while (frame := json.loads(await self._socket.recv()))["type"] != frame_type:
                pass
        return dict(frame)

    async def sensor_data_until(self, last: Callable[[dict[str, Any]], bool], within_s: float = 120.0) -> list[Any]:
        """The `data` of every reading up to and without the one for which `last` is true.

        Not of those told again as stale: on a slow machine a sensor falls silent while something else is waited for.
        """
        collected: list[Any] = []
        async with asyncio.timeout(within_s):
            while True:
                data = (await self.until("sensor_data", within_s))["data"]
                if last(data):
                    return collected
                if data["quality"] != "stale":
                    collected.append(data)


def reading(esp_id: str, gpio: int, ts: int, value: float) -> Message:
    """A valid reading (docs/devices.md)."""
    body = {
        "ts": ts,
        "esp_id": esp_id,
        "gpio": gpio,
        "sensor_type": "DS18B20",
        "raw": round(value * 100),
        "raw_value": value,
        "raw_mode": False,
        "value": value,
        "unit": "°C",
        "quality": "good",
    }
    return Message(f"kaiser/god/esp/{esp_id}/sensor/{gpio}/data", json.dumps(body, ensure_ascii=False).encode())


def payload_of(entry: dict[str, Any]) -> bytes:
    """The payload that a rejected message came with."""
    return base64.b64decode(entry["payload_base64"])
