"""Mock devices in the API: simulated ESP32s, their sensors and actuators, their faults, what they sent."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from kaiser_common.contract.bounds import MAX_GPIO, MAX_SENSOR_TYPE, MAX_UNIT, Pin
from kaiser_common.contract.schemas import FROZEN
from kaiser_common.contract.schemas.api.actuators import ACTUATOR_TYPE
from kaiser_common.contract.schemas.api.devices import KAISER_ID, STRICT
from kaiser_common.contract.schemas.api.sensors import SENSOR_TYPE
from kaiser_common.contract.schemas.sensor import Quality

MOCK_ID = r"^MOCK_[A-Z0-9_]{1,27}$"
PATTERN = r"^[A-Z][A-Z0-9_]{0,31}$"
MOST_MOCKS_AT_ONCE = 1000
MOST_REPLAY_VALUES = 10_000
MOST_CSV_CHARACTERS = 1_000_000
"""Of one request: a message of the bus holds 4 MB."""

MockStateName = Literal["BOOT", "WIFI_CONNECTED", "MQTT_CONNECTED", "OPERATIONAL", "SAFE_MODE", "ERROR"]
"""BOOT and WIFI_CONNECTED: no MQTT yet. MQTT_CONNECTED: heartbeats and answers. OPERATIONAL: readings too.
SAFE_MODE: as OPERATIONAL, but actuators are off and refuse. ERROR: heartbeats, a system error told, actuators off."""

Firmware = Literal["a", "b"]
"""The generation of firmware that a mock behaves like: a of January 2026, b of April 2026 (docs/simulator.md)."""

Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""Any text that a table takes."""
Name = Annotated[Text, Field(max_length=100)]
SubzoneId = Annotated[Text, Field(max_length=64)]
Reason = Annotated[Text, Field(max_length=200)]
Value = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
ZoneId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class MockSensor(BaseModel):
    """A simulated sensor; (gpio, sensor_type) is its identity within the device.

    interval_s between readings. variation_pattern: CONSTANT; RANDOM, uniform in base ± range; DRIFT, steps of 10 % of
    the range from base upward, turning at min and max; SINE, base ± range over period_s; REPLAY, the values of
    replay_csv (its last column, a header is skipped) over and over; or one that an installed package adds. min and
    max bound every pattern; they default to base ± range.
    """

    model_config = {
        **FROZEN,
        "json_schema_extra": {
            "examples": [
                {
                    "gpio": 4,
                    "sensor_type": "DS18B20",
                    "base_value": 22.5,
                    "unit": "°C",
                    "interval_s": 10,
                    "variation_pattern": "SINE",
                    "variation_range": 3,
                }
            ]
        },
    }

    gpio: Pin
    sensor_type: str = Field(pattern=SENSOR_TYPE)
    name: Name | None = None
    subzone_id: SubzoneId | None = None
    base_value: Value = 20.0
    unit: Annotated[Text, Field(max_length=MAX_UNIT)] = ""
    interval_s: float = Field(default=30.0, ge=0.1, le=86_400)
    variation_pattern: str = Field(default="CONSTANT", pattern=PATTERN)
    variation_range: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = 0.0
    min_value: Value | None = None
    max_value: Value | None = None
    period_s: float = Field(default=86_400.0, ge=1, le=31_536_000)
    replay_csv: Annotated[Text, Field(max_length=200_000)] | None = None
    quality: Quality = "good"
    raw_mode: bool = True

    @field_validator("variation_pattern", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "MockSensor":
        if self.min_value is not None and self.max_value is not None and self.min_value > self.max_value:
            raise ValueError("min_value is above max_value")
        return self

    @model_validator(mode="after")
    def _has_what_it_replays(self) -> "MockSensor":
        if self.variation_pattern == "REPLAY" and not self.replay_csv:
            raise ValueError("REPLAY needs replay_csv")
        return self


class MockSensorBody(MockSensor):
    """A sensor as an operator sends it: no unknown field, and a type that ingest takes."""

    model_config = {**MockSensor.model_config, "extra": "forbid"}

    sensor_type: str = Field(pattern=SENSOR_TYPE, max_length=MAX_SENSOR_TYPE)


class MockActuator(BaseModel):
    """A simulated actuator. max_runtime_s: runtime protection switches it off after it was on for this time, 0
    never."""

    model_config = {**FROZEN, "json_schema_extra": {"examples": [{"gpio": 25, "actuator_type": "pump"}]}}

    gpio: Pin
    actuator_type: str = Field(default="relay", pattern=ACTUATOR_TYPE)
    name: Name | None = None
    subzone_id: SubzoneId | None = None
    default_state: bool = False
    max_runtime_s: int = Field(default=0, ge=0, le=604_800)


class MockActuatorBody(MockActuator):
    """An actuator as an operator sends it: no unknown field."""

    model_config = {**MockActuator.model_config, "extra": "forbid"}


class Faults(BaseModel):
    """Injected faults of a mock; all off by default. offline: as if the power was cut, the broker publishes its will.
    silent: gpios of sensors that send nothing, garbage: share of readings whose payload is broken. clock_offset_s:
    error of its clock; no_clock: it has no time (ts 0). duplicate: share of readings sent twice. late_s: delay between
    taking and sending a reading. flapping_s: it disconnects and reconnects, for this time each. slow_response_s: delay
    of its answers. refuse_commands: it answers every actuator command with success false.
    """

    model_config = {**FROZEN, "json_schema_extra": {"examples": [{"garbage": 0.1, "slow_response_s": 3}]}}

    offline: bool = False
    silent: list[Pin] = Field(default=[], max_length=MAX_GPIO + 1)
    garbage: float = Field(default=0.0, ge=0.0, le=1.0)
    clock_offset_s: float = Field(default=0.0, ge=-1e9, le=1e9, allow_inf_nan=False)
    no_clock: bool = False
    duplicate: float = Field(default=0.0, ge=0.0, le=1.0)
    late_s: float = Field(default=0.0, ge=0.0, le=3600.0)
    flapping_s: float = Field(default=0.0, ge=0.0, le=3600.0)
    slow_response_s: float = Field(default=0.0, ge=0.0, le=600.0)
    refuse_commands: bool = False


class FaultsBody(Faults):
    """Faults as an operator sends them: no unknown field."""

    model_config = {**Faults.model_config, "extra": "forbid"}


class CreateMock(BaseModel):
    """A mock device to create; an id is generated if none is given. auto_start: it boots immediately. firmware: the
    generation that it behaves like; the mock refuses the same messages as that firmware.
    """

    model_config = {
        **STRICT,
        "json_schema_extra": {
            "examples": [
                {
                    "name": "Mock greenhouse",
                    "firmware": "b",
                    "sensors": [{"gpio": 4, "sensor_type": "DS18B20", "base_value": 22.5, "unit": "°C"}],
                    "actuators": [{"gpio": 25, "actuator_type": "pump"}],
                }
            ]
        },
    }

    esp_id: str | None = Field(default=None, pattern=MOCK_ID)
    kaiser_id: str = Field(default="god", pattern=KAISER_ID)
    name: Name | None = None
    zone_id: ZoneId | None = None
    firmware: Firmware = "a"
    firmware_version: Annotated[Text, Field(max_length=32)] = "mock-1.0"
    heartbeat_interval_s: float = Field(default=60.0, ge=1, le=3600)
    sensors: list[MockSensorBody] = Field(default=[], max_length=64)
    actuators: list[MockActuatorBody] = Field(default=[], max_length=49)
    faults: FaultsBody = FaultsBody()
    auto_start: bool = True

    @model_validator(mode="after")
    def _each_once(self) -> "CreateMock":
        sensors = {(sensor.gpio, sensor.sensor_type) for sensor in self.sensors}
        if len(sensors) < len(self.sensors):
            raise ValueError("two sensors with the same gpio and sensor_type")
        if len({actuator.gpio for actuator in self.actuators}) < len(self.actuators):
            raise ValueError("two actuators with the same gpio")
        if csv_characters(self) > MOST_CSV_CHARACTERS:
            raise ValueError(f"more than {MOST_CSV_CHARACTERS} characters of CSV in all")
        return self


def csv_characters(mock: CreateMock) -> int:
    """How long the CSVs of a mock are together."""
    return sum(len(sensor.replay_csv or "") for sensor in mock.sensors)


class CreateMocks(BaseModel):
    """Many mock devices, all or none; one whose id is taken already refuses all, unless skip_existing."""

    model_config = {
        **STRICT,
        "json_schema_extra": {"examples": [{"devices": [{"esp_id": "MOCK_001"}], "skip_existing": True}]},
    }

    devices: list[CreateMock] = Field(min_length=1, max_length=MOST_MOCKS_AT_ONCE)
    skip_existing: bool = False

    @model_validator(mode="after")
    def _csvs_fit(self) -> "CreateMocks":
        if sum(map(csv_characters, self.devices)) > MOST_CSV_CHARACTERS:
            raise ValueError(f"more than {MOST_CSV_CHARACTERS} characters of CSV in all")
        return self


class MockSensorView(MockSensor):
    """A sensor with what it last measured; `override` is the value that an operator set, until it is removed. A list
    of mocks leaves out the CSVs."""

    override: float | None = None
    last_value: float | None = None
    last_ts: int | None = None

    @model_validator(mode="after")
    def _has_what_it_replays(self) -> "MockSensorView":
        return self


class MockActuatorView(MockActuator):
    """An actuator as the device has it. on_since and off_at (auto-off) in ms; runtime_ms: how long on since then."""

    state: bool = False
    value: float = 0.0
    on_since: int | None = None
    off_at: int | None = None
    runtime_ms: int = 0
    emergency: Literal["normal", "active"] = "normal"
    last_command: str | None = None
    error: str | None = None


class Mock(BaseModel):
    """A mock device. connected: it has MQTT now. registered: health knows it; until then it waits in BOOT.

    acknowledged: a heartbeat was acknowledged since it connected; until then firmware b says little else.
    """

    model_config = FROZEN

    esp_id: str
    kaiser_id: str
    name: str | None = None
    zone_id: str | None = None
    hardware_type: str = "MOCK_ESP32"
    firmware: Firmware = "a"
    firmware_version: str
    heartbeat_interval_s: float
    running: bool
    registered: bool
    state: MockStateName
    connected: bool
    acknowledged: bool = True
    emergency: Literal["normal", "active"] = "normal"
    uptime_s: int = 0
    last_heartbeat: int | None = None
    messages_sent: int = 0
    faults: Faults = Faults()
    sensors: list[MockSensorView] = []
    actuators: list[MockActuatorView] = []


class MockId(BaseModel):
    """Which mock."""

    model_config = FROZEN

    esp_id: str = Field(pattern=MOCK_ID)


class MocksQuery(BaseModel):
    """Mocks by id; `cursor` from the page before."""

    model_config = FROZEN

    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=64)


class MocksPage(BaseModel):
    """Mocks in the order of their ids."""

    model_config = FROZEN

    items: list[Mock]
    next_cursor: str | None = None


class MocksCreated(BaseModel):
    """The ids of the mocks that were created."""

    model_config = FROZEN

    esp_ids: list[str]


class StateRequest(BaseModel):
    """The state to put a running mock in. SAFE_MODE and ERROR switch its actuators off."""

    model_config = {**STRICT, "json_schema_extra": {"examples": [{"state": "SAFE_MODE", "reason": "trying it out"}]}}

    state: MockStateName
    reason: Reason | None = None


class SetState(MockId):
    """A state and the mock it is for."""

    request: StateRequest


class AddSensor(MockId):
    """A sensor to add to a mock, or to put in the place of the one with the same gpio and sensor_type."""

    sensor: MockSensor


class AddActuator(MockId):
    """An actuator to add to a mock, or to put in the place of the one with the same gpio."""

    actuator: MockActuator


class MockPin(MockId):
    """A sensor or actuator of a mock at a gpio; sensor_type selects one of several sensors there."""

    gpio: Pin
    sensor_type: str | None = Field(default=None, pattern=SENSOR_TYPE)


class ValueRequest(BaseModel):
    """The value that a sensor measures until the override is removed. publish: send a reading immediately."""

    model_config = {**STRICT, "json_schema_extra": {"examples": [{"value": 35.5}]}}

    value: Value
    quality: Quality | None = None
    publish: bool = True


class SensorValue(ValueRequest):
    """An override and the sensor it is for."""

    gpio: Pin
    sensor_type: str | None = Field(default=None, pattern=SENSOR_TYPE)


class ValuesRequest(BaseModel):
    """Overrides of several sensors of a mock, all or none."""

    model_config = {**STRICT, "json_schema_extra": {"examples": [{"values": [{"gpio": 4, "value": 35.5}]}]}}

    values: list[SensorValue] = Field(min_length=1, max_length=64)


class SetValues(MockId):
    """Overrides and the mock they are for."""

    request: ValuesRequest


class SetFaults(MockId):
    """Faults that take the place of those in force."""

    faults: Faults


class MockEmergency(BaseModel):
    """The red button at the device: stop everything, or release it."""

    model_config = {**STRICT, "json_schema_extra": {"examples": [{"action": "stop_all"}]}}

    action: Literal["stop_all", "clear"] = "stop_all"
    reason: Reason = "emergency button of the mock"


class SetEmergency(MockId):
    """An emergency and the mock it is for."""

    request: MockEmergency


class MockActuators(BaseModel):
    """The actuators of a mock."""

    model_config = FROZEN

    items: list[MockActuatorView]
    next_cursor: str | None = None


class MockMessagesQuery(MockId):
    """The last messages that a mock sent or received, newest first."""

    limit: int = Field(default=50, ge=1, le=50)


class MockMessage(BaseModel):
    """A message of a mock. at in ms; direction as the device sees it."""

    model_config = FROZEN

    at: int
    direction: Literal["sent", "heard"]
    topic: str
    payload: str


class MockMessages(BaseModel):
    """Messages of a mock, newest first; kept in memory, so empty after a restart of the simulator."""

    model_config = FROZEN

    items: list[MockMessage]
    next_cursor: str | None = None
