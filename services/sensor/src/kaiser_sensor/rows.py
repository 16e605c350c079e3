"""From readings to table rows and events, pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from kaiser_common.schemas.sensor import Quality, Reading
from kaiser_common.topics import TEMPLATES, Kind
from pydantic_core import to_json

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
)
"""Of `sensor.data` and `sensor.latest`, in the order of a Row."""

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
]

_TOPIC = TEMPLATES[Kind.SENSOR_DATA].format(k="%s", esp="%s", gpio="%s")
_SOURCES: dict[str, DataSource] = {"MOCK": "MOCK", "TEST": "TEST", "SIM": "SIMULATION"}


@dataclass(frozen=True, slots=True)
class Processed:
    """A reading with what became of it. `mode`: how value came to be; `source`: what kind of device it comes from."""

    reading: Reading
    sensor_type: str
    value: float | None
    unit: str | None
    quality: Quality
    mode: Literal["raw", "device", "library"]
    source: DataSource = "PRODUCTION"


def data_source(esp_id: str, hardware_type: str | None) -> DataSource:
    """Where a device's readings come from: what its id says it is, else its hardware type (`MOCK_ESP32`)."""
    for name in (esp_id, (hardware_type or "").upper()):
        for prefix, source in _SOURCES.items():
            if name.startswith(prefix):
                return source
    return "PRODUCTION"


def to_row(processed: Processed) -> Row:
    """The row of a processed reading, in the order of COLUMNS."""
    reading = processed.reading
    return (
        datetime.fromtimestamp(reading.ts / 1000, UTC),
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
    )


def to_event(processed: Processed) -> bytes:
    """The body of the event of a processed reading: a `SensorDataEvent` without what is None.

    Written without the model, which costs three times as much; a test holds it to the model.
    """
    reading = processed.reading
    kaiser_id, esp_id, gpio = reading.kaiser_id, reading.esp_id, reading.gpio
    fields: dict[str, Any] = {
        "kaiser_id": kaiser_id,
        "esp_id": esp_id,
        "gpio": gpio,
        "sensor_type": processed.sensor_type,
        "ts": reading.ts,
        "quality": processed.quality,
        "clock": reading.clock,
        "data_source": processed.source,
        "topic": _TOPIC % (kaiser_id, esp_id, gpio),
        "received_at": reading.received_at,
    }
    if reading.raw is not None:
        fields["raw"] = reading.raw
    if reading.raw_value is not None:
        fields["raw_value"] = reading.raw_value
    if processed.value is not None:
        fields["value"] = processed.value
    if processed.unit is not None:
        fields["unit"] = processed.unit
    if reading.sensor_name is not None:
        fields["sensor_name"] = reading.sensor_name
    return to_json(fields)
