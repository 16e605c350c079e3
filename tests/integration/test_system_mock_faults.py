"""A mock follows its commands, and each of its faults shows on the page where an operator would look."""

import json
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest
from harness import Message, Stack, wait_until
from leaving import leave
from mocks import PUMP, Mocks, ok

FAST = {"gpio": 4, "sensor_type": "DS18B20", "interval_s": 0.2, "base_value": 21.5}
SLOW = {"gpio": 5, "sensor_type": "ph", "interval_s": 0.5, "base_value": 7}


@pytest.fixture
def mocks(stack: Stack) -> Iterator[Mocks]:
    mocks = Mocks(stack)
    yield mocks
    mocks.end()


def with_fault(mocks: Mocks, **faults) -> str:
    """A mock that was healthy and has this fault now."""
    esp_id = mocks.make(sensors=[FAST, SLOW], actuators=[PUMP])
    wait_until(lambda: mocks.readings(esp_id, 4) and mocks.readings(esp_id, 5), "its readings are stored")
    mocks.ask("PUT", esp_id, "/faults", faults)
    return esp_id


def let_time_pass(mocks: Mocks) -> None:
    """Wait until another mock, healthy and quick, has been heard for a second."""
    other = mocks.make(sensors=[FAST])
    wait_until(lambda: len(mocks.readings(other)) > 5, "a healthy mock is heard")


def test_a_command_goes_to_a_mock_and_its_answers_come_back_until_auto_off(mocks: Mocks):
    esp_id = mocks.make(firmware="b", actuators=[PUMP])
    wait_until(lambda: mocks.read(esp_id)["acknowledged"], "its heartbeat is acknowledged")
    correlation_id = mocks.command(esp_id, "PWM", value=0.5, duration=2)
    [response] = wait_until(lambda: mocks.said(esp_id, "/response"), "the mock answered", 60.0)
    assert (response["correlation_id"], response["success"], response["value"]) == (correlation_id, True, 0.5)
    assert mocks.actuator(esp_id)["state"] is True
    wait_until(lambda: mocks.actuator(esp_id)["state"] is False, "auto-off came", 60.0)
    newest, before, *_ = mocks.said(esp_id, "/status")
    assert (newest["state"], before["state"]) == (False, True)
    assert newest["runtime_ms"] >= 2000


@pytest.mark.parametrize("firmware", ["a", "b"])
def test_kaiser_commands_a_mock_stops_it_clears_the_stop_and_commands_it_again(mocks: Mocks, firmware: str):
    esp_id = mocks.make(firmware=firmware, actuators=[PUMP])
    path = f"/api/v1/actuators/{esp_id}/25"
    ok(mocks.rest.put(path, json={"actuator_type": "pump"}))
    wait_until(lambda: mocks.read(esp_id)["acknowledged"] and mocks.device(esp_id)["online"], "the mock is online")
    assert mocks.device(esp_id)["generation"] == firmware.upper()
    sent = switched_on(mocks, esp_id)
    wait_until(lambda: command_state(mocks, sent) == "acknowledged", "the command is acknowledged")
    wait_until(lambda: ok(mocks.rest.get(path))["state"] is True, "the actuator shows as on")
    for target in ({"esp_id": esp_id, "gpio": 25}, {"esp_id": esp_id}, {}):
        ok(mocks.rest.post("/api/v1/actuators/emergency_stop", json={**target, "reason": "leak"}))
        wait_until(lambda: mocks.actuator(esp_id)["state"] is False, f"the pump is off by a stop of {target}")
        assert mocks.rest.post(f"{path}/command", json={"command": "ON"}).status_code == 423
        wait_until(lambda: ok(mocks.rest.get(path))["state"] is not True, "the actuator shows as on no more")
        clear(mocks, target or {"all": True})
        wait_until(lambda: mocks.actuator(esp_id)["emergency"] == "normal", "the mock is let go")
        assert mocks.actuator(esp_id)["state"] is False, "a clear starts nothing"
        switched_on(mocks, esp_id)


def switched_on(mocks: Mocks, esp_id: str) -> str:
    """Command the pump on until Kaiser takes the command, and wait until it runs; the command's id."""
    body = {"command": "ON", "duration_s": 600}
    sent = wait_until(lambda: taken(mocks, f"/api/v1/actuators/{esp_id}/25/command", body), "the command is taken")
    wait_until(lambda: mocks.actuator(esp_id)["state"] is True, "the pump runs")
    return str(sent["command_id"])


def clear(mocks: Mocks, target: dict[str, object]) -> None:
    """Clear a stop, as often as Kaiser refuses since it has not heard all of it."""
    wait_until(lambda: taken(mocks, "/api/v1/actuators/clear_emergency", target) is not None, "the clear is taken")


def taken(mocks: Mocks, path: str, body: dict[str, object]) -> Any:
    """The answer where Kaiser takes a request, None where it refuses it."""
    answer = mocks.rest.post(path, json=body)
    return answer.json() if answer.is_success else None


def command_state(mocks: Mocks, command_id: str) -> str:
    return str(ok(mocks.rest.get(f"/api/v1/commands/{command_id}"))["state"])


def alerts(mocks: Mocks, path: str) -> set[str]:
    """The kinds of alerts in an actuator's history."""
    items = ok(mocks.rest.get(f"{path}/history"))["items"]
    return {item["alert_type"] for item in items if item["kind"] == "alert"}


def test_runtime_protection_shows_as_an_alert(mocks: Mocks):
    esp_id = mocks.make(actuators=[{**PUMP, "max_runtime_s": 1}])
    path = f"/api/v1/actuators/{esp_id}/25"
    ok(mocks.rest.put(path, json={"actuator_type": "pump"}))
    mocks.command(esp_id, "ON")
    wait_until(lambda: "runtime_protection" in alerts(mocks, path), "the alert is in the history")
    assert (mocks.actuator(esp_id)["state"], mocks.actuator(esp_id)["error"]) == (False, "runtime protection")


def test_a_command_that_a_mock_refuses_fails_with_its_reason(mocks: Mocks):
    esp_id = mocks.make(actuators=[PUMP], faults={"refuse_commands": True})
    path = f"/api/v1/actuators/{esp_id}/25"
    ok(mocks.rest.put(path, json={"actuator_type": "pump"}))
    wait_until(lambda: mocks.device(esp_id)["online"], "the mock is online")
    sent = ok(mocks.rest.post(f"{path}/command", json={"command": "ON"}))
    wait_until(lambda: command_state(mocks, sent["command_id"]) == "failed", "the command failed")
    assert "refused" in ok(mocks.rest.get(f"/api/v1/commands/{sent['command_id']}"))["message"]


def test_a_mock_takes_over_a_configuration_and_a_zone_that_the_registry_pushes(mocks: Mocks):
    esp_id = mocks.make(sensors=[FAST])
    zone = {"zone_id": "north"}
    ok(mocks.rest.post(f"/api/v1/esp/devices/{esp_id}/zone", json=zone))
    wait_until(lambda: mocks.device(esp_id)["zone_id"] == "north", "the zone is acknowledged")
    config = {"sensors": [{"gpio": 4, "type": "DS18B20", "measurement_interval_seconds": 7}], "actuators": []}
    ok(mocks.rest.post(f"/api/v1/esp/devices/{esp_id}/config", json=config))
    wait_until(lambda: mocks.read(esp_id)["sensors"][0]["interval_s"] == 7, "the interval is taken over")
    answers = wait_until(lambda: mocks.said(esp_id, "/config_response"), "the mock answered")
    assert {"status": "success", "type": "sensor", "count": 1}.items() <= answers[-1].items()


def test_a_heartbeat_alone_shows_a_mock_as_online_and_a_deleted_one_is_out_of_the_registry(mocks: Mocks):
    esp_id = mocks.make(firmware_version="9.8.7")
    wait_until(lambda: mocks.device(esp_id)["online"], "its heartbeat is heard")
    device = mocks.device(esp_id)
    assert (device["hardware_type"], device["firmware_version"]) == ("MOCK_ESP32", "9.8.7")
    mocks.ask("DELETE", esp_id)
    assert (mocks.read(esp_id), mocks.device(esp_id)) == ({}, {})


def test_offline_shows_as_offline_and_comes_back(mocks: Mocks):
    esp_id = with_fault(mocks, offline=True)
    wait_until(lambda: mocks.device(esp_id)["online"] is False, "the will took it offline")
    offline_at = time.time() * 1000
    let_time_pass(mocks)
    assert mocks.device(esp_id)["online"] is False
    assert [ts for ts, _ in mocks.readings(esp_id) if ts > offline_at] == []
    mocks.ask("DELETE", esp_id, "/faults")
    wait_until(lambda: mocks.device(esp_id)["online"], "it is back")


@pytest.mark.both_brokers
def test_a_crashed_mocks_will_is_retained_by_the_broker_until_the_mock_is_deleted(mocks: Mocks):
    esp_id = with_fault(mocks, offline=True)
    topic = f"kaiser/god/esp/{esp_id}/system/will"
    wait_until(lambda: b'"offline"' in retained(mocks.stack, topic), "the broker keeps the will")
    mocks.ask("DELETE", esp_id)
    wait_until(lambda: retained(mocks.stack, topic) == b"", "the broker has forgotten it")
    assert 5209 not in {entry["code"] for entry in mocks.rejected(esp_id)}


def retained(stack: Stack, topic: str) -> bytes:
    """The retained payload of a topic; empty if none comes within half a second of the SUBACK."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    got: queue.Queue[bytes] = queue.Queue()
    client.on_connect = lambda *_: client.subscribe(topic, qos=1)
    client.on_message = lambda _, __, message: got.put(message.payload)
    subscribed = threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(stack.addresses["mqtt_host"], stack.addresses["mqtt_port"], keepalive=30)
    client.loop_start()
    try:
        assert subscribed.wait(60.0), "the broker takes a subscription"
        return got.get(timeout=0.5)
    except queue.Empty:
        return b""
    finally:
        leave(client)


def test_flapping_shows_as_offline_and_online_in_turn(mocks: Mocks):
    esp_id = with_fault(mocks, flapping_s=2)
    for online in (False, True, False):
        wait_until(lambda online=online: mocks.device(esp_id)["online"] is online, f"online is {online}", 60.0)


def test_a_silent_sensor_says_nothing_and_the_other_goes_on(mocks: Mocks):
    esp_id = with_fault(mocks, silent=[4])
    silent_at, other = time.time() * 1000, len(mocks.readings(esp_id, 5))
    wait_until(lambda: len(mocks.readings(esp_id, 5)) > other + 3, "the other sensor goes on")
    assert [ts for ts, _ in mocks.readings(esp_id, 4) if ts > silent_at] == []


def test_garbage_is_in_the_rejected_list_with_its_codes(mocks: Mocks):
    esp_id = with_fault(mocks, garbage=1.0)
    expected = {5205, 5206, 5209, 5211}
    wait_until(lambda: {entry["code"] for entry in mocks.rejected(esp_id)} >= expected, "all four kinds are rejected")
    mocks.ask("DELETE", esp_id, "/faults")
    before = len(mocks.readings(esp_id))
    wait_until(lambda: len(mocks.readings(esp_id)) > before + 2, "healthy readings are stored again")


def test_a_clock_two_days_ahead_is_not_believed_and_one_an_hour_behind_is_stored_there(mocks: Mocks):
    esp_id = with_fault(mocks, clock_offset_s=2 * 86_400)
    before = len(mocks.readings(esp_id))
    wait_until(lambda: len(mocks.readings(esp_id)) > before + 3, "its readings are stored")
    assert max(ts for ts, _ in mocks.readings(esp_id)) < (time.time() + 60) * 1000
    assert mocks.rejected(esp_id) == []
    mocks.ask("PUT", esp_id, "/faults", {"clock_offset_s": -3600})
    hour_ago = int((time.time() - 3500) * 1000)
    wait_until(lambda: [ts for ts, _ in mocks.readings(esp_id) if ts < hour_ago], "the past is stored as such")


def test_without_a_clock_the_receive_time_stands_in(mocks: Mocks):
    esp_id = with_fault(mocks, no_clock=True)
    before = len(mocks.readings(esp_id))
    wait_until(lambda: len(mocks.readings(esp_id)) > before + 3, "readings without a time are stored")
    assert mocks.said(esp_id, "sensor/4/data")[0]["ts"] == 0
    assert age_s(mocks, esp_id) < 120


def test_duplicates_are_stored_once(mocks: Mocks):
    esp_id = with_fault(mocks, duplicate=1.0)
    said = wait_until(lambda: twice(mocks, esp_id), "readings were sent twice")
    mocks.ask("DELETE", esp_id, "/faults")
    wait_until(lambda: mocks.readings(esp_id)[-1][0] > said[0], "later readings are stored")
    times = [ts for ts, _ in mocks.readings(esp_id)]
    assert set(said) <= set(times)
    assert len(times) == len(set(times))


def twice(mocks: Mocks, esp_id: str) -> list[int]:
    """The times that were sent twice, newest first, once there are five."""
    times = [reading["ts"] for reading in mocks.said(esp_id, "sensor/4/data")]
    repeated = [ts for ts in dict.fromkeys(times) if times.count(ts) == 2]
    return repeated if len(repeated) >= 5 else []


def test_late_readings_are_stored_with_the_time_at_which_they_were_taken(mocks: Mocks):
    esp_id = with_fault(mocks, late_s=3)
    wait_until(lambda: age_s(mocks, esp_id) > 2.5, "nothing comes for a while")
    stored = len(mocks.readings(esp_id))
    wait_until(lambda: len(mocks.readings(esp_id)) > stored + 10, "late readings come")
    assert 2.5 < age_s(mocks, esp_id) < 120


def age_s(mocks: Mocks, esp_id: str) -> float:
    """How long ago the newest stored reading was taken."""
    return time.time() - mocks.readings(esp_id)[-1][0] / 1000


def test_a_slow_mock_answers_later_than_it_acts(mocks: Mocks):
    esp_id = with_fault(mocks, slow_response_s=3)
    asked_at = time.time()
    mocks.command(esp_id, "ON")
    wait_until(lambda: mocks.actuator(esp_id)["state"], "the pump runs", 60.0)
    assert mocks.said(esp_id, "/response") == []
    wait_until(lambda: mocks.said(esp_id, "/response"), "the answer came")
    assert time.time() - asked_at >= 3


def test_a_mock_that_refuses_says_so(mocks: Mocks):
    esp_id = with_fault(mocks, refuse_commands=True)
    mocks.command(esp_id, "ON")
    [response] = wait_until(lambda: mocks.said(esp_id, "/response"), "the mock answered")
    assert (response["success"], mocks.actuator(esp_id)["state"]) == (False, False)


def test_the_red_button_stops_the_pump_and_shows_as_an_emergency(mocks: Mocks):
    esp_id = mocks.make(actuators=[PUMP])
    ok(mocks.rest.put(f"/api/v1/actuators/{esp_id}/25", json={"actuator_type": "pump"}))
    mocks.command(esp_id, "ON")
    wait_until(lambda: mocks.actuator(esp_id)["state"], "the pump runs")
    mocks.ask("POST", esp_id, "/emergency", {"reason": "leak"})
    assert mocks.actuator(esp_id)["emergency"] == "active"
    assert mocks.said(esp_id, "actuator/255/alert")[0]["alert_type"] == "emergency_stop"
    wait_until(lambda: esp_id in emergencies(mocks), "the stop is in force in Kaiser too")
    mocks.command(esp_id, "ON")
    wait_until(lambda: any(not one["success"] for one in mocks.said(esp_id, "/response")), "the command is refused")
    clear(mocks, {"esp_id": esp_id})
    wait_until(lambda: mocks.actuator(esp_id)["emergency"] == "normal", "Kaiser's clearing lets it go")
    assert (mocks.actuator(esp_id)["emergency"], mocks.actuator(esp_id)["state"]) == ("normal", False)


def test_a_broadcast_stops_every_mock(mocks: Mocks):
    ids = mocks.make_many(3, actuators=[PUMP])
    wait_until(lambda: all(mocks.read(esp_id).get("connected") for esp_id in ids), "all are connected")
    body = json.dumps({"command": "emergency_stop", "reason": "fire", "issued_by": "ada"}).encode()
    mocks.stack.publish([Message("kaiser/broadcast/emergency", body)], as_ingest=True)
    wait_until(lambda: all(mocks.actuator(esp_id)["emergency"] == "active" for esp_id in ids), "all have stopped")
    wait_until(lambda: set(ids) <= emergencies(mocks), "their alerts are emergencies in Kaiser")
    for esp_id in ids:
        clear(mocks, {"esp_id": esp_id, "gpio": 25})


def emergencies(mocks: Mocks) -> set[str]:
    """The devices with an emergency stop in force."""
    return {item["esp_id"] for item in ok(mocks.rest.get("/api/v1/actuators/emergencies"))["items"]}


def test_values_are_overridden_all_or_none_until_they_are_let_go(mocks: Mocks):
    esp_id = mocks.make(sensors=[FAST, SLOW])
    bad = {"values": [{"gpio": 4, "value": 99}, {"gpio": 7, "value": 1}]}
    answer: httpx.Response = mocks.rest.post(f"/api/v1/debug/mock-esp/{esp_id}/values", json=bad)
    assert (answer.status_code, answer.json()["code"]) == (404, 5202)
    assert [one["override"] for one in mocks.read(esp_id)["sensors"]] == [None, None]
    mocks.ask("POST", esp_id, "/values", {"values": [{"gpio": 4, "value": 35.5}, {"gpio": 5, "value": 4}]})
    wait_until(lambda: mocks.readings(esp_id)[-1:] and mocks.readings(esp_id)[-1][1] == 35.5, "the override is stored")
    mocks.ask("DELETE", esp_id, "/sensors/4/value")
    wait_until(lambda: mocks.readings(esp_id)[-1][1] == 21.5, "the sensor follows its pattern again")
