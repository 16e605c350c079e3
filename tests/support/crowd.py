"""Many devices of generation A on one shared MQTT connection; each behaves as its firmware does."""

import itertools
import threading
from collections.abc import Sequence

import paho.mqtt.client as paho
from firmware_a import FirmwareA
from firmware_device import Actuator, Flash
from leaving import leave
from paho.mqtt.enums import CallbackAPIVersion

PUMP = 25
_FILTERS = ("actuator/emergency", "actuator/+/command", "config", "system/command", "zone/assign")
_ANSWER_S = 30.0
_BOOT_MS = 3_000
"""A device that has just booted does not do so again: its power-on takes that long."""


class Crowd:
    """The devices by id, each with one pump that runs from its boot on. Every access to them holds `lock`.

    As a context manager it connects and has each of them say a heartbeat; then every `heartbeat_s` one more, and the
    status of its pump, as the firmware does.
    """

    def __init__(self, address: tuple[str, int], esp_ids: Sequence[str], heartbeat_s: float = 20.0) -> None:
        self.lock = threading.RLock()
        self.devices = {esp_id: FirmwareA(address, esp_id, flash=_flash()) for esp_id in esp_ids}
        self._address = address
        self._heartbeat_s = heartbeat_s
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"crowd-{esp_ids[0]}", protocol=paho.MQTTv311)
        self._client.max_queued_messages_set(0)
        self._client.on_message = self._on_message
        self._client.on_connect = self._on_connect
        self._subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Crowd":
        self._client.reconnect_delay_set(1, 2)
        self._client.connect(*self._address, keepalive=60)
        self._client.loop_start()
        assert self._subscribed.wait(_ANSWER_S), "the crowd is not connected"
        for esp_id in self.devices:
            self.boot(esp_id)
        self._beating.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._beating.join(10)
        leave(self._client)

    def boot(self, esp_id: str) -> None:
        """The power comes back after a cut too short for the broker to notice: the pump runs, the stop is forgotten."""
        with self.lock:
            device = self.devices[esp_id]
            if device.board.flash.boots and device.board.millis() < _BOOT_MS:
                return
            device.board.share(self._client)
            device.heartbeat()

    def stopped(self) -> set[str]:
        """The devices whose pump is off and locked."""
        with self.lock:
            return {esp_id for esp_id, each in self.devices.items() if each.board.flash.actuators[PUMP].stopped}

    def running(self) -> set[str]:
        """The devices whose pump runs."""
        with self.lock:
            return {esp_id for esp_id, each in self.devices.items() if each.board.flash.actuators[PUMP].on}

    def emergencies(self, esp_id: str) -> list[str]:
        """The stops and clears that a device received, in order."""
        with self.lock:
            heard = list(self.devices[esp_id].board.heard)
        return [each.payload for each in heard if each.topic.endswith("/emergency")]

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        client.subscribe([*((f"kaiser/god/esp/+/{tail}", 1) for tail in _FILTERS), ("kaiser/broadcast/emergency", 1)])

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        with self.lock:
            if message.topic == "kaiser/broadcast/emergency":
                for device in self.devices.values():
                    device.board.take(message)
                return
            named = self.devices.get(message.topic.split("/")[3])
            if named is not None:
                named.board.take(message)

    def _beat(self) -> None:
        """One heartbeat after the other, spread over the interval."""
        pause_s = self._heartbeat_s / len(self.devices)
        for esp_id in itertools.cycle(self.devices):
            if self._ended.wait(pause_s):
                return
            with self.lock:
                device = self.devices[esp_id]
                device.status(PUMP)
                device.heartbeat()


def _flash() -> Flash:
    flash = Flash()
    flash.actuators[PUMP] = Actuator(PUMP, "pump", "Pump", default_on=True, on=True)
    return flash
