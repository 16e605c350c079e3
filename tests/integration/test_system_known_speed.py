"""How soon Kaiser knows of troubles, with the usual time between its looks (make speed); docs/alarms.md, How soon."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from devices import heartbeat, new_id
from harness import Stack, wait_until
from mocks import PUMP, Mocks, ok

SOON_S = 3.0
TIMEOUT_S, SWEEP_S = 10.0, 5.0
SILENT_S, STALE_CHECK_S = 15.0, 10.0
"""Three intervals of 5 s, the shortest that a sensor is watched by."""
ANSWERED_S = 1.0
"""Until the end of a look is in an answer."""
SENSOR = {"gpio": 4, "sensor_type": "DS18B20", "base_value": 22.5, "unit": "°C", "interval_s": 0.5}

pytestmark = [pytest.mark.speed, pytest.mark.timeout(600)]


class Trouble(NamedTuple):
    """A trouble, the time in which it must be known, its cause, and whether the API has it."""

    name: str
    within_s: float
    cause: Callable[[], object]
    is_known: Callable[[], bool]


@pytest.fixture
def mocks(make_stack: Callable[..., Stack]) -> Iterator[Mocks]:
    mocks = Mocks(make_stack().start())
    yield mocks
    mocks.end()


def test_each_trouble_is_known_in_its_documented_time_with_the_usual_looks(mocks: Mocks):
    stack, rest = mocks.stack, mocks.rest
    [lost], waiting = stack.register(1), new_id("ESP")
    away, mute, faulty, pressed, refusing = (
        mocks.make(firmware="b", sensors=[SENSOR], actuators=[PUMP]) for _ in range(5)
    )

    def newest(esp_id: str) -> dict[str, Any]:
        items = ok(rest.get("/api/v1/sensors/latest", params={"esp_id": esp_id}))["items"]
        return dict(items[0]) if items else {}

    pump = f"/api/v1/actuators/{refusing}/25"
    wait_until(lambda: rest.get(pump).is_success, "the pump was reported")
    ok(rest.put(pump, json={"actuator_type": "pump", "name": "Pump"}))
    mocks.ask("PUT", refusing, "/faults", {"refuse_commands": True})
    ok(rest.patch(f"/api/v1/esp/devices/{lost}", json={"heartbeat_timeout_s": int(TIMEOUT_S)}))
    wait_until(lambda: newest(mute).get("interval_s") == SILENT_S / 3, "its interval is learned")
    failed = {"esp_id": refusing, "kind": "command_failed"}
    troubles = [
        Trouble("silent without a will", TIMEOUT_S + SWEEP_S + ANSWERED_S, lambda: publish_until_online(mocks, lost),
                lambda: mocks.device(lost)["online"] is False),
        Trouble("silent sensor", SILENT_S + STALE_CHECK_S + ANSWERED_S,
                lambda: mocks.ask("PUT", mute, "/faults", {"silent": [4]}), lambda: newest(mute)["state"] == "silent"),
        Trouble("lost with a will", SOON_S, lambda: mocks.ask("PUT", away, "/faults", {"offline": True}),
                lambda: mocks.device(away)["online"] is False),
        Trouble("waits for approval", SOON_S, lambda: stack.publish([heartbeat(waiting)]),
                lambda: bool(mocks.device(waiting))),
        Trouble("bad value", SOON_S,
                lambda: mocks.ask("POST", faulty, "/sensors/4/value", {"value": 85.0, "quality": "error"}),
                lambda: newest(faulty)["quality"] == "error"),
        Trouble("refused command", SOON_S,
                lambda: ok(rest.post(f"{pump}/command", json={"command": "ON", "duration_s": 5})),
                lambda: bool(ok(rest.get("/api/v1/alarms", params=failed))["items"])),
        Trouble("stop", SOON_S, lambda: mocks.ask("POST", pressed, "/emergency"),
                lambda: pressed in rest.get("/api/v1/actuators/emergencies").text),
    ]  # fmt: skip
    began = {}
    for each in troubles:
        began[each.name] = time.monotonic()
        each.cause()
    took: dict[str, float] = {}

    def all_known() -> bool:
        for each in troubles:
            if each.name not in took and each.is_known():
                took[each.name] = time.monotonic() - began[each.name]
        return len(took) == len(troubles)

    wait_until(all_known, "Kaiser knows each of them")
    print("\n" + ", ".join(f"{name}: {seconds:.1f} s" for name, seconds in took.items()))
    assert {each.name: took[each.name] for each in troubles if took[each.name] > each.within_s} == {}


def publish_until_online(mocks: Mocks, esp_id: str) -> None:
    """A heartbeat, the last of the device."""
    mocks.stack.publish([heartbeat(esp_id)])
    wait_until(lambda: mocks.device(esp_id).get("online"), "it is online")
