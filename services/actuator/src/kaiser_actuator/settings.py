"""Settings of the actuator service."""

from kaiser_common.runtime.settings import CommonSettings
from pydantic import Field


class ActuatorServiceSettings(CommonSettings):
    """Settings beside the common ones: the time for a device's answer, limits of commands, retention times."""

    actuator_batch: int = Field(default=500, ge=1, le=10_000, description="Most actuator messages in a batch.")
    command_timeout_s: float = Field(
        default=10.0, gt=0, le=3600, description="Time that a device has to answer a command once it was sent."
    )
    commands_per_minute: int = Field(
        default=60, ge=1, description="Most commands a minute for one actuator; OFF and stops are not limited."
    )
    actuator_sweep_s: float = Field(default=0.5, gt=0, le=60, description="Time between two looks for what is due.")
    actuator_retention_days: int = Field(
        default=365, ge=1, description="How long history, ended commands and cleared stops are kept."
    )
