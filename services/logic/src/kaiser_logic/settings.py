"""Settings of the logic service."""

from kaiser_common.runtime.settings import CommonSettings
from pydantic import Field, IPvAnyNetwork


class LogicSettings(CommonSettings):
    """Beside the common ones: what counts as late, how long is waited for what, and the limits of rules."""

    logic_late_s: float = Field(default=60.0, gt=0, description="A reading older than this never triggers a rule.")
    logic_latest_s: float = Field(
        default=900.0, gt=0, description="Rules ignore a reading that was received longer ago than this."
    )
    logic_grace_s: float = Field(
        default=60.0,
        ge=0,
        description="For this long after a start or an outage of the bus, no sensor counts as stale.",
    )
    logic_command_wait_s: float = Field(default=15.0, gt=0, description="How long a command's end is waited for.")
    logic_resume_s: float = Field(
        default=60.0, gt=0, description="An execution that was interrupted for longer is not continued."
    )
    logic_rules_max: int = Field(default=5000, ge=1, description="Most rules there may be.")
    logic_executions_at_once: int = Field(default=500, ge=1, description="Maximum number of concurrent executions.")
    logic_loop_fires: int = Field(default=20, ge=2, description="A rule that fires this many times in a minute pauses.")
    logic_loop_pause_s: float = Field(default=300.0, gt=0, description="How long it pauses.")
    logic_backoff_s: float = Field(default=5.0, gt=0, description="First wait of a rule whose command failed.")
    logic_backoff_max_s: float = Field(default=600.0, gt=0, description="Longest wait of a rule whose commands fail.")
    logic_webhook_hosts: list[str] = Field(
        default=[], description="The only hosts that webhooks may go to; empty means any public one."
    )
    logic_webhook_networks: list[IPvAnyNetwork] = Field(
        default=[], description="Private networks that webhooks may reach, such as 10.1.0.0/16."
    )
    logic_webhook_timeout_s: float = Field(default=5.0, gt=0, description="Longest time of one try of a webhook.")
    logic_retention_days: int = Field(default=30, ge=1, description="How long executions are kept.")
