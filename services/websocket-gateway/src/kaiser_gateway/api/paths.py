"""The parts of a path that several resources have: the id of a device, a gpio, a type of sensor."""

from typing import Annotated

from fastapi import Path
from kaiser_common.contract.bounds import MAX_GPIO
from kaiser_common.contract.schemas.api.devices import ESP_ID
from kaiser_common.contract.schemas.api.sensors import SENSOR_TYPE

EspId = Annotated[str, Path(pattern=ESP_ID, examples=["ESP_0A1B2C3D"])]
Gpio = Annotated[int, Path(ge=0, le=MAX_GPIO, examples=[4])]
SensorType = Annotated[str, Path(pattern=SENSOR_TYPE, examples=["ph"])]
