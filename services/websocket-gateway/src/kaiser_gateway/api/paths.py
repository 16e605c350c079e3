"""Parts of a path or a query that several resources have: a device's id, a gpio, a type of sensor, a short text."""

from typing import Annotated

from fastapi import Path, Query
from kaiser_common.contract.bounds import MAX_GPIO
from kaiser_common.contract.schemas.api.devices import ESP_ID
from kaiser_common.contract.schemas.api.sensors import SENSOR_TYPE

EspId = Annotated[str, Path(pattern=ESP_ID, examples=["ESP_0A1B2C3D"])]
Gpio = Annotated[int, Path(ge=0, le=MAX_GPIO, examples=[4])]
SensorType = Annotated[str, Path(pattern=SENSOR_TYPE, examples=["ph"])]
ShortText = Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]*$")]
"""None: any. PostgreSQL has no texts with a NUL."""
