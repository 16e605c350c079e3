"""Settings of the health service."""

from kaiser_common.runtime.settings import CommonSettings
from pydantic import Field


class HealthSettings(CommonSettings):
    """Beside the common ones: when a device is late, what waits for an answer how long, what is kept how long."""

    health_batch: int = Field(default=1000, ge=1, le=10_000, description="Most device messages in a batch.")
    heartbeat_timeout_s: int = Field(
        default=180, ge=1, description="Silence after which a device is offline; a device may have its own."
    )
    health_sweep_s: float = Field(default=5.0, gt=0, description="Time between two looks for late devices and pushes.")
    health_event_s: float = Field(default=300.0, gt=0, description="Longest time between two esp_health of a device.")
    push_timeout_s: float = Field(default=10.0, gt=0, description="Time that a device has to answer a push.")
    push_tries: int = Field(default=3, ge=1, le=10, description="How often a config or zone is sent; a command once.")
    pending_max: int = Field(default=1000, ge=0, description="Most devices that may wait for approval.")
    pending_per_minute: int = Field(default=60, ge=1, description="Most new devices a minute that become pending.")
    heartbeat_retention_days: int = Field(default=30, ge=1, description="How long heartbeats and errors are kept.")
    audit_retention_days: int = Field(default=365, ge=1, description="How long the audit log and pushes are kept.")
