"""Commands and emergency stops through the whole stack, with a scripted MQTT device at its end."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest
from esp32 import Device
from harness import Message, Stack, wait_until
from leaving import leave

PIN = 5


@pytest.fixture
def rest(stack: Stack) -> Iterator[httpx.Client]:
    with stack.sign_in() as rest:
        yield rest


@pytest.fixture
def device(stack: Stack, rest: httpx.Client) -> Iterator[Device]:
    """A device that is registered and online, with a pump on PIN."""
    [esp_id] = stack.register(1)
    with Device(stack, esp_id) as device:
        set_up(rest, device)
        yield device


def set_up(rest: httpx.Client, device: Device) -> None:
    wait_until(lambda: rest.get(f"/api/v1/esp/devices/{device.esp_id}").json()["online"], "the device is online")
    put = rest.put(f"/api/v1/actuators/{device.esp_id}/{PIN}", json={"actuator_type": "pump", "name": "Pump"})
    assert put.status_code == 200, put.text
    # online means online to the actuator service too, which hears of it a moment later
    answers: list[dict[str, Any]] = []

    def is_online() -> bool:
        answers.append(send(rest, device, "OFF").raise_for_status().json())
        return answers[-1].get("state_reason") is None

    wait_until(is_online, "commands are taken as of a device that is online")
    wait_until(lambda: not device.answers or len(device.commands()) >= len(answers), "the device hears commands")
    device.heard.clear()


def send(rest: httpx.Client, device: Device, command: str, **fields: Any) -> httpx.Response:
    return rest.post(f"/api/v1/actuators/{device.esp_id}/{PIN}/command", json={"command": command, **fields})


def sent(rest: httpx.Client, device: Device, command: str, **fields: Any) -> str:
    answer = send(rest, device, command, **fields)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["command_id"])


def state(rest: httpx.Client, command_id: str) -> str:
    answer = rest.get(f"/api/v1/commands/{command_id}")
    return str(answer.json()["state"]) if answer.status_code == 200 else f"HTTP {answer.status_code}"


def becomes(rest: httpx.Client, command_id: str, wanted: str, within_s: float = 120.0) -> None:
    wait_until(lambda: state(rest, command_id) == wanted, f"{command_id} is {wanted}", within_s)


def actuator(rest: httpx.Client, device: Device) -> dict[str, Any]:
    return dict(rest.get(f"/api/v1/actuators/{device.esp_id}/{PIN}").json())


def clear(rest: httpx.Client, **target: Any) -> None:
    answer = rest.post("/api/v1/actuators/clear_emergency", json=target)
    assert answer.status_code == 200, answer.text


@pytest.mark.both_brokers
def test_a_command_succeeds_and_its_state_is_seen(rest: httpx.Client, device: Device):
    command = sent(rest, device, "ON", duration_s=60, reason="watering")
    becomes(rest, command, "acknowledged")
    wait_until(lambda: actuator(rest, device)["state"] is True, "the pump is on")
    [(_, topic, body)] = device.heard
    assert topic == f"{device.base}/actuator/{PIN}/command"
    assert (body["command"], body["value"], body["duration"], body["correlation_id"]) == ("ON", 1.0, 60, command)
    history = rest.get(f"/api/v1/actuators/{device.esp_id}/{PIN}/history").json()["items"]
    assert {"command", "response", "status"} <= {item["kind"] for item in history}


def test_failure_a_late_answer_and_a_repeated_one(rest: httpx.Client, device: Device):
    device.refuses = True
    failed = sent(rest, device, "ON")
    becomes(rest, failed, "failed")
    assert rest.get(f"/api/v1/commands/{failed}").json()["state_reason"] == "no water"
    device.refuses, device.answers_twice = False, True
    twice = sent(rest, device, "ON")
    becomes(rest, twice, "acknowledged")
    device.answers_twice, device.answers = False, False
    silent = sent(rest, device, "ON")
    becomes(rest, silent, "sent")
    becomes(rest, silent, "expired")
    device.answer({"command": "ON", "correlation_id": silent}, PIN)
    device.answers = True
    later = sent(rest, device, "OFF")
    becomes(rest, later, "acknowledged")
    assert (state(rest, silent), state(rest, twice), state(rest, failed)) == ("expired", "acknowledged", "failed")


def test_a_device_that_is_offline_refuses_or_gets_the_command_once_it_is_back(
    stack: Stack, rest: httpx.Client, device: Device
):
    will = {"status": "offline", "esp_id": device.esp_id, "ts": int(time.time())}
    stack.publish([Message(f"{device.base}/system/will", json.dumps(will).encode())])
    wait_until(lambda: send(rest, device, "ON").status_code == 409, "the device is offline")
    assert send(rest, device, "ON").json()["code"] == 5007
    waiting = sent(rest, device, "ON", queue=True, expires_s=120)
    assert state(rest, waiting) == "queued"
    device.heartbeat()
    becomes(rest, waiting, "acknowledged")
    assert device.commands()[-1] == (PIN, "ON", 0)


def test_the_pump_of_a_device_that_counts_as_offline_and_still_listens_goes_off(
    stack: Stack, rest: httpx.Client, device: Device
):
    becomes(rest, sent(rest, device, "ON"), "acknowledged")
    device.answers = False  # an answer would say that it is online
    will = {"status": "offline", "esp_id": device.esp_id, "ts": int(time.time())}
    stack.publish([Message(f"{device.base}/system/will", json.dumps(will).encode())])
    wait_until(lambda: send(rest, device, "ON").status_code == 409, "the device is offline, for actuator too")
    assert device.on[PIN]
    device.answers = True
    answer = send(rest, device, "OFF")
    assert (answer.status_code, answer.json()["state_reason"]) == (
        202,
        "the device is offline: OFF is sent all the same, and is confirmed once the device answers",
    )
    wait_until(lambda: not device.on[PIN], "its pump is off")
    becomes(rest, answer.json()["command_id"], "acknowledged")


def test_an_emergency_in_the_middle_of_a_sequence_cancels_it_and_holds_until_it_is_cleared(
    rest: httpx.Client, device: Device
):
    becomes(rest, sent(rest, device, "ON"), "acknowledged")
    device.answers = False
    pending = [sent(rest, device, command) for command in ("OFF", "ON", "ON")]
    stop = rest.post("/api/v1/actuators/emergency_stop", json={"esp_id": device.esp_id, "reason": "leak"})
    assert stop.status_code == 200, stop.text
    wait_until(lambda: "emergency_stop" in device.emergencies(), "the device is stopped")
    assert {state(rest, command) for command in pending} == {"cancelled"}
    refused = send(rest, device, "ON")
    assert (refused.status_code, "leak" in refused.json()["detail"]) == (423, True)
    wait_until(lambda: actuator(rest, device)["emergency"] == "active", "the stop is shown")
    wait_until(lambda: actuator(rest, device)["state"] is False, "it is off")
    device.answers = True
    clear(rest, esp_id=device.esp_id)
    wait_until(lambda: device.emergencies()[-1] == "clear_emergency", "the device may go on")
    becomes(rest, sent(rest, device, "ON"), "acknowledged")


def test_a_critical_alert_of_a_device_locks_it(rest: httpx.Client, device: Device):
    device.send(f"actuator/{PIN}/alert", {"gpio": PIN, "alert_type": "fault", "message": "motor stuck"})
    wait_until(lambda: actuator(rest, device)["emergency"] == "active", "the alert stopped it")
    assert send(rest, device, "ON").status_code == 423
    wait_until(lambda: (PIN, "OFF", 0) in device.commands(), "the device hears OFF")
    clear(rest, esp_id=device.esp_id, gpio=PIN)
    becomes(rest, sent(rest, device, "ON"), "acknowledged")


@pytest.mark.both_brokers
def test_an_emergency_of_everything_reaches_every_device(stack: Stack, rest: httpx.Client, device: Device):
    [other_id] = stack.register(1)
    with Device(stack, other_id) as other:
        set_up(rest, other)
        rest.post("/api/v1/actuators/emergency_stop", json={"reason": "fire"}).raise_for_status()
        try:
            for one in (device, other):
                wait_until(lambda one=one: "emergency_stop" in one.emergencies(), f"{one.esp_id} is stopped")
                assert send(rest, one, "ON").status_code == 423
        finally:
            clear(rest, all=True)
        for one in (device, other):
            wait_until(lambda one=one: one.emergencies()[-1] == "clear_emergency", f"{one.esp_id} may go on")


@pytest.mark.both_brokers
def test_an_emergency_is_quick_under_load(stack: Stack, rest: httpx.Client, device: Device):
    """From the REST request to the device's socket, with 1,000 other messages a second through the same broker."""
    stop_load = threading.Event()
    body = {"ts": 0, "gpio": PIN, "actuator_type": "pump", "state": False, "value": 0.0}
    load = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    load.max_inflight_messages_set(1000)
    load.connect(stack.addresses["mqtt_host"], stack.addresses["mqtt_port"])
    load.loop_start()

    published: list[paho.MQTTMessageInfo] = []

    def publish() -> None:
        while not stop_load.is_set():
            for gpio in range(20, 40):
                message = json.dumps({**body, "gpio": gpio})
                published.append(load.publish(f"{device.base}/actuator/{gpio}/status", message, qos=1))
            time.sleep(0.02)

    thread = threading.Thread(target=publish)
    thread.start()
    waits = []
    try:
        wait_until(lambda: len(published) > 500 and published[500].is_published(), "the load flows")
        for _ in range(9):
            device.heard.clear()
            started = time.monotonic()
            target = {"esp_id": device.esp_id, "gpio": PIN}
            rest.post("/api/v1/actuators/emergency_stop", json=target).raise_for_status()
            wait_until(lambda: (PIN, "OFF", 0) in device.commands(), "the device hears OFF")
            waits.append(device.heard[0][0] - started)
            clear(rest, **target)
    finally:
        stop_load.set()
        thread.join(5)
        leave(load)
    waits.sort()
    print(f"emergency stop, REST request to device: p50 {waits[4] * 1000:.0f} ms, max {waits[-1] * 1000:.0f} ms")
    assert waits[-1] < 60, "the stop waited for what was sent before it"


@pytest.mark.parametrize("victim", ["actuator", "nats", "postgres", "ingest"])
def test_a_command_in_flight_outlives_a_kill(stack: Stack, rest: httpx.Client, device: Device, victim: str):
    device.after_s = 2.0
    command = sent(rest, device, "ON")
    wait_until(device.commands, "the device has it")
    stack.kill(victim)
    becomes(rest, command, "acknowledged")
    wait_until(lambda: rest.get(f"/api/v1/actuators/{device.esp_id}/{PIN}").status_code == 200, "actuator answers")
    seen: list[Any] = ["its status was not lost", device.on, device.heard]

    def is_on() -> bool:
        seen[3:] = [actuator(rest, device)]
        return seen[3]["state"] is True

    wait_until(is_on, seen)


def test_a_stop_survives_a_restart_of_everything_and_is_sent_to_a_device_that_comes_back(make_stack: Any):
    stack = make_stack().start()
    with stack.sign_in() as rest:
        [esp_id] = stack.register(1)
        with Device(stack, esp_id) as device:
            set_up(rest, device)
            rest.post("/api/v1/actuators/emergency_stop", json={"esp_id": esp_id, "reason": "leak"}).raise_for_status()
            wait_until(lambda: "emergency_stop" in device.emergencies(), "the device is stopped")
    stack.stop()
    stack.start()
    with stack.sign_in() as rest, Device(stack, esp_id) as device:
        wait_until(lambda: "emergency_stop" in device.emergencies(), "the device that comes online is told again", 60.0)
        wait_until(lambda: send(rest, device, "ON").status_code == 423, "commands are still refused")
        assert rest.get("/api/v1/actuators/emergencies").json()["items"][0]["reason"] == "leak"


def test_a_config_push_takes_the_actuators_from_the_registry(rest: httpx.Client, device: Device):
    pushed = rest.post(
        f"/api/v1/esp/devices/{device.esp_id}/config", json={"sensors": [{"gpio": 4, "type": "DS18B20"}]}
    )
    assert pushed.status_code == 202, pushed.text
    config = wait_until(
        lambda: next((body for _, topic, body in device.heard if topic.endswith("/config")), None),
        "it hears its config",
    )
    found = [(item["gpio"], item["actuator_type"], item["actuator_name"]) for item in config["actuators"]]
    assert found == [(PIN, "pump", "Pump")]
    assert config["correlation_id"] == config["config_id"]
