"""Settings of the health service."""

from kaiser_common.settings import CommonSettings
from pydantic import Field


class HealthSettings(CommonSettings):
    """Beside the common ones: how much is taken at once."""

    health_batch: int = Field(default=1000, ge=1, le=10_000, description="Most device messages taken at once.")
