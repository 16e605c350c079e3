"""Messages about sensors: readings, answers to sensor commands, and the commands themselves."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from kaiser_common.contract.bounds import (
    MAX_I2C_ADDRESS,
    Address,
    CorrelationId,
    CutWord,
    I2cAddress,
    Message,
    Name,
    Pin,
    SensorType,
    SequenceNumber,
    Unit,
    Word,
)
from kaiser_common.contract.schemas import FROZEN, DeviceMessage

Quality = Literal["excellent", "good", "fair", "poor", "bad", "stale", "suspect", "error", "unknown"]

SensorState = Literal["known", "silent", "offline"]
"""Whether a sensor's newest value is known now: `silent` after three intervals without a reading, `offline` with its
device."""

MISSED = 3
"""Intervals without a reading after which a sensor is silent."""

_ROM_CODE = re.compile(r"[0-9A-F]{16}\Z")


def normal_address(text: str) -> str | None:
    """A sensor's address in its one form: a one-wire ROM code as 16 upper-case hex digits, an I2C address in decimal.

    "" stays "" (the sensor has none); None where the text is not an address.
    """
    upper = text.strip().upper()
    if not upper or _ROM_CODE.match(upper):
        return upper
    try:
        number = int(upper, 16 if upper.startswith("0X") else 10)
    except ValueError:
        return None
    return str(number) if upper.isascii() and 0 <= number <= MAX_I2C_ADDRESS else None


class Reading(DeviceMessage):
    """One reading of one sensor; (esp_id, gpio, sensor_type, address, ts) is its identity.

    address: one-wire ROM code (16 hex digits) or I2C address (decimal), "" for a sensor that has none. raw is the ADC
    count or what the device sent as `raw`, raw_value the physical raw value, value what the device computed itself (all
    that a reading of a batch may have). seq: the device's own count of its messages. delivery: of a reading with the
    server's clock, the id of its MQTT delivery. Its figures have no bound here, so that what an older ingest stored
    stays readable: sensor marks those beyond MAX_NUMBER as errors.
    """

    gpio: Pin
    sensor_type: SensorType
    address: Address = ""
    raw: int | float | None = None
    raw_value: float | None = None
    raw_mode: bool
    value: float | None = None
    unit: Unit | None = None
    quality: Quality = "unknown"
    sensor_name: Name | None = None
    zone_id: Name | None = None
    subzone_id: Name | None = None
    i2c_address: I2cAddress | None = None
    onewire_address: CutWord | None = None
    meta: dict[str, Any] | None = None
    seq: SequenceNumber | None = None
    delivery: CorrelationId | None = None


class SensorResponse(DeviceMessage):
    """A device's answer to a sensor command."""

    gpio: Pin
    request_id: CorrelationId
    command: Word
    success: bool
    message: Message | None = None


class SensorCommand(BaseModel):
    """Payload to a device: measure now. timeout_ms: how long its answer is awaited."""

    model_config = FROZEN

    command: Literal["measure"] = "measure"
    request_id: str
    timeout_ms: int = Field(ge=1)


class Processed(BaseModel):
    """Payload to a device that displays the processed value of its sensor. ts in ms."""

    model_config = FROZEN

    value: float
    unit: str = Field(max_length=16)
    quality: Quality
    ts: int


SENSOR_ALIASES: Mapping[str, tuple[str, ...]] = {
    "bh1750_light": ("light_bh1750", "light"),
    "bme280_pressure": ("pressure_bme280", "pressure"),
    "ds18b20": ("temperature_ds18b20", "onewire_temperature"),
    "ec": ("ec_sensor", "conductivity"),
    "flow": ("yfs201", "flow_yfs201", "flow_sensor"),
    "mhz19_co2": ("co2_mhz19", "co2"),
    "ph": ("ph_sensor", "ph_probe"),
    "scd30_co2": ("co2_scd30",),
    "sht31_humidity": ("humidity_sht31", "humidity"),
    "sht31_temp": ("temperature_sht31", "sht31_temperature"),
    "soil_moisture": ("moisture", "soil_moisture_sensor"),
    "tsl2561_light": ("light_tsl2561",),
}
"""By sensor type of the libraries that come along, what devices and people also call it, in any case. Readings leave
the sensor service under the type alone."""

_TYPES = {alias: sensor_type for sensor_type, aliases in SENSOR_ALIASES.items() for alias in aliases}


def type_of(name: str) -> str:
    """The sensor type of a name, in lower case; a name that is no alias stands for itself."""
    lower = name.lower()
    return _TYPES.get(lower, lower)
