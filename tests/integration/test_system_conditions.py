"""Built-in conditions of Kaiser's own parts, and of clocks (docs/alarms.md): each from a real fault to its alarm, to
the overview and by one click to the alarm's row, and to its end. The alarm service restarts, or is away, meanwhile."""

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from devices import heartbeat, now_ms
from disks import Disk, small_disk
from firmware_a import FirmwareA
from freezing import frozen
from harness import Stack, reading, wait_until
from kaiser_stack import mosquitto
from playwright.sync_api import Browser
from streams import info_of, limit, waits_s
from watching import Condition, Onlooker, onlooker, overview_has, steps_of

pytestmark = pytest.mark.timeout(1200)

_LOOK_S = 10.0
"""The interval at which ingest looks at its conditions."""
_STALLED_S = 3.0
_SOON_S = 3.0
_BEHIND_S = 30.0
_HEARTBEATS_S = 2.5
_STORED_S = 0.5
ROOM_BYTES = 1_500_000
REJECTIONS = Condition(
    "rejections_many",
    "ingest.god",
    "warning",
    r"^\d+ of \d+ messages of the last five minutes were rejected$",
    "1 alarm: many rejections",
    "of the messages of the last five minutes were rejected (ingest.god)",
    _LOOK_S,
)
FILLING = Condition(
    "stream_filling",
    "SENSORS",
    "critical",
    r"^stream SENSORS is (7\d|8\d|9\d|100)% full; full, it refuses messages$",
    "1 alarm: stream filling",
    "stream SENSORS is",
    _LOOK_S,
)
PAUSED = Condition(
    "store_paused",
    "ingest.god",
    "critical",
    r"^no received message could be stored for \d+ s$",
    "1 alarm: store paused",
    "what is received cannot be stored (ingest.god)",
    _STALLED_S + 1.0,
)
DISK = Condition(
    "disk_filling",
    "",
    "critical",
    r"^the disk of ingest is 9\d% full: 0\.\d GB are left$",
    "1 alarm: disk filling",
    "the disk of ingest is",
    _LOOK_S,
)


@pytest.fixture(scope="module")
def plant(server_folder: Path, missing: Any) -> Iterator[Stack]:
    """A stack of this module's own, whose services, streams and clocks it disturbs."""
    if not mosquitto.is_installed():
        missing("mosquitto", "mosquitto is not installed")
    settings = {"KAISER_MQTT_BROKER": "mosquitto", "KAISER_INGEST_ACK_AGE_ALARM_S": str(_STALLED_S)}
    stack = Stack(server_folder / f"conditions-{secrets.token_hex(3)}", **settings)
    try:
        yield stack.start()
    finally:
        stack.stop()
        stack.remove()


@pytest.fixture
def looking(browser: Browser, plant: Stack) -> Iterator[Onlooker]:
    plant.settle()
    with onlooker(browser, plant) as person:
        yield person


def device_of(stack: Stack, esp_id: str) -> FirmwareA:
    """A device that sends a heartbeat every 2.5 s."""
    return FirmwareA((stack.addresses["mqtt_host"], stack.addresses["mqtt_port"]), esp_id, interval_s=_HEARTBEATS_S / 5)


def send_cut_off(device: FirmwareA, count: int) -> None:
    """Send readings that are cut off, as by a buffer that is too small."""
    for number in range(count):
        device.board.publish(device.board.topic("sensor/4/data"), f'{{"gpio": 4, "raw": {number}, "qual', 0)


def test_rejections_are_one_alarm_over_a_restart_and_their_end_is_known_after_an_absence(
    plant: Stack, looking: Onlooker
):
    esp_id, other = plant.register(2)
    with stopped(plant, "ingest"):
        pass  # its five minutes begin again: another test may have sent thousands of good readings in them
    with plant.sign_in() as rest, closed_after(rest, REJECTIONS), device_of(plant, esp_id) as device:
        wait_until(lambda: rest.get(f"/api/v1/esp/devices/{esp_id}").json()["online"], "it is online")
        since = time.monotonic()
        send_cut_off(device, 20)
        alarm = REJECTIONS.becomes(rest, "raised", since)
        assert overview_has(rest, alarm)
        looking.sees(REJECTIONS, alarm)
        looking.reaches(REJECTIONS)

        before = plant.pid("alarm")
        plant.kill("alarm")
        wait_until(lambda: plant.pid("alarm") != before, "the alarm service is started again")
        send_cut_off(device, 20)
        see_an_alarm_of(plant, rest, other)
        assert [one["alarm_id"] for one in REJECTIONS.alarms(rest)] == [alarm["alarm_id"]]
        assert steps_of(rest, alarm) == ["raised"]
        assert overview_has(rest, alarm)

        with stopped(plant, "alarm"):
            said = ends_said(plant)
            at = now_ms()
            plant.publish(reading(esp_id, 4, at - number, 20.0) for number in range(4000))
            wait_until(lambda: ends_said(plant) > said, "ingest reports the end of the condition")
            assert "alarm" in rest.get("/api/v1/overview").json()["missing"]
            since, started_at = time.monotonic(), now_ms()
        alarm = REJECTIONS.becomes(rest, "cleared", since)
        assert alarm["cleared_at"] <= started_at, "at the time of the event, not of the start"
        assert steps_of(rest, alarm) == ["raised", "cleared"]
        assert not overview_has(rest, alarm)
        looking.misses(REJECTIONS, alarm, "cleared")


@contextmanager
def stopped(stack: Stack, service: str) -> Iterator[None]:
    """A service is away for the body, and is started again however that ends."""
    stack.control("stop", service)
    try:
        yield
    finally:
        stack.control("start", service)


def see_an_alarm_of(stack: Stack, rest: Any, esp_id: str) -> None:
    """Wait until the alarm service has raised another alarm, so it has processed all earlier events."""
    marker = Condition("clock_ahead", esp_id, "warning", esp_id, "", "", _SOON_S)
    since = time.monotonic()
    stack.publish([heartbeat(esp_id, ts=now_ms() + 600_000)])
    # a service that was killed leaves its lease to the next one after five seconds
    alarm = marker._replace(within_s=_SOON_S + 5.0).becomes(rest, "raised", since)
    rest.post(f"/api/v1/alarms/{alarm['alarm_id']}/acknowledge", json={}).raise_for_status()


def ends_said(stack: Stack) -> int:
    """How often ingest has logged that there are not, or no longer, many rejections."""
    lines = (stack.state_dir / "log" / "ingest.log").read_text(errors="replace").splitlines()
    return sum("conditions_over" in line and REJECTIONS.kind in line for line in lines)


def test_a_clock_that_is_ten_minutes_off_is_an_alarm_until_somebody_acknowledges_it(plant: Stack, looking: Onlooker):
    ahead, behind = plant.register(2)
    off = [
        (600, clock_of(ahead, "ahead", "the receive time is used instead", _SOON_S + _HEARTBEATS_S)),
        (-600, clock_of(behind, "behind", "its readings look old", _SOON_S + _HEARTBEATS_S + _BEHIND_S)),
    ]
    with plant.sign_in() as rest, ExitStack() as devices:
        boards = []
        since = time.monotonic()
        for seconds, condition in off:
            device = device_of(plant, condition.source)
            device.board.clock_off_s = seconds
            boards.append(devices.enter_context(device).board)
        for _, condition in off:
            alarm = condition.becomes(rest, "raised", since)
            assert overview_has(rest, alarm)
            looking.sees(condition, alarm)
            looking.reaches(condition)
        for board in boards:
            board.clock_off_s = 0
        for _, condition in off:
            [alarm] = condition.alarms(rest)
            rest.post(f"/api/v1/alarms/{alarm['alarm_id']}/acknowledge", json={}).raise_for_status()
            looking.misses(condition, alarm, "acknowledged")
            [alarm] = condition.alarms(rest)
            assert (alarm["state"], alarm["times"]) == ("closed", 1)


def clock_of(esp_id: str, side: str, instead: str, within_s: float) -> Condition:
    text = rf"^the clock of {esp_id} is (59\d|60\d|61\d) s {side}: {instead}$"
    row = f"the clock of {esp_id} is"
    return Condition(f"clock_{side}", esp_id, "warning", text, f"1 alarm: clock {side}", row, within_s)


def test_a_stream_that_fills_and_then_refuses_is_two_alarms_and_its_reader_ends_both(plant: Stack, looking: Onlooker):
    """Sensor is away, so what ingest stores stays in SENSORS, until it is full. Sensor always leaves the last 16 packs,
    which are small where no more is sent than is stored."""
    [esp_id] = plant.register(1)
    at, sent = now_ms(), 0
    with plant.sign_in() as rest, closed_after(rest, FILLING, PAUSED), little_room(plant, "SENSORS"):

        def send_until(condition: Condition) -> bool:
            nonlocal sent
            if found := any(one["state"] == "raised" for one in condition.alarms(rest)):
                return found
            if waits_s(plant) < _STORED_S:
                plant.publish(reading(esp_id, 4, at + sent + number, 20.0) for number in range(100))
                sent += 100
            return False

        with stopped(plant, "sensor"):
            wait_until(lambda: send_until(PAUSED), "ingest cannot store")
            since = time.monotonic()
            alarms = [(one, one.becomes(rest, "raised", since)) for one in (FILLING, PAUSED)]
            for condition, alarm in alarms:
                assert overview_has(rest, alarm)
                looking.sees(condition, alarm)
                looking.reaches(condition)
        wait_until(lambda: plant.rows([esp_id]) == sent, "every reading is stored")
        since = time.monotonic()
        for condition, alarm in alarms:
            after = condition.becomes(rest, "cleared", since)
            assert (after["alarm_id"], steps_of(rest, after)) == (alarm["alarm_id"], ["raised", "cleared"])
            looking.misses(condition, alarm, "cleared")
            assert not overview_has(rest, alarm)
            rest.post(f"/api/v1/alarms/{alarm['alarm_id']}/acknowledge", json={}).raise_for_status()


@contextmanager
def little_room(stack: Stack, stream: str) -> Iterator[None]:
    """For the body, limit a stream to ROOM_BYTES more than it holds; the former limit is always restored."""
    before = aside(info_of(stack, stream))
    aside(limit(stack, stream, before["state"]["bytes"] + ROOM_BYTES))
    try:
        yield
    finally:
        aside(limit(stack, stream, before["config"]["max_bytes"]))


@contextmanager
def closed_after(rest: Any, *conditions: Condition) -> Iterator[None]:
    """Close these alarms at the end, however the body ends, so that the next test finds none open."""

    def opened() -> list[dict[str, Any]]:
        return [one for condition in conditions for one in condition.alarms(rest) if one["state"] != "closed"]

    try:
        yield
    finally:
        for alarm in opened():
            rest.post(f"/api/v1/alarms/{alarm['alarm_id']}/acknowledge", json={}).raise_for_status()
        wait_until(lambda: not opened(), "its alarms are closed", 120.0)


def aside(asked: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine; the browser has this thread's event loop."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(asyncio.run, asked).result(60)


def test_what_could_not_be_stored_while_nats_stood_still_is_an_alarm_once_it_goes_on(plant: Stack):
    """No alarm can be raised meanwhile, because alarms and requests go through NATS."""
    plant.settle()
    [esp_id] = plant.register(1)
    with plant.sign_in() as rest, closed_after(rest, PAUSED), device_of(plant, esp_id) as device:
        wait_until(lambda: rest.get(f"/api/v1/esp/devices/{esp_id}").json()["online"], "it is online")
        before, began_at = [count_in_log(plant, each) for each in _SIGNS], now_ms()
        with frozen(plant.pid("nats")):
            device.board.interval_s = 0.05

            def waits() -> bool:
                return all(count_in_log(plant, each) > old for each, old in zip(_SIGNS, before, strict=True))

            wait_until(waits, "ingest has stored nothing for too long, and an event of it waits")
        alarm = PAUSED.becomes(rest, "cleared", time.monotonic() + 120.0)  # services reconnect at their own pace
        assert began_at < alarm["raised_at"] <= alarm["cleared_at"]
        assert steps_of(rest, alarm) == ["raised", "cleared"]


_SIGNS = ("messages_not_stored", "system_event_waits")


def count_in_log(stack: Stack, event: str) -> int:
    return (stack.state_dir / "log" / "ingest.log").read_text(errors="replace").count(event)


@pytest.fixture
def small(server_folder: Path) -> Iterator[tuple[Stack, Disk]]:
    """A stack on a disk of its own. PostgreSQL's data may be elsewhere: only how full the disk is matters."""
    folder = server_folder / f"disk-{secrets.token_hex(3)}"
    folder.mkdir()
    with small_disk(folder, 1500) as disk:
        stack = Stack(disk.mounted_at / "state", KAISER_INGEST_DISK_FREE="0.1")
        try:
            yield stack.start(), disk
        finally:
            stack.stop()
            stack.remove()


def test_a_disk_that_fills_is_an_alarm_until_there_is_room(small: tuple[Stack, Disk], browser: Browser):
    stack, disk = small
    ballast = disk.mounted_at / "ballast"
    with stack.sign_in() as rest, onlooker(browser, stack) as looking:
        since = time.monotonic()
        usage = shutil.disk_usage(disk.mounted_at)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, usage.free - usage.total // 20)
        alarm = DISK.becomes(rest, "raised", since)
        assert overview_has(rest, alarm)
        looking.sees(DISK, alarm)
        looking.reaches(DISK)
        since = time.monotonic()
        ballast.unlink()
        alarm = DISK.becomes(rest, "cleared", since)
        assert steps_of(rest, alarm) == ["raised", "cleared"]
        looking.misses(DISK, alarm, "cleared")
        assert not overview_has(rest, alarm)
