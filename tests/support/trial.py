"""One trial: numbered readings at a steady rate during injected faults, then the verdict on every promise."""

import asyncio
import json
import os
import secrets
import socket
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from fleet import GPIO, Fleet, good_before, number_of_rejected
from harness import ROOT, Stack
from oracle import Evidence, Judgement, judge
from watcher import Watcher

from bench.load import Address, Line, Numbered, steady

SETTINGS = {
    "KAISER_WS_MAX_RATE": "1000000",
    "KAISER_WS_CLIENT_BYTES": "500000000",
    "KAISER_TOKEN_MINUTES": "600",
    "KAISER_REQUEST_PER_SECOND": "1000",
    "KAISER_COMMANDS_PER_MINUTE": "100000",
}
"""The watching client must see every event, so nothing is conflated for it; operators may press without a limit."""

DEVICES = 20
LINES = 4
IS_FULL = os.environ.get("FAULTS", "short") == "full"
RATES = {"mosquitto": 1000.0, "nats": 300.0} if IS_FULL else {"mosquitto": 200.0, "nats": 100.0}
"""Messages a second by broker. NATS as the broker writes each message through to the disk by itself: on two cores it
takes about 2,000 a second when it does nothing else, so 1,000 would leave it little to catch up with. The short form
runs three trials at once, beside other work on the machine."""
RECOVERY_S = 15.0 if IS_FULL else 240.0
"""The requirement; the short form requires only that it comes back, and the report says when."""
_SETTLED_S = 1.0
"""Recovered: what was sent up to a second ago is stored and shown."""
_POLL_S = 0.25
_TICK_S = 0.01
_REDELIVERED_S = 12.0
_LAST_ACKS_S = 0.1
"""Acknowledgements that it sent before are read in this time; it is not started again so soon."""
_COUNT = "SELECT count(*) FROM sensor.data WHERE esp_id = ANY(%s) AND time < %s"
_LOST_BY_MOSQUITTO_S = 11.5
"""Messages acknowledged so long before the kill may be lost (docs/decisions/0010): it writes every 10 s, and the
test learns of the kill a little later."""


@dataclass
class Report:
    """The content of the verdict file."""

    name: str
    seed: int
    broker: str
    rate_per_s: float
    started_at: str
    versions: dict[str, str]
    faults: list[dict[str, Any]] = field(default_factory=list)
    recoveries_s: list[float] = field(default_factory=list)
    judgement: dict[str, Any] = field(default_factory=dict)


class Trial:
    """Traffic that runs by itself; the test does something and asks `recovered`."""

    def __init__(self, stack: Stack, fleet: Fleet, report: Report, folder: Path, *, watched: bool) -> None:
        self.stack = stack
        self.fleet = fleet
        self.report = report
        self.token = _token(stack)
        self.watcher = Watcher(stack.addresses["http_url"], self.token, fleet)
        self.watched = watched
        self.sent_at: list[float] = []
        self.acknowledged: dict[int, float] = {}
        self.excused: set[int] = set()
        self._acknowledged_file = folder / f"{report.name}.acknowledged"
        self._lines: list[Line] = []
        self._stop = asyncio.Event()
        self._since = time.monotonic()
        self._unexplained: list[str] = []

    # The course of a trial

    async def flow(self, seconds: float) -> None:
        """Let the traffic run."""
        await asyncio.sleep(seconds)

    def note(self, what: str) -> None:
        """Put what is done to the stack in the report, and count the time to recover from now."""
        self._since = time.monotonic()
        self.report.faults.append({"what": what, "at_s": round(self._since - self.sent_at[0], 3)})

    async def excuse_what_mosquitto_held(self) -> None:
        """Mosquitto was killed just now: what it acknowledged shortly before may be gone."""
        await asyncio.sleep(_LAST_ACKS_S)
        since = time.monotonic() - _LOST_BY_MOSQUITTO_S
        self.excused.update(number for number, at in list(self.acknowledged.items()) if at >= since)

    async def recovered(self, within_s: float = RECOVERY_S) -> float:
        """Wait until what is sent is stored and shown within a second again; how long that took since `note`."""
        while True:
            await asyncio.sleep(_POLL_S)
            now = time.monotonic()
            if await self._is_settled(now):
                break
            if now - self._since > within_s + _SETTLED_S:
                self._unexplained.append(f"not recovered within {within_s:g} s: {await self._what_lags()}")
                break
        took_s = max(0.0, time.monotonic() - self._since - _SETTLED_S)
        self.report.recoveries_s.append(round(took_s, 2))
        return took_s

    async def _is_settled(self, now: float) -> bool:
        """Whether everything that was sent up to a second ago (and after the fault) is stored and shown."""
        due = self._number_at(now - _SETTLED_S)
        if not self.sent_at or self.sent_at[due - 1] < self._since:
            return False
        wanted = good_before(due) - len(self.excused)
        if self.watched and sum(number < due for number in self.watcher.shown) < wanted:
            return False
        return await asyncio.to_thread(self._rows, due) >= wanted

    def _number_at(self, at: float) -> int:
        """How many messages had been sent at this time."""
        number = len(self.sent_at)
        while number > 1 and self.sent_at[number - 1] > at:
            number -= 1
        return number

    async def _what_lags(self) -> str:
        return (
            f"sent {len(self.sent_at)}, acknowledged {len(self.acknowledged)}, "
            f"rows {await asyncio.to_thread(self._rows, len(self.sent_at))}, shown {len(self.watcher.shown)}"
        )

    def _rows(self, below: int) -> int:
        """How many of the messages below this number are stored; -1 while the database is away."""
        end = datetime.fromtimestamp((self.fleet.base_ms + below) / 1000, UTC)
        try:
            with psycopg.connect(self.stack.addresses["database_url"], connect_timeout=2) as connection:
                found = connection.execute(_COUNT, [list(self.fleet.devices), end]).fetchone()
            return int(found[0]) if found else 0
        except psycopg.OperationalError:
            return -1

    # Load

    async def _load(self, rate: float) -> None:
        address = Address(self.stack.addresses["mqtt_host"], self.stack.addresses["mqtt_port"])
        run = secrets.token_hex(3)
        with self._acknowledged_file.open("w") as file:

            def on_acknowledged(numbers: list[int]) -> None:
                now = time.monotonic()
                for number in numbers:
                    self.acknowledged.setdefault(number, now)
                file.writelines(f"{number} {now:.6f}\n" for number in numbers)

            self._lines = [Line(address, f"fleet-{run}-{index}", on_acknowledged) for index in range(LINES)]
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(line.run()) for line in self._lines]
                await steady(rate, lambda _: self.send(1), self._stop)
                await self.until(lambda: not self._open(), 240.0, "every message is acknowledged")
                for task in running:
                    task.cancel()

    def send(self, count: int) -> None:
        """Send the fleet's next messages."""
        for number in range(len(self.sent_at), len(self.sent_at) + count):
            self.sent_at.append(time.monotonic())
            self._line_of(number).offer([self.fleet.message(number)])

    def send_beside(self, messages: Iterable[Numbered]) -> None:
        """Send what is not the fleet's, with negative numbers: it is for the test to account for it."""
        for message in messages:
            self._line_of(message.number).offer([message])

    def latencies_s(self, first: int, stop: int) -> list[float]:
        """From the sending of each good message of this range to its frame at the client, in order of size."""
        shown_at = self.watcher.shown_at
        return sorted(shown_at[number] - self.sent_at[number] for number in range(first, stop) if number in shown_at)

    def _line_of(self, number: int) -> Line:
        return self._lines[number % len(self.fleet.devices) % LINES]

    def _open(self) -> int:
        return sum(line.open for line in self._lines)

    async def until(self, condition: Callable[[], Any], within_s: float, what: str) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                self._unexplained.append(f"not within {within_s:g} s: {what}")
                return
            await asyncio.sleep(_TICK_S)

    # The end

    async def _judge(self) -> Judgement:
        """Wait until everything has come down the line, then compare."""
        sent = len(self.sent_at)
        wanted = good_before(sent) - len(self.excused)

        def settled() -> bool:
            return (not self.watched or len(self.watcher.shown) >= wanted) and self._rows(sent) >= wanted

        await self._until_in_thread(settled, 240.0 + sent / 2000)
        await self._until_nothing_more_comes(good_before(sent))
        await asyncio.sleep(_POLL_S)  # what should not come has a moment to come
        evidence = Evidence(
            sent=sent,
            acknowledged=set(self.acknowledged),
            stored=await asyncio.to_thread(stored_numbers, self.stack, self.fleet),
            rejected=await rejected_numbers(self.stack, self.fleet),
            shown=Counter(self.watcher.shown) if self.watched else None,
            excused=frozenset(self.excused),
            repeated=sum(line.repeated for line in self._lines),
            missed_by_client=self.watcher.missed,
            delivers_anew=self.report.broker == "nats",
        )
        judgement = judge(evidence)
        judgement.broken.extend(self._unexplained)
        return judgement

    async def _until_nothing_more_comes(self, all_good: int) -> None:
        """Where some may be lost: wait until all is there, or nothing has come for longer than a redelivery takes."""
        before, since = -1, time.monotonic()
        while self.excused and time.monotonic() - since < _REDELIVERED_S:
            rows = await asyncio.to_thread(self._rows, len(self.sent_at))
            if rows >= all_good:
                return
            if rows != before:
                before, since = rows, time.monotonic()
            await asyncio.sleep(_POLL_S)

    async def _until_in_thread(self, condition: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if await asyncio.to_thread(condition):
                return
            await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def trial(
    stack: Stack,
    name: str,
    folder: Path,
    *,
    seed: int,
    rate: float | None = None,
    settle_s: float = 2.0 if IS_FULL else 1.0,
    watched: bool = True,
) -> AsyncIterator[Trial]:
    """Steady traffic for the body; then it is judged, told and written down. AssertionError names what was broken.

    Not `watched`, there is no WebSocket client: for more events than the gateway keeps for one.
    """
    devices = await asyncio.to_thread(stack.register, DEVICES)
    fleet = Fleet(devices, int(time.time() * 1000) - 3_600_000)
    broker = stack.environment["KAISER_MQTT_BROKER"]
    rate = rate or RATES[broker]
    report = Report(
        name=f"{name}-{broker}",
        seed=seed,
        broker=broker,
        rate_per_s=rate,
        started_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        versions=versions(stack),
    )
    run = Trial(stack, fleet, report, folder, watched=watched)
    watching = asyncio.create_task(run.watcher.run() if watched else asyncio.sleep(0), name="watcher")
    try:
        if watched:
            await asyncio.wait_for(run.watcher.following.wait(), 120.0)
        loading = asyncio.create_task(run._load(rate), name="load")
        try:
            await run.flow(settle_s)
            yield run
            await run.flow(settle_s / 2)
        except AssertionError as error:
            run._unexplained.append(str(error))
        finally:
            run._stop.set()
            await asyncio.wait([loading], timeout=250.0)
            loading.cancel()
        judgement = await run._judge()
    finally:
        watching.cancel()
    report.judgement = asdict(judgement)
    (folder / f"{report.name}.json").write_text(json.dumps(asdict(report), indent=2) + "\n")
    print(line(report, judgement))
    assert not judgement.broken, f"{report.name}: " + "; ".join(judgement.broken)


def line(report: Report, judgement: Judgement) -> str:
    """The one line that a trial prints."""
    slowest = max(report.recoveries_s, default=0.0)
    parts = [
        f"sent {judgement.sent}",
        f"stored {judgement.stored}",
        f"rejected {judgement.rejected}",
        f"duplicates {judgement.duplicates}",
        f"recovered in {slowest:.1f} s",
    ]
    if judgement.lost:
        parts.append(f"lost by the killed Mosquitto {judgement.lost}")
    if judgement.rejected_again:
        parts.append(f"rejected again {judgement.rejected_again}")
    if judgement.shown_again:
        parts.append(f"shown again {judgement.shown_again}")
    return f"{report.name}: {', '.join(parts)}"


def stored_numbers(stack: Stack, fleet: Fleet) -> Counter[int]:
    """Numbers of the rows; -1 for a row that no device sent so."""
    with psycopg.connect(stack.addresses["database_url"], connect_timeout=5) as connection:
        rows = connection.execute(
            "SELECT esp_id, (extract(epoch FROM time) * 1000)::bigint, value FROM sensor.data"
            " WHERE esp_id = ANY(%s) AND gpio = %s",
            [list(fleet.devices), GPIO],
        ).fetchall()
    return Counter(fleet.number_of(*row) for row in rows)


async def rejected_numbers(stack: Stack, fleet: Fleet) -> Counter[int]:
    """Numbers of the rejected messages of the fleet's devices."""
    topics = {f"kaiser/god/esp/{esp_id}/sensor/{GPIO}/data" for esp_id in fleet.devices}
    return Counter(number_of_rejected(entry) for entry in await stack.rejected(topics))


def _token(stack: Stack) -> str:
    with stack.sign_in() as rest:
        return str(rest.headers["Authorization"].removeprefix("Bearer "))


def versions(stack: Stack) -> dict[str, str]:
    """The versions that ran."""
    found = {"kaiser": _said("git", "-C", str(ROOT), "describe", "--always", "--dirty")}
    with psycopg.connect(stack.addresses["database_url"], connect_timeout=5) as connection:
        found["postgresql"] = connection.info.parameter_status("server_version") or ""
    if "mosquitto" in stack.pids():
        found["mosquitto"] = _said("mosquitto", "-h").partition("\n")[0]
    found["nats"] = _nats_version(stack.addresses["nats_url"])
    return found


def _nats_version(url: str) -> str:
    """As the server greets with it."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        return str(json.loads(connection.makefile().readline().removeprefix("INFO "))["version"])


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except OSError:
        return ""
