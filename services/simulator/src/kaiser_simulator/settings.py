"""Settings of the simulator."""

from kaiser_common.runtime.settings import CommonSettings
from pydantic import Field


class SimulatorSettings(CommonSettings):
    """Beside the common ones: how many messages may wait for MQTT, and how many mocks there may be."""

    simulator_batch: int = Field(default=500, ge=1, le=10_000, description="Most messages to mocks in a batch.")
    simulator_outbox_limit: int = Field(
        default=10_000, ge=1, description="Messages waiting for MQTT above which mocks leave out readings."
    )
    simulator_mocks_max: int = Field(default=10_000, ge=1, description="Most mock devices.")
