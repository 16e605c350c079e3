"""The hardware under both firmware generations: pins, flash, one MQTT connection, and one task that does all the work.

Nothing of Kaiser is imported. What each generation says and does is in firmware_a.py and firmware_b.py.
"""

import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import paho.mqtt.client as paho
from leaving import leave
from paho.mqtt.enums import CallbackAPIVersion

_WAIT_S = 60.0
NO_PIN = 255


@dataclass(slots=True)
class Sensor:
    """A configured probe. raw: what its driver reads next, a signed count."""

    gpio: int
    sensor_type: str
    address: str = ""
    i2c_address: int = 0
    subzone_id: str = ""
    name: str = ""
    active: bool = True
    raw_mode: bool = True
    operating_mode: str = "continuous"
    interval_s: int = 30
    raw: int = 2048

    @property
    def key(self) -> tuple[int, str, str]:
        return (self.gpio, self.sensor_type, self.address or str(self.i2c_address or ""))


@dataclass(slots=True)
class Actuator:
    """A configured actuator. on, pwm and stopped are lost with the power, the rest is in flash."""

    gpio: int
    actuator_type: str
    name: str
    subzone_id: str = ""
    active: bool = True
    critical: bool = False
    inverted: bool = False
    default_on: bool = False
    default_pwm: int = 0
    aux_gpio: int = NO_PIN
    max_runtime_ms: int = 0
    on: bool = False
    pwm: int = 0
    stopped: bool = False
    source: str = ""


@dataclass(slots=True)
class Zone:
    """The zone as the device knows it; zone_id is "" outside of any."""

    zone_id: str = ""
    master_zone_id: str = ""
    zone_name: str = ""

    @property
    def assigned(self) -> bool:
        return bool(self.zone_id)


@dataclass(slots=True)
class Flash:
    """NVS: what a power cut leaves. Keep it and give it to the next device object, or call `power_on` again."""

    sensors: dict[tuple[int, str, str], Sensor] = field(default_factory=dict)
    actuators: dict[int, Actuator] = field(default_factory=dict)
    zone: Zone = field(default_factory=Zone)
    subzones: dict[str, list[int]] = field(default_factory=dict)
    token: str = ""
    boots: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """A message as it came. qos is that of the delivery; at is when, in seconds since 1970."""

    topic: str
    payload: str
    qos: int
    retain: bool
    at: float = field(default_factory=time.time)

    @property
    def body(self) -> dict[str, Any]:
        return dict(json.loads(self.payload))


class Refused(Exception):
    """A configuration item that the firmware refuses: (error name, text)."""

    @property
    def error(self) -> str:
        return str(self.args[0])

    @property
    def text(self) -> str:
        return str(self.args[1])


class Firmware(Protocol):
    """The part of the firmware that a generation adds to the board. Every method runs in the device's one task."""

    def will(self) -> str:
        """The payload of the will, fixed at CONNECT."""

    def connected(self) -> None:
        """The broker took the connection."""

    def hear(self, heard: Heard) -> None:
        """A message that fits into the device's buffers."""

    def tick(self, number: int) -> None:
        """The loop came round, once each interval."""

    def packet_limit(self, topic: str) -> int:
        """Largest topic + payload in bytes that the firmware takes on this topic."""


class Board:
    """A device's hardware. `power_on` boots it, `power_cut` takes its power (the broker publishes the will)."""

    def __init__(
        self,
        address: tuple[str, int],
        esp_id: str,
        kaiser_id: str,
        firmware: Callable[["Board"], Firmware],
        *,
        flash: Flash | None = None,
        interval_s: float = 0.5,
        clear_refused_s: float = 5.0,
        credentials: tuple[str, str] | None = None,
    ) -> None:
        self.esp_id = esp_id
        self.kaiser_id = kaiser_id
        self.flash = flash or Flash()
        self.interval_s = interval_s
        self.clear_refused_s = clear_refused_s
        self.heard: list[Heard] = []
        self.said: list[tuple[str, str]] = []
        self.dropped: list[str] = []
        self.notes: list[str] = []
        self.pins: list[tuple[int, bool]] = []
        """Each actuator's pin as it was set, in order: (gpio, on)."""
        self.refused_pins: set[int] = set()
        """Pins that no driver can take, such as those of the flash memory."""
        self.stopped_at: float | None = None
        self.boot_at = time.monotonic()
        self.clock_off_s = 0
        """By so much its clock is ahead of the time; negative: behind."""
        self._address = address
        self._credentials = credentials
        self._firmware = firmware(self)
        self._client: paho.Client | None = None
        self._events: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._task: threading.Thread | None = None
        self._subscribed = threading.Event()

    # Power

    def power_on(self) -> None:
        """Boot: flash is read, everything else begins new. Waits until the broker has taken its subscriptions."""
        self.flash.boots += 1
        self.boot_at = time.monotonic()
        self.stopped_at = None
        for actuator in self.flash.actuators.values():
            actuator.stopped, actuator.source = False, ""
            actuator.on, actuator.pwm = actuator.default_on, 255 if actuator.default_on else 0
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=self.esp_id, clean_session=True, protocol=paho.MQTTv311
        )
        if self._credentials:
            client.username_pw_set(*self._credentials)
        client.will_set(self.topic("system/will"), self._firmware.will(), 1, retain=True)
        client.on_connect = lambda *_: self._events.put(self._firmware.connected)
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._on_message
        client.reconnect_delay_set(1, 2)
        self._client = client
        self._subscribed.clear()
        self._events = queue.SimpleQueue()
        self._task = threading.Thread(target=self._run, args=(self._events,), daemon=True)
        self._task.start()
        client.connect(*self._address, keepalive=30)
        client.loop_start()
        assert self._subscribed.wait(_WAIT_S), f"{self.esp_id} is not connected"

    def share(self, client: paho.Client) -> None:
        """Boot on a connection that carries many boards and stays open; `take` then hands over what came on it. Neither
        the will nor the loop comes by that."""
        self.flash.boots += 1
        self.boot_at = time.monotonic()
        self.stopped_at = None
        for actuator in self.flash.actuators.values():
            actuator.stopped, actuator.on = False, actuator.default_on
        self._client = client

    def power_cut(self) -> None:
        """The socket goes without a DISCONNECT; what was not in flash is lost."""
        client, self._client = self._client, None
        if client is None:
            return
        self._end_task()
        socket: Any = client.socket()
        if socket is not None:
            with contextlib.suppress(OSError):
                socket.shutdown(2)
        leave(client)

    def leave(self) -> None:
        """End it with DISCONNECT: no will."""
        client, self._client = self._client, None
        if client is None:
            return
        self._end_task()
        leave(client)

    def _end_task(self) -> None:
        self._events.put(None)
        if self._task and self._task is not threading.current_thread():
            self._task.join(10)

    def _run(self, events: "queue.SimpleQueue[Callable[[], None] | None]") -> None:
        ticks, due = 0, time.monotonic() + self.interval_s
        while True:
            try:
                event = events.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                ticks, due = ticks + 1, time.monotonic() + self.interval_s
                self._firmware.tick(ticks)
                continue
            if event is None:
                return
            event()

    # MQTT

    def topic(self, tail: str) -> str:
        return f"kaiser/{self.kaiser_id}/esp/{self.esp_id}/{tail}"

    def publish(self, topic: str, payload: str, qos: int, retain: bool = False) -> None:
        client = self._client
        if client is not None:
            self.said.append((topic, payload))
            client.publish(topic, payload, qos, retain)

    def subscribe(self, *filters: tuple[str, int]) -> None:
        if self._client is not None:
            self._client.subscribe(list(filters))

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        heard = self._received(message)
        if heard is not None:
            self._events.put(lambda: self._hear(heard))

    def take(self, message: paho.MQTTMessage) -> None:
        """Take a message of a shared connection, immediately and in the caller's thread."""
        heard = self._received(message)
        if heard is not None:
            self._hear(heard)

    def _received(self, message: paho.MQTTMessage) -> Heard | None:
        size = len(message.topic.encode()) + len(message.payload)
        if size > self._firmware.packet_limit(message.topic):
            self.dropped.append(message.topic)
            self.note(f"dropped {size} bytes on {message.topic}")
            return None
        heard = Heard(message.topic, message.payload.decode(errors="replace"), message.qos, message.retain)
        self.heard.append(heard)
        return heard

    def _hear(self, heard: Heard) -> None:
        try:
            json.loads(heard.payload)
        except ValueError:
            self.note(f"no JSON on {heard.topic}")
            return
        self._firmware.hear(heard)

    # Clock and log

    def unix(self) -> int:
        return int(time.time()) + self.clock_off_s

    def millis(self) -> int:
        return int((time.monotonic() - self.boot_at) * 1000)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def heard_on(self, tail: str) -> list[dict[str, Any]]:
        """The bodies heard on a topic of this device, or on a whole topic that begins with `kaiser/`."""
        topic = tail if tail.startswith("kaiser/") else self.topic(tail)
        return [heard.body for heard in list(self.heard) if heard.topic == topic]

    def said_on(self, tail: str) -> list[dict[str, Any]]:
        """The bodies said on a topic of this device."""
        return [dict(json.loads(payload)) for topic, payload in list(self.said) if topic == self.topic(tail)]

    # Pins

    def set_pin(self, actuator: Actuator, on: bool, pwm: int | None = None) -> None:
        self.pins.append((actuator.gpio, on))
        actuator.on, actuator.pwm = on, (255 if on else 0) if pwm is None else pwm

    def carry_out(self, actuator: Actuator, command: str, value: float) -> bool:
        """Whether the command was one; nothing moves under a stop."""
        if actuator.stopped:
            return False
        match command.upper():
            case "ON":
                self.set_pin(actuator, True)
            case "OFF":
                self.set_pin(actuator, False)
            case "TOGGLE":
                self.set_pin(actuator, not actuator.on)
            case "PWM":
                self.set_pin(actuator, value > 0, int(value * 255))
            case _:
                return False
        return True

    def keep(self, sensor: Sensor) -> None:
        """Configure a sensor; the probe at its place goes on reading what it read."""
        known = self.flash.sensors.get(sensor.key)
        sensor.raw = known.raw if known else sensor.raw
        self.flash.sensors[sensor.key] = sensor

    def stop(self, reason: str) -> None:
        """Every actuator off and locked until a clear or the next boot."""
        self.note(f"STOP: {reason}")
        self.stopped_at = time.monotonic()
        for actuator in self.flash.actuators.values():
            self.set_pin(actuator, False)
            actuator.stopped = True

    def stopped_for(self) -> float:
        """Seconds since the stop in force began; infinite without one."""
        return float("inf") if self.stopped_at is None else time.monotonic() - self.stopped_at

    def clear(self) -> bool:
        """End the stop; refused for some seconds after it began, while the firmware verifies that it is safe."""
        if self.stopped_for() < self.clear_refused_s:
            return False
        self.stopped_at = None
        for actuator in self.flash.actuators.values():
            actuator.stopped = False
        return True

    def to_default(self, reason: str) -> None:
        """Every actuator into its default state."""
        self.note(f"DEFAULT: {reason}")
        for actuator in self.flash.actuators.values():
            if not actuator.stopped:
                self.set_pin(actuator, actuator.default_on)


def as_string(body: dict[str, Any], key: str) -> str:
    """ArduinoJson's `as<String>()`: text as it is, anything else serialised; null and missing are the text "null"."""
    value = body.get(key)
    return value if isinstance(value, str) else json.dumps(value)


def compact(body: dict[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def to_actuator(item: dict[str, Any]) -> Actuator:
    """The actuator of a configuration item. Both generations read it alike."""
    if "gpio" not in item:
        raise Refused("MISSING_FIELD", "Actuator config missing required field 'gpio'")
    for name, old in (("actuator_type", "type"), ("actuator_name", "name")):
        if name not in item and old not in item:
            raise Refused("MISSING_FIELD", f"Actuator config missing required field '{name}'")
        if not isinstance(item.get(name, item.get(old)), str):
            raise Refused("TYPE_MISMATCH", f"Actuator field '{name}' must be a string")
    subzone = item.get("subzone_id")
    default = item.get("default_state") is True
    return Actuator(
        gpio=item["gpio"],
        actuator_type=str(item.get("actuator_type", item.get("type"))),
        name=str(item.get("actuator_name", item.get("name"))),
        subzone_id=subzone if isinstance(subzone, str) else "",
        active=item.get("active", True),
        critical=item.get("critical", False),
        inverted=item.get("inverted_logic", item.get("inverted", False)),
        default_on=default,
        default_pwm=item.get("default_pwm", 0),
        aux_gpio=item.get("aux_gpio", NO_PIN),
        max_runtime_ms=item.get("max_runtime_ms", 0),
        on=default,
        pwm=255 if default else 0,
    )


def to_sensor(item: dict[str, Any]) -> Sensor:
    """The sensor of a configuration item; what is generation B's alone is checked there."""
    for name in ("gpio", "sensor_type", "sensor_name"):
        if name not in item:
            raise Refused("MISSING_FIELD", f"Missing required field '{name}'")
    if not isinstance(item["sensor_name"], str):
        raise Refused("TYPE_MISMATCH", "Field 'sensor_name' must be a string")
    subzone, i2c = item.get("subzone_id"), item.get("i2c_address")
    return Sensor(
        gpio=item["gpio"],
        sensor_type=item["sensor_type"].lower(),
        address=item.get("onewire_address") or "",
        i2c_address=i2c if isinstance(i2c, int) else 0,
        subzone_id=subzone if isinstance(subzone, str) else "",
        name=item["sensor_name"],
        active=item.get("active", True),
        raw_mode=item.get("raw_mode", True),
        operating_mode=item.get("operating_mode", "continuous"),
        interval_s=item.get("measurement_interval_seconds", 30),
    )


def until(condition: Callable[[], object], what: str, within_s: float = _WAIT_S) -> None:
    """Wait for a condition; AssertionError naming `what` when the time is over."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.02)
