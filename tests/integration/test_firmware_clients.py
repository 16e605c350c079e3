"""The emulated firmware of both generations against a bare broker: what it does with what Kaiser sends it."""

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from firmware_a import FirmwareA
from firmware_b import FirmwareB
from firmware_device import Heard, until
from leaving import leave

CONFIG = {
    "config_id": "c1",
    "correlation_id": "c1",
    "actuators": [{"gpio": 25, "actuator_type": "pump", "actuator_name": "Pump", "active": True}],
}


class Server:
    """The other end of the line: says what a test says, hears what the device says."""

    def __init__(self, port: int, esp_id: str) -> None:
        self.base = f"kaiser/god/esp/{esp_id}"
        self.heard: list[Heard] = []
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        self._client.on_message = self._on_message
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.reconnect_delay_set(1, 2)
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(f"{self.base}/#", 1)
        self._client.loop_start()
        until(subscribed.is_set, "the server has subscribed")

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if message.payload:
            self.heard.append(Heard(message.topic, message.payload.decode(), message.qos, message.retain))

    def say(self, tail: str, body: dict[str, Any]) -> None:
        topic = tail if tail.startswith("kaiser/") else f"{self.base}/{tail}"
        self._client.publish(topic, json.dumps(body), 1).wait_for_publish(10)

    def told(self, tail: str) -> list[dict[str, Any]]:
        return [one.body for one in list(self.heard) if one.topic == f"{self.base}/{tail}"]

    def close(self) -> None:
        leave(self._client)


@pytest.fixture
def esp_id() -> str:
    return f"TEST_{secrets.token_hex(4).upper()}"


@pytest.fixture
def server(mosquitto: Any, esp_id: str) -> Iterator[Server]:
    server = Server(mosquitto.port, esp_id)
    yield server
    server.close()


@pytest.fixture
def make_b(mosquitto: Any, esp_id: str) -> Iterator[Callable[..., FirmwareB]]:
    devices: list[FirmwareB] = []

    def make(**options: Any) -> FirmwareB:
        devices.append(FirmwareB(("127.0.0.1", mosquitto.port), esp_id, interval_s=0.05, **options))
        devices[-1].power_on()
        return devices[-1]

    yield make
    for device in devices:
        device.board.leave()


def register(server: Server, device: FirmwareB) -> None:
    until(lambda: server.told("system/heartbeat"), "it beats")
    server.say("system/heartbeat/ack", {"status": "online", "handover_epoch": 1})
    until(lambda: device.registered, "it is registered")


def pump_is(device: Any, state: str) -> bool:
    """Whether the pump is "on" or "stopped"; not before the device has taken its configuration."""
    return 25 in device.board.flash.actuators and bool(getattr(device.board.flash.actuators[25], state))


def test_b_says_no_reading_until_an_ack_has_an_epoch(server: Server, make_b: Callable[..., FirmwareB]):
    device = make_b()
    until(lambda: server.told("session/announce"), "it announced its session")
    server.say("system/heartbeat/ack", {"status": "online"})
    until(lambda: device.refused_acks, "an ack without an epoch is refused")
    assert not device.registered
    register(server, device)
    sensor = {"gpio": 34, "sensor_type": "ph", "sensor_name": "pH"}
    server.say("config", {**CONFIG, "sensors": [sensor]})
    until(lambda: server.told("sensor/34/data"), "it sends readings")
    assert {"sensor", "actuator"} == {answer["type"] for answer in server.told("config_response")}
    assert {one.qos for one in server.heard if one.topic.endswith("/data")} == {1}


def test_b_keeps_configuration_zone_and_token_over_a_power_cut(server: Server, make_b: Callable[..., FirmwareB]):
    device = make_b()
    register(server, device)
    server.say("config", CONFIG)
    server.say("zone/assign", {"zone_id": "north", "master_zone_id": "", "zone_name": "North"})
    server.say("system/command", {"command": "set_emergency_token", "params": {"token": "s3cret"}})
    until(lambda: device.board.flash.token == "s3cret", "the token is set")
    server.say("actuator/25/command", {"command": "ON", "value": 1, "duration": 0})
    until(lambda: pump_is(device, "on"), "the pump is on")
    device.board.power_cut()
    until(lambda: server.told("system/will"), "the broker says its will")
    device.power_on()
    flash = device.board.flash
    assert (flash.zone.zone_id, flash.token, flash.actuators[25].on, flash.boots) == ("north", "s3cret", False, 2)
    assert not device.registered


def test_b_refuses_a_clear_too_early_and_a_stop_without_its_token(server: Server, make_b: Callable[..., FirmwareB]):
    device = make_b(clear_refused_s=1.0)
    device.board.flash.token = "right"
    register(server, device)
    server.say("config", CONFIG)
    server.say("actuator/emergency", {"command": "emergency_stop", "auth_token": "wrong"})
    until(lambda: server.told("actuator/emergency/error"), "the wrong token is refused")
    assert not device.board.flash.actuators[25].stopped
    server.say("actuator/emergency", {"command": "emergency_stop", "auth_token": "right"})
    until(lambda: pump_is(device, "stopped"), "the pump is stopped")
    server.say("actuator/emergency", {"command": "clear_emergency", "auth_token": "right"})
    until(lambda: server.told("actuator/255/alert"), "the clear is refused")
    assert server.told("actuator/255/alert")[0]["alert_type"] == "verification_failed"
    assert device.board.flash.actuators[25].stopped
    until(lambda: device.board.stopped_for() > 1.0, "the time is over")
    server.say("actuator/emergency", {"command": "clear_emergency", "auth_token": "right"})
    until(lambda: server.told("actuator/recovery_confirm"), "the clear is confirmed")
    assert not device.board.flash.actuators[25].stopped


@pytest.mark.parametrize(("production", "stopped"), [(False, True), (True, False)])
def test_b_in_production_refuses_a_broadcast_without_its_token(
    server: Server, make_b: Callable[..., FirmwareB], production: bool, stopped: bool
):
    device = make_b(production=production)
    register(server, device)
    server.say("config", CONFIG)
    server.say("kaiser/broadcast/emergency", {"command": "emergency_stop", "reason": "fire"})
    until(lambda: device.board.heard_on("kaiser/broadcast/emergency") and device.board.notes, "it heard the broadcast")
    assert device.board.flash.actuators[25].stopped is stopped


def test_b_goes_to_its_defaults_without_acks_and_when_the_server_is_offline(
    server: Server, make_b: Callable[..., FirmwareB]
):
    device = make_b()
    register(server, device)
    server.say("config", CONFIG)
    server.say("actuator/25/command", {"command": "ON", "value": 1, "duration": 0})
    until(lambda: pump_is(device, "on"), "the pump is on")
    device.ack_timeout_s = 1.0  # only now: on a busy machine it would be over before the pump is on
    until(lambda: not pump_is(device, "on"), "no ack: the pump is off")
    server.say("actuator/25/command", {"command": "ON", "value": 1, "duration": 0})
    until(lambda: pump_is(device, "on"), "the pump is on again")
    server.say("kaiser/god/server/status", {"status": "offline", "reason": "unexpected_disconnect"})
    until(lambda: not pump_is(device, "on"), "server offline: the pump is off")


def test_b_drops_what_is_larger_than_its_buffers(server: Server, make_b: Callable[..., FirmwareB]):
    device = make_b()
    register(server, device)
    server.say("config", CONFIG)
    server.say("actuator/emergency", {"command": "emergency_stop", "reason": "x" * 300})
    server.say("actuator/25/command", {"command": "ON", "reason": "x" * 600})
    server.say("system/command", {"command": "status"})
    until(lambda: server.told("system/command/response"), "what fits is answered")
    assert [topic.rpartition("/")[2] for topic in device.board.dropped] == ["emergency", "command"]
    pump = device.board.flash.actuators[25]
    assert (pump.on, pump.stopped) == (False, False)


def test_a_retains_its_messages_answers_an_empty_list_with_an_error_and_needs_its_id_as_token(
    mosquitto: Any, server: Server, esp_id: str
):
    with FirmwareA(("127.0.0.1", mosquitto.port), esp_id, interval_s=0.05, clear_refused_s=0.0) as device:
        server.say("config", {**CONFIG, "sensors": []})
        until(lambda: len(server.told("config_response")) == 2, "each scope is answered")
        answers = {answer["type"]: answer["status"] for answer in server.told("config_response")}
        assert answers == {"sensor": "error", "actuator": "success"}
        server.say("actuator/25/command", {"command": "ON", "value": 1, "duration": 0})
        until(lambda: pump_is(device, "on"), "the pump is on")
        server.say("actuator/emergency", {"command": "emergency_stop", "auth_token": esp_id})
        until(lambda: pump_is(device, "stopped"), "the pump is stopped")
        server.say("actuator/emergency", {"command": "clear_emergency", "auth_token": esp_id})
        until(lambda: server.told("actuator/emergency/response"), "the clear is answered")
        server.say("zone/assign", {"zone_id": ""})
        server.say("zone/assign", {"zone_id": "north", "master_zone_id": "", "zone_name": ""})
        until(lambda: server.told("zone/ack"), "the zone is acknowledged")
        assert [ack["zone_id"] for ack in server.told("zone/ack")] == ["north"]
        assert {one.qos for one in server.heard if one.topic.endswith("/response")} == {0}
    later = Server(mosquitto.port, esp_id)
    until(lambda: later.told("actuator/25/status"), "the last status is retained")
    assert {one.retain for one in later.heard} == {True}
    later.close()


def test_a_prints_a_reading_below_zero_unsigned(mosquitto: Any, server: Server, esp_id: str):
    with FirmwareA(("127.0.0.1", mosquitto.port), esp_id, interval_s=0.05) as device:
        sensor = {"gpio": 4, "sensor_type": "ds18b20", "sensor_name": "T", "onewire_address": "28FF641E8D3C0C79"}
        server.say("config", {**CONFIG, "sensors": [sensor]})
        until(lambda: device.board.flash.sensors, "the probe is configured")
        next(iter(device.board.flash.sensors.values())).raw = -80
        until(lambda: any(one["raw"] == 4_294_967_216 for one in server.told("sensor/4/data")), "it is unsigned")
