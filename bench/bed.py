"""The test bed: a separate stack, its devices, and how far a run of readings has come."""

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from harness import Stack, wait_until

from bench import processes, sender
from bench.sender import Job

_SETTINGS = {
    "KAISER_REQUEST_PER_SECOND": "100000",
    "KAISER_TOKEN_MINUTES": "600",
    "KAISER_LOG_LEVEL": "warning",
    "KAISER_WS_PER_USER": "2000",
    "KAISER_HTTP_PER_ADDRESS": "5000",
    "KAISER_LOGIC_RULES_MAX": "20000",
}
_STORED_WITHIN_S = 300.0
_TOLD_WITHIN_S = 3.0


@dataclass
class Bed:
    """A running stack with registered devices."""

    stack: Stack
    devices: list[str] = field(default_factory=list)
    filled: int = 0
    """Rows that the parts of growth have put into the table."""
    _next_ms: int = 0

    def register(self, count: int) -> None:
        """Have at least so many devices, approved and known to ingest."""
        wanted = [f"TEST_B{number:05}" for number in range(count)]
        missing = wanted[len(self.devices) :]

        def post(esp_id: str) -> None:
            answer = rest.post("/api/v1/esp/devices", json={"esp_id": esp_id})
            assert answer.status_code == 201, answer.text

        with self.stack.sign_in() as rest, ThreadPoolExecutor(8) as workers:
            list(workers.map(post, missing))
        self.devices += missing

    def job(self, count: int, *, devices: int, rate: float = 0.0, prefix: str = "", now: bool = False) -> Job:
        """A run of readings of times that no other run has: of half a day ago on, or of now, for what leaves the past
        alone."""
        base_ms = max(self._next_ms, int(time.time() * 1000) - (0 if now else 12 * 3_600_000))
        self._next_ms = base_ms + count
        address = self.stack.addresses
        return Job(address["mqtt_host"], address["mqtt_port"], self.devices[:devices], base_ms, count, rate, prefix)

    def rows(self, job: Job) -> int:
        """How many readings of a run are stored."""
        with self.connect() as connection:
            found = connection.execute(
                "SELECT count(*) FROM sensor.data WHERE time >= to_timestamp(%s) AND time < to_timestamp(%s)",
                [job.base_ms / 1000, (job.base_ms + job.count) / 1000],
            ).fetchone()
        return int(found[0]) if found else 0

    def acknowledged(self) -> int:
        """How many readings sensor has stored and acknowledged to the bus so far, by its own count."""
        text = httpx.get(f"http://127.0.0.1:{self.stack.addresses['metrics_ports']['sensor']}/metrics", timeout=10).text
        return int(
            sum(
                float(line.split()[1])
                for line in text.splitlines()
                if line.startswith("kaiser_sensor_stored_readings_total ")
            )
        )

    def until_stored(self, job: Job, before: int) -> float:
        """Wait until every reading of the run is committed; when that was seen, in seconds since 1970."""
        wait_until(lambda: self.acknowledged() - before >= job.count, "every reading is stored", _STORED_WITHIN_S)
        at = time.time()
        assert self.rows(job) == job.count, f"{self.rows(job)} of {job.count} readings are stored"
        return at

    def warm_up(self) -> None:
        """Readings that are not counted: the first ones after PostgreSQL's restart wait for new connections."""
        job = self.job(2000, devices=len(self.devices), rate=500.0)
        with sender.start(job) as sending:
            before = self.acknowledged()
            sending.go()
            sending.result()
            self.until_stored(job, before)

    def bring_online(self) -> None:
        """Each registered device sends one message, so that every service knows it is online."""
        job = self.job(len(self.devices), devices=len(self.devices), rate=1000.0)
        with sender.start(job) as sending:
            before = self.acknowledged()
            sending.go()
            sending.result()
            self.until_stored(job, before)
        wait_until(lambda: self._online() >= len(self.devices), "every device is online", _STORED_WITHIN_S)
        time.sleep(_TOLD_WITHIN_S)

    def _online(self) -> int:
        with self.connect() as connection:
            found = connection.execute("SELECT count(*) FROM health.devices WHERE online").fetchone()
        return int(found[0]) if found else 0

    def connect(self) -> "psycopg.Connection[tuple[Any, ...]]":
        return psycopg.connect(self.stack.addresses["database_url"], autocommit=True, connect_timeout=5)

    def usage(self) -> dict[str, processes.Usage]:
        """CPU and memory of every process of the stack."""
        return {name: processes.usage(pid) for name, pid in sorted(self.stack.pids().items())}

    def token(self) -> str:
        with self.stack.sign_in() as rest:
            return str(rest.headers["Authorization"].removeprefix("Bearer "))


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """SIGTERM, as `timeout` and service managers send it, raises SystemExit in the body, so that what was started is
    ended as with Ctrl-C. For the main thread."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def bed(broker: str = "auto", command: tuple[str, ...] = ("run",), /, **settings: str) -> Iterator[Bed]:
    """A stack with PostgreSQL noting when each transaction was committed; all is removed at the end. command:
    `run --factory` has a second ingest for the factory, whose environment the devices do not follow."""
    folder = Path(tempfile.mkdtemp(prefix="kaiser-bench-"))
    folder.chmod(0o711)
    stack = Stack(folder / "state", command, plain=True, KAISER_MQTT_BROKER=broker, **_SETTINGS, **settings)
    try:
        with ending_on_sigterm():
            stack.start()
            bed = Bed(stack)
            _note_commit_times(bed)
            yield bed
    finally:
        if stack.process and stack.process.poll() is None:
            try:
                stack.stop()
            finally:
                stack.process.kill()
                stack.process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _note_commit_times(bed: Bed) -> None:
    with bed.connect() as connection:
        connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
    bed.stack.control("stop", "postgres")
    bed.stack.control("start", "postgres")
    wait_until(lambda: _is_noting(bed), "PostgreSQL notes commit times")
    base = bed.stack.addresses["http_url"]
    wait_until(lambda: httpx.get(f"{base}/readyz", timeout=10).status_code == 200, "the stack is ready again")


def _is_noting(bed: Bed) -> bool:
    try:
        with bed.connect() as connection:
            found = connection.execute("SHOW track_commit_timestamp").fetchone()
    except psycopg.OperationalError:
        return False
    return found == ("on",)
