"""Parts of a request that several resources have: ids and numbers of a path, texts of a query, a header."""

from typing import Annotated

from fastapi import Header, Path, Query
from kaiser_common.contract.bounds import MAX_GPIO
from kaiser_common.contract.schemas.api.devices import ESP_ID
from kaiser_common.contract.schemas.api.sensors import SENSOR_TYPE

EspId = Annotated[str, Path(pattern=ESP_ID, examples=["ESP_0A1B2C3D"])]
Gpio = Annotated[int, Path(ge=0, le=MAX_GPIO, examples=[4])]
SensorType = Annotated[str, Path(pattern=SENSOR_TYPE, examples=["ph"])]
ShortText = Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]*$")]
"""None: any. PostgreSQL has no texts with a NUL."""
Cursor = Annotated[str | None, Query(max_length=300)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="The same key again answers with the first command, so that a repeated request moves nothing twice",
        examples=["7f3b2c51-watering"],
    ),
]
