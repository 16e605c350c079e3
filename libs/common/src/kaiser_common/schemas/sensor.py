"""Messages about sensors: readings, answers to sensor commands, and the commands themselves."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from kaiser_common.schemas import FROZEN, DeviceMessage

Quality = Literal["excellent", "good", "fair", "poor", "bad", "stale", "error", "unknown"]


class Reading(DeviceMessage):
    """One reading of one sensor; (esp_id, gpio, sensor_type, ts) is its identity.

    raw is the ADC count or what the device sent as `raw`, raw_value the physical raw value, value what the device
    computed itself (all that a reading of a batch may have).
    """

    gpio: int
    sensor_type: str
    raw: int | float | None = None
    raw_value: float | None = None
    raw_mode: bool
    value: float | None = None
    unit: str | None = None
    quality: Quality = "unknown"
    sensor_name: str | None = None
    subzone_id: str | None = None
    i2c_address: int | None = None
    onewire_address: str | None = None
    meta: dict[str, Any] | None = None


class SensorResponse(DeviceMessage):
    """A device's answer to a sensor command."""

    gpio: int
    request_id: str
    command: str
    success: bool
    message: str | None = None


class SensorCommand(BaseModel):
    """Payload to a device: measure now."""

    model_config = FROZEN

    command: Literal["measure"] = "measure"
    request_id: str


class Processed(BaseModel):
    """Payload to a device that displays the processed value of its sensor. ts in ms."""

    model_config = FROZEN

    value: float
    unit: str = Field(max_length=16)
    quality: Quality
    ts: int
