"""Settings of the service alarm."""

from kaiser_common.runtime.settings import CommonSettings
from pydantic import Field


class AlarmSettings(CommonSettings):
    """Beside the common ones: how long the past is kept."""

    alarm_retention_days: int = Field(default=365, ge=1, description="How long closed alarms and steps are kept.")
