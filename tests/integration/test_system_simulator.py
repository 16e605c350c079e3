"""Mock devices through the whole stack: rows as their intervals ask for, and what a kill leaves as it was."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from harness import Stack, wait_until
from mocks import PUMP, Mocks, assert_drift

DRIFT = {
    "gpio": 4,
    "sensor_type": "DS18B20",
    "interval_s": 0.5,
    "base_value": 20,
    "variation_pattern": "DRIFT",
    "variation_range": 5,
}
RANDOM = {"gpio": 4, "sensor_type": "DS18B20", "interval_s": 1, "variation_pattern": "RANDOM", "variation_range": 2}
QUIET = {"gpio": 5, "sensor_type": "ph", "base_value": 7, "interval_s": 3600}
KEPT = ("state", "value", "on_since", "off_at", "last_command", "emergency")
RECOVERED_WITHIN_S = 60.0
"""Wide, for a machine that is busy with other tests; `make faults` measures how long it takes."""


@pytest.fixture
def mocks(stack: Stack) -> Iterator[Mocks]:
    mocks = Mocks(stack)
    yield mocks
    mocks.end()


def test_a_hundred_mocks_leave_as_many_rows_as_their_intervals_ask_for(mocks: Mocks):
    ids = mocks.make_many(100, sensors=[RANDOM, {**QUIET, "interval_s": 2.5}])
    began = wait_until(lambda: beginnings(mocks, ids), "all hundred began", 60.0)
    start, end = max(began.values()), max(began.values()) + 20_000
    wait_until(lambda: min(newest(mocks, ids).values()) > end, "twenty seconds are stored", 60.0)
    for gpio, expected in ((4, 20), (5, 8)):
        counts = Counter(esp_id for esp_id, ts, _ in mocks.rows(ids, gpio) if start <= ts < end)
        wrong = {esp_id: counts[esp_id] for esp_id in ids if abs(counts[esp_id] - expected) > 1}
        assert wrong == {}, f"gpio {gpio}, {expected} expected"


def beginnings(mocks: Mocks, ids: list[str]) -> dict[str, int]:
    """When each one's slower sensor spoke first; {} until all have."""
    first: dict[str, int] = {}
    for esp_id, ts, _ in mocks.rows(ids, 5):
        first.setdefault(esp_id, ts)
    return first if len(first) == len(ids) else {}


def newest(mocks: Mocks, ids: list[str]) -> dict[str, int]:
    """When each one's slower sensor spoke last."""
    return {esp_id: ts for esp_id, ts, _ in mocks.rows(ids, 5)}


def test_a_killed_simulator_goes_on_at_the_very_values(stack: Stack, mocks: Mocks):
    esp_id, before = prepared(mocks)
    killed_at = time.time()
    stack.kill("simulator")
    wait_until(lambda: mocks.readings(esp_id)[-1][0] > (killed_at + 0.2) * 1000, "it goes on")
    times = [ts for ts, _ in mocks.readings(esp_id)]
    longest_ms = max(after - before for before, after in pairwise(times))
    assert longest_ms < RECOVERED_WITHIN_S * 1000
    assert_as_before(mocks, esp_id, before)


def test_after_the_whole_stack_was_killed_every_mock_goes_on(
    make_stack: Callable[..., Stack],
):
    stack = make_stack().start()
    mocks = Mocks(stack)
    esp_id, before = prepared(mocks)
    ok_id = mocks.make(sensors=[DRIFT])
    mocks.ask("POST", ok_id, "/stop")
    assert stack.process is not None
    os.kill(stack.process.pid, signal.SIGKILL)
    stack.process.wait(60)
    stack.start()
    ready_at = time.time()
    mocks = Mocks(stack)
    wait_until(lambda: mocks.readings(esp_id)[-1:] > [(int(ready_at * 1000), 0.0)], "it goes on")
    assert time.time() - ready_at < RECOVERED_WITHIN_S
    assert_as_before(mocks, esp_id, before)
    stopped = mocks.read(ok_id)
    assert (stopped["running"], stopped["connected"]) == (False, False)


def prepared(mocks: Mocks) -> tuple[str, dict[str, Any]]:
    """A mock with a drift under way, an override and a pump that runs for an hour; its id and its pump."""
    esp_id = mocks.make(sensors=[DRIFT, QUIET], actuators=[PUMP])
    mocks.ask("POST", esp_id, "/sensors/5/value", {"value": 6.25})
    mocks.command(esp_id, "PWM", value=0.75, duration=3600)
    wait_until(lambda: mocks.actuator(esp_id)["value"] == 0.75, "the pump runs")
    wait_until(lambda: len(mocks.readings(esp_id)) >= 8, "eight readings are stored")
    return esp_id, mocks.actuator(esp_id)


def assert_as_before(mocks: Mocks, esp_id: str, pump: dict[str, Any]) -> None:
    """Running, with its override and its pump as they were, and a drift without a break."""
    now = wait_until(lambda: mocks.read(esp_id), "the simulator answers")
    assert (now["running"], now["state"], now["connected"]) == (True, "OPERATIONAL", True)
    assert {one["gpio"]: one["override"] for one in now["sensors"]} == {4: None, 5: 6.25}
    assert {name: now["actuators"][0][name] for name in KEPT} == {name: pump[name] for name in KEPT}
    mocks.command(esp_id, "OFF")
    wait_until(lambda: mocks.actuator(esp_id)["state"] is False, "the pump still obeys")
    assert_drift(mocks.readings(esp_id), 500, base=20, width=5)
