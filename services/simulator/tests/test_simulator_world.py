"""Mocks in memory with a fake clock: what is due is said once, at its moment, with the value of its step."""

import json
from itertools import pairwise

import pytest
from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.schemas.api.mock import Faults, MockActuator, MockSensor
from kaiser_simulator.domain import lifecycle
from kaiser_simulator.domain.device import Life, MockDevice, Setup
from kaiser_simulator.domain.world import MESSAGES_KEPT, World
from kaiser_simulator.patterns import installed_patterns

NOW = 1_767_225_600_000
BOOTED = NOW + 900
FACTORIES = installed_patterns()


def sensor(gpio: int = 4, interval_s: float = 1.0, **fields) -> MockSensor:
    pattern = {"base_value": 20, "variation_pattern": "DRIFT", "variation_range": 5}
    return MockSensor(**{"gpio": gpio, "sensor_type": "ds18b20", "interval_s": interval_s, **pattern, **fields})


def device(*sensors: MockSensor, faults: Faults | None = None) -> MockDevice:
    setup = Setup(
        esp_id="MOCK_A",
        kaiser_id="god",
        firmware_version="mock-1.0",
        heartbeat_interval_s=60,
        sensors=list(sensors) or [sensor()],
        actuators=[MockActuator(gpio=25)],
    )
    fresh = MockDevice(setup=setup, life=Life(faults=faults or Faults()))
    return lifecycle.registered(lifecycle.started(fresh, NOW).device, NOW).device


class Run:
    """A world whose time goes by in ticks."""

    def __init__(self, first: MockDevice, run_id: str = "r", now: int = NOW) -> None:
        self.world = World(FACTORIES, run_id)
        self.now = now
        self.world.put(first, now)

    @property
    def mock(self) -> MockDevice:
        found = self.world.get("MOCK_A")
        assert found is not None
        return found

    def outgoing(self, seconds: float, step_ms: int = 20) -> list[Outgoing]:
        """The messages handed to the bus meanwhile."""
        said: list[Outgoing] = []
        end = self.now + round(seconds * 1000)
        while self.now < end:
            self.now = min(self.now + step_ms, end)
            self.world.tick(self.now)
            said += self.world.take()
        return said

    def raw(self, seconds: float, step_ms: int = 20) -> list[tuple[str, str]]:
        """Topic and payload of what was said meanwhile."""
        said = [json.loads(each.body) for each in self.outgoing(seconds, step_ms)]
        return [(each["topic"].removeprefix("kaiser/god/esp/MOCK_A/"), each["payload"]) for each in said]

    def pass_time(self, seconds: float, step_ms: int = 20) -> list[tuple[str, dict]]:
        """Let time pass; the messages meanwhile."""
        return [(topic, json.loads(payload)) for topic, payload in self.raw(seconds, step_ms)]

    def readings(self, seconds: float, step_ms: int = 20) -> list[dict]:
        return [body for topic, body in self.pass_time(seconds, step_ms) if topic.endswith("/data")]


def test_it_boots_says_hello_and_then_sends_a_reading_an_interval():
    said = Run(device()).pass_time(30)
    topics = [topic for topic, _ in said]
    assert topics[:2] == ["system/heartbeat", "actuator/25/status"]
    readings = [body for topic, body in said if topic == "sensor/4/data"]
    assert 24 <= len(readings) <= 30
    times = [body["ts"] for body in readings]
    assert {after - before for before, after in pairwise(times)} == {1000}
    assert BOOTED <= times[0] < BOOTED + 5000
    assert [body["value"] for body in readings[:13]] == [
        20, 20.5, 21, 21.5, 22, 22.5, 23, 23.5, 24, 24.5, 25, 24.5, 24,
    ]  # fmt: skip


@pytest.mark.parametrize("step_ms", [1, 20, 333, 900])
def test_readings_have_their_moment_however_the_clock_ticks(step_ms):
    runs = [Run(device()), Run(device())]
    for run in runs:
        run.pass_time(10)
    exact, coarse = runs[0].readings(20, 1), runs[1].readings(20, step_ms)
    assert len(exact) == 20
    assert coarse == exact


def test_a_world_that_was_away_goes_on_with_the_step_of_now_and_sends_nothing_twice():
    run = Run(device())
    before = run.readings(10)
    after = Run(run.mock, "another", run.now + 7300).readings(10)
    missed = (after[0]["ts"] - before[-1]["ts"]) / 1000
    assert missed in (8, 9)
    whole = Run(device()).readings(40)
    assert [body for body in whole if body in after] == after


def test_two_worlds_that_overlap_give_readings_the_same_ids():
    ids = []
    for run_id in ("one", "two"):
        ids.append([each.msg_id for each in Run(device(), run_id).outgoing(20) if b"/data" in each.body])
    assert ids[0] == ids[1] != []


def test_a_change_of_the_device_loses_no_reading_that_was_due():
    run, changed = Run(device()), Run(device())
    expected = run.readings(20)
    readings = []
    for _ in range(1000):
        changed.now += 20
        changed.world.put(changed.mock.lived(zone_id="north"), changed.now)
        changed.world.tick(changed.now)
        said = [json.loads(each.body) for each in changed.world.take()]
        readings += [json.loads(each["payload"]) for each in said if each["topic"].endswith("/data")]
    assert readings == expected


def test_an_override_stands_until_it_is_let_go_and_the_drift_goes_on_underneath():
    run, plain = Run(device()), Run(device())
    run.readings(8), plain.readings(8)
    [one] = run.mock.setup.sensors
    run.world.put(run.mock.with_sensor_life(one, override=33.3), run.now)
    assert {body["value"] for body in run.readings(5)} == {33.3}
    plain.readings(5)
    run.world.put(run.mock.with_sensor_life(one, override=None), run.now)
    assert run.readings(5) == plain.readings(5)


def test_blocked_leaves_out_readings_and_heartbeats_and_keeps_the_rest():
    run = Run(device())
    run.readings(8)
    run.world.blocked = True
    assert run.pass_time(70) == []
    reaction = lifecycle.with_faults(run.mock, Faults(offline=True), run.now)
    run.world.put(reaction.device, run.now)
    run.world.say(reaction.device, reaction.publications, run.now)
    assert [topic for topic, _ in run.pass_time(0.1)] == ["system/will"]


def test_heartbeats_come_every_minute():
    said = Run(device(sensor(interval_s=3600))).pass_time(300)
    beats = [body["uptime"] for topic, body in said if topic == "system/heartbeat"]
    assert beats == [0, 60, 120, 180, 240, 300]


def test_the_last_messages_are_kept_and_no_more():
    run = Run(device(sensor(interval_s=0.1)))
    run.readings(30)
    kept = run.world.messages("MOCK_A", 1000)
    assert len(kept) == MESSAGES_KEPT
    assert kept[0].at > kept[-1].at
    assert len(run.world.messages("MOCK_A", 3)) == 3


@pytest.mark.parametrize(
    ("share", "low", "high"), [(0.0, 0, 0), (0.3, 45, 75), (1.0, 195, 201)], ids=["none", "a third", "all"]
)
def test_garbage_is_as_frequent_as_asked(share, low, high):
    run = Run(device(sensor(interval_s=0.1), faults=Faults(garbage=share)))
    run.outgoing(10)
    said = [payload for topic, payload in run.raw(20) if topic.endswith("/data")]
    assert low <= sum(not is_healthy(payload) for payload in said) <= high


def is_healthy(payload: str) -> bool:
    try:
        body = json.loads(payload)
    except ValueError:
        return False
    return body.get("raw_mode") is True and body["gpio"] == 4 and "was" not in body


def test_late_readings_come_later_with_their_own_time():
    run = Run(device(faults=Faults(late_s=3)))
    run.pass_time(10)
    lateness = [run.now - body["ts"] for _ in range(500) for body in run.readings(0.02)]
    assert len(lateness) == 10
    assert all(3000 <= one <= 3040 for one in lateness)


def test_a_removed_mock_says_nothing_more_and_leaves_nothing_behind():
    run = Run(device())
    run.pass_time(5)
    run.world.remove("MOCK_A")
    assert run.pass_time(10) == []
    assert (len(run.world), run.world.next_due()) == (0, None)
