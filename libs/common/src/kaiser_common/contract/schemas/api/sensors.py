"""Sensors in the API: configurations, readings, newest readings, completeness of a day, measurements on request."""

from datetime import date
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from kaiser_common.contract.bounds import Pin
from kaiser_common.contract.schemas import FROZEN
from kaiser_common.contract.schemas.api.devices import EspId
from kaiser_common.contract.schemas.api.times import Milliseconds
from kaiser_common.contract.schemas.sensor import SensorState, normal_address

SENSOR_TYPE = r"^[A-Za-z0-9_-]{1,64}$"
"""The characters that a key of a KV bucket may contain."""

STRICT = ConfigDict(frozen=True, extra="forbid")
"""For what people write: a misspelt field is refused. Stored data is read with `extra="ignore"`."""


def _address(text: str) -> str:
    found = normal_address(text)
    if found is None:
        raise ValueError("an address is 16 hex digits (one-wire), or 0 to 127 or 0x00 to 0x7f (I2C)")
    return found


Address = Annotated[str, Field(max_length=16, examples=["28FF641E8D3C0C79"]), AfterValidator(_address)]
"""A sensor's address, normalised; "" for a sensor that has none."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class CalibrationModel(BaseModel):
    """How a sensor differs from its data sheet: two points of (raw, value), then scale and offset."""

    model_config = STRICT

    offset: float = Field(default=0.0, allow_inf_nan=False)
    scale: float = Field(default=1.0, allow_inf_nan=False)
    points: list[tuple[Finite, Finite]] = Field(default=[], max_length=2)
    parameters: dict[Annotated[str, Field(max_length=64)], Finite] = Field(default={}, max_length=20)

    @model_validator(mode="after")
    def _two_points_or_none(self) -> "CalibrationModel":
        if len(self.points) == 1 or (len(self.points) == 2 and self.points[0][0] == self.points[1][0]):
            raise ValueError("a two-point calibration needs two points of different raw values")
        return self


class ThresholdsModel(BaseModel):
    """The alarm limits of a sensor by other names: critical_high is hi_hi, warning_high hi, warning_low lo and
    critical_low lo_lo. Those that are given must rise in this order. The service alarm keeps them."""

    model_config = STRICT

    critical_low: float | None = Field(default=None, allow_inf_nan=False)
    warning_low: float | None = Field(default=None, allow_inf_nan=False)
    warning_high: float | None = Field(default=None, allow_inf_nan=False)
    critical_high: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _rising(self) -> "ThresholdsModel":
        given = [
            value
            for value in (self.critical_low, self.warning_low, self.warning_high, self.critical_high)
            if value is not None
        ]
        if any(low >= high for low, high in pairwise(given)):
            raise ValueError("thresholds must rise: critical_low < warning_low < warning_high < critical_high")
        return self


class SensorSettingsModel(BaseModel):
    """The settings of a sensor. interval_s: expected time between two readings; after three without a reading it is
    stale. operating_mode: when the device measures, in its firmware's words. thresholds: the sensor's alarm limits;
    null when they are set leaves them as they are, and when they are read means that the service alarm did not answer.
    """

    model_config = {
        **STRICT,
        "json_schema_extra": {
            "examples": [
                {
                    "name": "Tank 1",
                    "interval_s": 30,
                    "calibration": {"points": [[2048, 7.0], [1200, 4.0]]},
                    "thresholds": {"warning_low": 5.5, "warning_high": 6.5},
                }
            ]
        },
    }

    name: str | None = Field(default=None, max_length=100)
    subzone_id: str | None = Field(default=None, max_length=64)
    active: bool = True
    raw_mode: bool = True
    operating_mode: str = Field(default="continuous", pattern=r"^[a-z_]{1,32}$")
    interval_s: int = Field(default=30, ge=1, le=86_400)
    temperature_c: float | None = Field(default=None, ge=-55, le=125, description="of the medium, for compensation")
    calibration: CalibrationModel = CalibrationModel()
    thresholds: ThresholdsModel | None = None
    publish_processed: bool = Field(default=False, description="send the processed value back to the device")


class SensorConfig(SensorSettingsModel):
    """A configured sensor. Without an address it counts for each sensor of its type at the gpio that has none of its
    own."""

    model_config = {
        **STRICT,
        "json_schema_extra": {
            "examples": [
                {
                    "esp_id": "ESP_0A1B2C3D",
                    "gpio": 34,
                    "sensor_type": "ph",
                    "name": "Tank 1",
                    "interval_s": 30,
                    "calibration": {"points": [[2048, 7.0], [1200, 4.0]]},
                }
            ]
        },
    }

    esp_id: EspId
    gpio: Pin
    sensor_type: str = Field(pattern=SENSOR_TYPE)
    address: Address = ""


class SensorPatch(SensorSettingsModel):
    """Settings of a sensor to change; one that is left out stays as it is. It is written with what was given alone."""

    model_config = {**STRICT, "json_schema_extra": {"examples": [{"name": "Tank 1"}]}}

    @model_serializer(mode="wrap")
    def _what_was_given(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if name in self.model_fields_set}


class SensorKey(BaseModel):
    """Which sensor."""

    model_config = FROZEN

    esp_id: str
    gpio: Pin
    sensor_type: str
    address: Address = ""


class PatchSensor(SensorKey):
    """A sensor, and which of its settings to change."""

    patch: SensorPatch


class ConfigsQuery(BaseModel):
    """Configured sensors, of one device or of all; `cursor` from the page before."""

    model_config = FROZEN

    esp_id: str | None = None
    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=300)


class ConfigsPage(BaseModel):
    """Configured sensors in the order of their keys."""

    model_config = FROZEN

    items: list[SensorConfig]
    next_cursor: str | None = None


class ReadingItem(BaseModel):
    """A stored reading. ts in ms; address "" for none.

    Of the newest ones also received_at (ms), device_ts, the device's own time where it was not believed, and whether
    the value is known now: state, known_until (ms until which it was known, None while it is), and interval_s, the
    usual time between two readings: the configured one, else the median of the last 50; zone_id: of its device;
    watched: whether its silence is reported, which is not so for a sensor that is configured as inactive, nor for one
    whose device is not registered.
    """

    model_config = FROZEN

    ts: int
    esp_id: str
    gpio: int
    sensor_type: str
    address: str = ""
    raw: float | None = None
    raw_value: float | None = None
    value: float | None = None
    unit: str | None = None
    quality: str
    data_source: str
    received_at: int | None = None
    device_ts: int | None = None
    state: SensorState | None = None
    known_until: int | None = None
    interval_s: float | None = None
    zone_id: str | None = None
    watched: bool | None = None


class OverviewSensor(BaseModel):
    """A sensor on the overview, with its newest reading as ReadingItem has it.

    name: the configured one. lows, highs, means: of the 24 hours from `hours_from` on, one figure an hour, None for an
    hour in which nothing came.
    """

    model_config = FROZEN

    esp_id: str
    gpio: int
    sensor_type: str
    address: str = ""
    name: str | None = None
    ts: int
    received_at: int | None = None
    raw: float | None = None
    value: float | None = None
    unit: str | None = None
    quality: str
    state: SensorState
    known_until: int | None = None
    interval_s: float
    watched: bool = True
    lows: list[float | None] = []
    highs: list[float | None] = []
    means: list[float | None] = []


class SensorsOverview(BaseModel):
    """Every sensor, up to 5,000, in the order of their keys. hours_from: the start (ms) of the first hour.

    total: how many sensors there are.
    """

    model_config = FROZEN

    items: list[OverviewSensor]
    hours_from: int
    total: int


SensorsShown = Literal["known", "silent", "offline", "bad"]
"""Sensors by whether their value is known now; bad: it is, and of quality bad or error."""


class LatestQuery(BaseModel):
    """The newest reading of each sensor, of one device or of all, of a type, a zone, or in a state; `cursor` from the
    page before. With a zone or a state a page may have fewer items than the limit, or none, and a cursor still."""

    model_config = FROZEN

    esp_id: str | None = None
    address: Address | None = None
    sensor_type: str | None = Field(default=None, max_length=64, pattern=r"^[^\x00]*$")
    zone_id: str | None = Field(default=None, max_length=64, pattern=r"^[^\x00]*$")
    state: SensorsShown | None = None
    limit: int = Field(default=10_000, ge=1, le=10_000)
    cursor: str | None = Field(default=None, max_length=300)


class ReadingsPage(BaseModel):
    """Readings, and where the next page begins."""

    model_config = FROZEN

    items: list[ReadingItem]
    next_cursor: str | None = None


class ReadingsQuery(BaseModel):
    """Readings of a device in [from_ms, to_ms), oldest first; from a day ago until now by default."""

    model_config = FROZEN

    esp_id: str
    gpio: Pin | None = None
    sensor_type: str | None = None
    address: Address | None = None
    from_ms: Milliseconds | None = None
    to_ms: Milliseconds | None = None
    limit: int = Field(default=1000, ge=1, le=10_000)
    cursor: str | None = None


class BucketsQuery(BaseModel):
    """One sensor's readings in buckets of bucket_s seconds over [from_ms, to_ms), widened to whole buckets."""

    model_config = FROZEN

    esp_id: str
    gpio: Pin
    sensor_type: str | None = None
    address: Address | None = None
    from_ms: Milliseconds | None = None
    to_ms: Milliseconds | None = None
    bucket_s: int = Field(ge=1, le=31_536_000)


class TimeBucket(BaseModel):
    """A bucket; count 0 and no figures where nothing came. ts in ms, its start."""

    model_config = FROZEN

    ts: int
    count: int
    min: float | None = None
    max: float | None = None
    avg: float | None = None
    last: float | None = None


class BucketsPage(BaseModel):
    """Buckets of one sensor, gaps included."""

    model_config = FROZEN

    items: list[TimeBucket]
    next_cursor: str | None = None


class CompletenessQuery(BaseModel):
    """How much of what a device's sensors should have sent on a day (UTC) came; today by default."""

    model_config = FROZEN

    esp_id: str
    day: date | None = None


class Completeness(BaseModel):
    """A configured sensor's day. expected: by its interval, of today up to now; share None when it is 0."""

    model_config = FROZEN

    esp_id: str
    gpio: int
    sensor_type: str
    address: str = ""
    day: date
    expected: int
    received: int
    share: float | None


class CompletenessPage(BaseModel):
    """The configured, active sensors of a device."""

    model_config = FROZEN

    items: list[Completeness]
    next_cursor: str | None = None


class MeasureSensor(BaseModel):
    """Have a device measure now, on this pin: all sensors there. address: of the one that is meant, for the record."""

    model_config = FROZEN

    esp_id: str
    gpio: Pin
    address: Address = ""


class MeasurementId(BaseModel):
    """Which measurement."""

    model_config = FROZEN

    request_id: str


class Measurement(BaseModel):
    """A measurement asked for. Times in ms; its reading comes as any other. timeout: the device did not answer."""

    model_config = FROZEN

    request_id: str
    esp_id: str
    gpio: int
    address: str = ""
    state: Literal["pending", "done", "failed", "timeout"]
    requested_at: int
    answered_at: int | None = None
    message: str | None = None
