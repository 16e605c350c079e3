"""Settings of the sensor service."""

from typing import Self

from kaiser_common.runtime.settings import CommonSettings
from pydantic import Field, model_validator


class SensorSettings(CommonSettings):
    """Settings beside the common ones: batch size, retention, when a sensor is stale."""

    sensor_batch: int = Field(
        default=3000, ge=1, le=10_000, description="Maximum number of readings stored together, plus one pack."
    )
    events_per_device: bool = Field(
        default=False, description="Publish each reading's event separately, on a subject of its device."
    )
    sensor_retention_days: int = Field(default=90, ge=3, description="How long readings are kept.")
    sensor_rollup_retention_days: int = Field(default=730, ge=2, description="How long rollups are kept.")
    sensor_rollup_every_s: float = Field(
        default=60.0, ge=1, le=3600, description="Time between two refreshes of rollups."
    )
    sensor_late_days: int = Field(default=7, ge=1, le=60, description="How late readings may come at full speed.")
    sensor_compress_after_days: int = Field(
        default=7, ge=1, description="Age at which readings are compressed, where the database does that."
    )
    sensor_stale_check_s: float = Field(default=10.0, gt=0, description="Time between two checks for silent sensors.")
    sensor_measure_timeout_s: float = Field(
        default=30.0, gt=0, le=3600, description="Time that a device has to answer a measure command."
    )

    @model_validator(mode="after")
    def _late_readings_are_kept(self) -> Self:
        """Late readings must not meet compressed chunks, and a refresh must find the readings of its window, a day
        wider."""
        if self.sensor_compress_after_days < self.sensor_late_days:
            raise ValueError("KAISER_SENSOR_COMPRESS_AFTER_DAYS must not be less than KAISER_SENSOR_LATE_DAYS")
        if self.sensor_retention_days < self.sensor_late_days + 2:
            raise ValueError("KAISER_SENSOR_RETENTION_DAYS must be two more than KAISER_SENSOR_LATE_DAYS or longer")
        return self
