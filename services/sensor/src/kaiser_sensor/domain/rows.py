"""Turns readings into table rows and events; pure."""

from datetime import datetime
from functools import lru_cache
from typing import Literal

import msgspec
from kaiser_common.contract.schemas import Clock
from kaiser_common.contract.schemas.sensor import Quality
from kaiser_common.contract.times import time_of
from kaiser_common.contract.topics import TEMPLATES, Kind

from kaiser_sensor.domain.reading import SensorReading

DataSource = Literal["PRODUCTION", "MOCK", "TEST", "SIMULATION"]

COLUMNS = (
    "time",
    "esp_id",
    "gpio",
    "sensor_type",
    "raw",
    "raw_value",
    "value",
    "unit",
    "quality",
    "processing_mode",
    "data_source",
    "clock",
    "address",
)
"""Of `sensor.data` and `sensor.latest`, in the order of a Row. `sensor.latest` has received_at and device_time too."""

ADDRESS = COLUMNS.index("address")
"""Where a Row has it."""

Row = tuple[
    datetime,
    str,
    int,
    str,
    float | None,
    float | None,
    float | None,
    str | None,
    str,
    str,
    str,
    str,
    str,
]

SensorKey = tuple[str, int, str, str]
"""esp_id, gpio, sensor_type, address."""


def sensor_key(row: Row) -> SensorKey:
    """Which sensor a row is of."""
    return row[1], row[2], row[3], row[12]


_TOPIC = TEMPLATES[Kind.SENSOR_DATA].format(k="%s", esp="%s", gpio="%s")
_SOURCES: dict[str, DataSource] = {"MOCK": "MOCK", "TEST": "TEST", "SIM": "SIMULATION"}


class ProcessedReading(msgspec.Struct, frozen=True):
    """A reading with its processed value. `mode`: how the value was computed; `source`: the kind of device."""

    reading: SensorReading
    sensor_type: str
    value: float | None
    unit: str | None
    quality: Quality
    mode: Literal["raw", "device", "library"]
    source: DataSource = "PRODUCTION"


@lru_cache(maxsize=16_384)
def data_source(esp_id: str, hardware_type: str | None) -> DataSource:
    """Where a device's readings come from: what its id says it is, else its hardware type (`MOCK_ESP32`)."""
    for name in (esp_id, (hardware_type or "").upper()):
        for prefix, source in _SOURCES.items():
            if name.startswith(prefix):
                return source
    return "PRODUCTION"


def to_row(processed: ProcessedReading) -> Row:
    """The row of a processed reading, in the order of COLUMNS."""
    reading = processed.reading
    return (
        time_of(reading.ts),
        reading.esp_id,
        reading.gpio,
        processed.sensor_type,
        reading.raw,
        reading.raw_value,
        processed.value,
        processed.unit,
        processed.quality,
        processed.mode,
        processed.source,
        reading.clock,
        reading.address,
    )


def to_event(processed: ProcessedReading) -> bytes:
    """The body of the event of a processed reading: a `SensorDataEvent` without fields that are None."""
    reading = processed.reading
    kaiser_id, esp_id, gpio = reading.kaiser_id, reading.esp_id, reading.gpio
    return _to_json(
        _Event(
            kaiser_id,
            esp_id,
            gpio,
            processed.sensor_type,
            reading.address,
            reading.ts,
            processed.quality,
            reading.clock,
            processed.source,
            _TOPIC % (kaiser_id, esp_id, gpio),
            reading.received_at,
            reading.raw,
            reading.raw_value,
            processed.value,
            processed.unit,
            reading.sensor_name,
            reading.zone_id,
            reading.subzone_id,
            reading.device_ts,
        )
    )


class _Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """`SensorDataEvent` without fields that are None; a test compares it with the model, which is far slower."""

    kaiser_id: str
    esp_id: str
    gpio: int
    sensor_type: str
    address: str
    ts: int
    quality: Quality
    clock: Clock
    data_source: DataSource
    topic: str
    received_at: int
    raw: int | float | None = None
    raw_value: float | None = None
    value: float | None = None
    unit: str | None = None
    sensor_name: str | None = None
    zone_id: str | None = None
    subzone_id: str | None = None
    device_ts: int | None = None


_to_json = msgspec.json.Encoder().encode
