"""Settings of the sensor service."""

from kaiser_common.settings import CommonSettings
from pydantic import Field


class SensorSettings(CommonSettings):
    """Beside the common ones: how much is taken and stored at once."""

    sensor_batch: int = Field(default=1000, ge=1, le=10_000, description="Most readings taken and stored at once.")
    sensor_retention_days: int = Field(default=90, ge=1, description="How long readings are kept.")
