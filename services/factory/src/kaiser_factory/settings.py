"""Settings of the service factory."""

from kaiser_common.runtime.settings import CommonSettings
from pydantic import Field


class FactorySettings(CommonSettings):
    """Settings of the factory and the retention of its data."""

    vda5050_interfaces: tuple[str, ...] = Field(
        default=("uagv",), description="Interface names of VDA 5050 vehicles, JSON."
    )
    factory_retention_days: int = Field(default=365, ge=1, description="How long the factory's past is kept.")
