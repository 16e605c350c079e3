"""Measuring on demand, silence and the source of data, through the whole stack."""

import json
import time
from collections.abc import Iterator

import pytest
from alarm_causes import will
from devices import heartbeat
from harness import Message, Stack, wait_until
from mocks import Mocks, ok

QUIET = {"gpio": 5, "sensor_type": "ph", "base_value": 7, "interval_s": 3600}


@pytest.fixture
def mocks(stack: Stack) -> Iterator[Mocks]:
    mocks = Mocks(stack)
    yield mocks
    mocks.end()


def reading(esp_id: str, value: float) -> Message:
    body = {
        "ts": int(time.time() * 1000),
        "esp_id": esp_id,
        "gpio": 34,
        "sensor_type": "ph",
        "raw": 1,
        "raw_mode": False,
        "value": value,
    }
    return Message(f"kaiser/god/esp/{esp_id}/sensor/34/data", json.dumps(body).encode())


def test_a_device_that_is_asked_measures_and_its_answer_shows(stack: Stack, mocks: Mocks):
    esp_id = mocks.make(firmware="b", sensors=[QUIET])
    before = wait_until(lambda: len(mocks.readings(esp_id, 5)) == 1, f"{esp_id} measured once by itself")
    assert before
    wait_until(lambda: mocks.device(esp_id)["online"], f"{esp_id} is online")
    asked = mocks.rest.post(f"/api/v1/sensors/{esp_id}/5/measure")
    assert (asked.status_code, asked.json()["state"]) == (202, "pending"), asked.text
    path = f"/api/v1/sensors/measurements/{asked.json()['request_id']}"
    wait_until(lambda: ok(mocks.rest.get(path))["state"] == "done", "the device has answered")
    answer = ok(mocks.rest.get(path))
    assert (answer["esp_id"], answer["gpio"]) == (esp_id, 5)
    assert answer["requested_at"] <= answer["answered_at"]
    wait_until(lambda: len(mocks.readings(esp_id, 5)) == 2, "the reading is stored")


def test_who_cannot_answer_is_not_asked(stack: Stack):
    [offline] = stack.register(1)
    with stack.sign_in() as rest:
        refused = rest.post(f"/api/v1/sensors/{offline}/5/measure")
        assert (refused.status_code, refused.json()["code"]) == (409, 5007)
        unknown = rest.post("/api/v1/sensors/ESP_NOBODY/5/measure")
        assert (unknown.status_code, unknown.json()["code"]) == (404, 5001)
        assert rest.get("/api/v1/sensors/measurements/nothing").status_code == 404


async def test_a_sensor_that_falls_silent_is_told_once_to_be_stale(stack: Stack):
    [esp_id] = stack.register(1)
    with stack.sign_in() as rest:
        ok(rest.put(f"/api/v1/sensors/{esp_id}/34/ph", json={"interval_s": 1}))
        async with stack.events([esp_id]) as events:
            stack.publish([reading(esp_id, 6.5)])
            first = await events.until("sensor_data")
            assert first["data"]["quality"] == "unknown"
            stale = await events.until("sensor_data", 60.0)
            assert (stale["data"]["quality"], stale["data"]["value"]) == ("stale", 6.5)
            assert stale["data"]["ts"] == first["data"]["ts"]
            stack.publish([reading(esp_id, 6.75)])
            # What was told is not told again: the next event is the new reading.
            assert (await events.until("sensor_data"))["data"]["value"] == 6.75


async def test_a_sensor_of_an_offline_device_is_offline_in_its_frame_as_it_is_in_lists(stack: Stack):
    [esp_id] = stack.register(1)
    latest = {"esp_id": esp_id}
    with stack.sign_in() as rest:
        ok(rest.put(f"/api/v1/sensors/{esp_id}/34/ph", json={"interval_s": 1}))
        async with stack.events([esp_id]) as events:
            stack.publish([heartbeat(esp_id), reading(esp_id, 6.5), will(esp_id, int(time.time()))])
            assert (await events.until("sensor_data"))["data"]["value"] == 6.5
            stale = (await events.until("sensor_data"))["data"]
        [listed] = ok(rest.get("/api/v1/sensors/latest", params=latest))["items"]
    assert (stale["quality"], stale["state"], listed["state"]) == ("stale", "offline", "offline")
    assert stale["known_until"] == listed["known_until"]


def test_the_hardware_type_tells_the_source_of_data(stack: Stack):
    with stack.sign_in() as rest:
        esp_id = f"ESP_HW{time.time_ns() % 10**8:08}"
        body = {"esp_id": esp_id, "hardware_type": "MOCK_ESP32"}
        ok(rest.post("/api/v1/esp/devices", json=body))
        stack.publish([reading(esp_id, 6.5)])

        def latest() -> list[dict]:
            return ok(rest.get("/api/v1/sensors/latest", params={"esp_id": esp_id}))["items"]

        wait_until(latest, "the reading is stored")
        assert latest()[0]["data_source"] == "MOCK"


def test_thresholds_are_the_limits_of_alarms_and_must_rise(stack: Stack):
    [esp_id] = stack.register(1)
    config, limits = f"/api/v1/sensors/{esp_id}/34/ph", f"/api/v1/alarms/limits/{esp_id}/34/ph"
    with stack.sign_in() as rest:
        assert ok(rest.put(config, json={"name": "Tank 1"}))["thresholds"] == thresholds()
        assert rest.get(limits).status_code == 404
        given = {"critical_low": 4.0, "warning_high": 7.5}
        assert ok(rest.put(config, json={"thresholds": given}))["thresholds"] == thresholds(**given)
        assert levels(ok(rest.get(limits))) == {"lo_lo": 4.0, "hi": 7.5}
        ok(rest.put(limits, json={"lo_lo": 4.0, "lo": 5.0, "hysteresis": 0.5, "delay_s": 7}))
        put = ok(rest.put(config, json={"name": "Tank 2", "interval_s": 5}))
        assert put["thresholds"] == thresholds(critical_low=4.0, warning_low=5.0)
        assert ok(rest.get("/api/v1/sensors", params={"esp_id": esp_id}))["items"] == [put]
        ok(rest.put(config, json={"thresholds": {"critical_high": 9.0}}))
        now = ok(rest.get(limits))["limits"]
        assert (now["hi_hi"], now["lo"], now["hysteresis"], now["delay_s"]) == (9.0, None, 0.5, 7)
        assert ok(rest.put(config, json={"thresholds": {}}))["thresholds"] == thresholds()
        assert rest.get(limits).status_code == 404
        refused = rest.put(config, json={"thresholds": {"warning_low": 5.0, "critical_low": 6.0}})
        assert refused.status_code == 422
        assert "must rise" in refused.json()["detail"]
        assert rest.put(config, json={"thresholds": {"warning_low": 1e300}}).status_code == 422


def thresholds(**given: float) -> dict[str, float | None]:
    """All four, None where none is given."""
    return {"critical_low": None, "warning_low": None, "warning_high": None, "critical_high": None, **given}


def levels(found: dict) -> dict[str, float]:
    """The limits that are set."""
    return {name: found["limits"][name] for name in ("hi_hi", "hi", "lo", "lo_lo") if found["limits"][name] is not None}
