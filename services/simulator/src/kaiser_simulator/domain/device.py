"""A mock device as data: the operator's settings, its state since, and what follows from both; pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from kaiser_common.contract.schemas import FROZEN
from kaiser_common.contract.schemas.api.mock import Faults, Firmware, MockActuator, MockSensor, MockStateName
from kaiser_common.contract.schemas.api.times import BEFORE_2100_MS
from kaiser_common.contract.schemas.sensor import Quality
from pydantic import BaseModel

BOOTING: dict[MockStateName, MockStateName] = {
    "BOOT": "WIFI_CONNECTED",
    "WIFI_CONNECTED": "MQTT_CONNECTED",
    "MQTT_CONNECTED": "OPERATIONAL",
}
"""The next state of each state of a start."""
BOOT_STEP_MS = 300
MOST_ANSWERS = 8
SPREAD_MS = 5000
"""Sensors of equal interval begin within this time, each at its own moment."""

NEVER_MS = BEFORE_2100_MS
"""The anchor of a sensor that stands still."""


class Setup(BaseModel):
    """The operator's settings."""

    model_config = FROZEN

    esp_id: str
    kaiser_id: str
    name: str | None = None
    firmware: Firmware = "a"
    firmware_version: str
    heartbeat_interval_s: float
    sensors: list[MockSensor] = []
    actuators: list[MockActuator] = []


class SensorLife(BaseModel):
    """A sensor's position: step `first_step` is due at `anchor_ms`, each further one an interval later.

    override stands in for the pattern.
    """

    model_config = FROZEN

    anchor_ms: int = NEVER_MS
    first_step: int = 0
    active: bool = True
    override: float | None = None
    override_quality: Quality | None = None


class ActuatorLife(BaseModel):
    """An actuator's state. off_at: its auto-off, ms. runtime_ms: of the last time it was on, once it is off."""

    model_config = FROZEN

    state: bool = False
    value: float = 0.0
    on_since: int | None = None
    off_at: int | None = None
    runtime_ms: int = 0
    emergency: bool = False
    last_command: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Publication:
    """A message on its way to MQTT. transient: a reading or heartbeat, left out when the way is blocked."""

    topic: str
    payload: str
    retain: bool = False
    transient: bool = False
    qos: Literal[0, 1] = 1


class Answer(BaseModel):
    """The answer to a message, kept in case it is delivered again."""

    model_config = FROZEN

    key: str
    publications: list[Publication]


class Life(BaseModel):
    """The state of a mock. Times in ms; a restart of the simulator continues from here.

    stopped_at: when the stop in force began. token: the configured one, "" for its esp_id. Firmware b only: acked opens
    the registration gate, pending refuses commands, isolated once acknowledgements were missing for too long.
    """

    model_config = FROZEN

    running: bool = False
    registered: bool = False
    state: MockStateName = "BOOT"
    state_at: int = 0
    booted_at: int = 0
    link_up: bool = True
    link_at: int = 0
    zone_id: str | None = None
    master_zone_id: str | None = None
    config_id: str | None = None
    emergency: bool = False
    stopped_at: int | None = None
    token: str = ""
    boots: int = 0
    acked: bool = False
    acked_at: int = 0
    refused_acks: int = 0
    pending: bool = True
    isolated: bool = False
    active_epoch: int = 0
    subzones: dict[str, list[int]] = {}
    faults: Faults = Faults()
    sensors: dict[str, SensorLife] = {}
    actuators: dict[int, ActuatorLife] = {}
    answers: list[Answer] = []


class MockDevice(BaseModel):
    """A mock device."""

    model_config = FROZEN

    setup: Setup
    life: Life

    @property
    def esp_id(self) -> str:
        return self.setup.esp_id

    def lived(self, **changes: object) -> "MockDevice":
        """The device after something happened to it."""
        return MockDevice.model_construct(setup=self.setup, life=self.life.model_copy(update=changes))

    def set_up(self, **changes: object) -> "MockDevice":
        """The device with another setup."""
        return MockDevice.model_construct(setup=self.setup.model_copy(update=changes), life=self.life)

    def sensor_life(self, sensor: MockSensor) -> SensorLife:
        return self.life.sensors.get(sensor_key(sensor.gpio, sensor.sensor_type), _NEW_SENSOR)

    def actuator_life(self, gpio: int) -> ActuatorLife:
        return self.life.actuators.get(gpio, _NEW_ACTUATOR)

    def actuator(self, gpio: int) -> MockActuator | None:
        """The actuator at a gpio, None if there is none."""
        return next((actuator for actuator in self.setup.actuators if actuator.gpio == gpio), None)

    def sensors_at(self, gpio: int, sensor_type: str | None = None) -> list[MockSensor]:
        """The sensors at a gpio, of one type or of all."""
        return [
            sensor
            for sensor in self.setup.sensors
            if sensor.gpio == gpio and (sensor_type is None or sensor.sensor_type == sensor_type)
        ]

    def with_sensor_life(self, sensor: MockSensor, **changes: object) -> "MockDevice":
        """The device after something happened to one sensor."""
        life = self.sensor_life(sensor).model_copy(update=changes)
        return self.lived(sensors={**self.life.sensors, sensor_key(sensor.gpio, sensor.sensor_type): life})

    def with_actuator_life(self, gpio: int, life: ActuatorLife) -> "MockDevice":
        """The device after something happened to one actuator."""
        return self.lived(actuators={**self.life.actuators, gpio: life})


_NEW_SENSOR = SensorLife()
_NEW_ACTUATOR = ActuatorLife()


def sensor_key(gpio: int, sensor_type: str) -> str:
    """A sensor's name within its device."""
    return f"{gpio}/{sensor_type}"


def has_booted(device: MockDevice) -> bool:
    """Whether it runs, is known to health, and has come as far as MQTT."""
    life = device.life
    return life.running and life.registered and life.state not in ("BOOT", "WIFI_CONNECTED")


def is_connected(device: MockDevice) -> bool:
    """Whether the device is connected to MQTT: it can send and receive."""
    return has_booted(device) and device.life.link_up and not device.life.faults.offline


def measures(device: MockDevice) -> bool:
    """Whether it takes and sends readings."""
    return is_connected(device) and device.life.state in ("OPERATIONAL", "SAFE_MODE")


def step_at(life: SensorLife, interval_s: float, now_ms: int) -> int:
    """The last step that was due; before the first one it is the first one."""
    return life.first_step + max(0, (now_ms - life.anchor_ms) // interval_ms(interval_s))


def next_due(life: SensorLife, interval_s: float, now_ms: int) -> int:
    """When the next step is due after `now_ms`."""
    if now_ms < life.anchor_ms:
        return life.anchor_ms
    interval = interval_ms(interval_s)
    return life.anchor_ms + ((now_ms - life.anchor_ms) // interval + 1) * interval


def interval_ms(interval_s: float) -> int:
    """An interval in whole ms."""
    return max(1, round(interval_s * 1000))


def seed_of(esp_id: str, gpio: int, sensor_type: str) -> int:
    """A number that is this sensor's own."""
    return int.from_bytes(blake2b(f"{esp_id}/{gpio}/{sensor_type}".encode(), digest_size=8).digest())


def anchored(device: MockDevice, sensors: list[MockSensor], now_ms: int) -> MockDevice:
    """The device with these sensors' next steps laid out from now on, each at a moment of its own."""
    lives = dict(device.life.sensors)
    for sensor in sensors:
        life = device.sensor_life(sensor)
        spread = min(interval_ms(sensor.interval_s), SPREAD_MS)
        phase = seed_of(device.esp_id, sensor.gpio, sensor.sensor_type) % spread
        lives[sensor_key(sensor.gpio, sensor.sensor_type)] = life.model_copy(update={"anchor_ms": now_ms + phase})
    return device.lived(sensors=lives)


def paused(device: MockDevice, sensors: list[MockSensor], now_ms: int) -> MockDevice:
    """The device with these sensors' positions kept: what is anchored next goes on with the step after."""
    lives = dict(device.life.sensors)
    for sensor in sensors:
        life = device.sensor_life(sensor)
        if life.anchor_ms <= now_ms:
            following = step_at(life, sensor.interval_s, now_ms) + 1
            held = life.model_copy(update={"first_step": following, "anchor_ms": NEVER_MS})
            lives[sensor_key(sensor.gpio, sensor.sensor_type)] = held
    return device.lived(sensors=lives)


def actuators(device: MockDevice) -> Iterator[tuple[MockActuator, ActuatorLife]]:
    """Each actuator with its state."""
    for actuator in device.setup.actuators:
        yield actuator, device.actuator_life(actuator.gpio)
