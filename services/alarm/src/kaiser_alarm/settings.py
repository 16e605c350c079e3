"""Settings of the service alarm."""

from pathlib import Path
from typing import Literal

from kaiser_common.runtime.settings import CommonSettings
from pydantic import Field, IPvAnyNetwork, SecretStr


class AlarmSettings(CommonSettings):
    """Beside the common ones: how long the past is kept, and how channels are used."""

    alarm_retention_days: int = Field(default=365, ge=1, description="How long closed alarms and steps are kept.")
    alarm_notify_s: float = Field(default=2.0, gt=0, description="Time between two looks for notifications.")
    alarm_language: Literal["en", "de"] = Field(default="en", description="Language of notifications: en or de.")
    alarm_again_s: float = Field(
        default=300.0, ge=0, description="Least time until an alarm that is raised again is sent again."
    )
    alarm_channel_timeout_s: float = Field(default=20.0, gt=0, description="Longest time of one message to a channel.")
    alarm_channel_networks: list[IPvAnyNetwork] = Field(
        default=[], description="Private networks that channels may reach, such as 10.1.0.0/16 with a mail server."
    )
    alarm_key: SecretStr = Field(
        default=SecretStr(""), description="Key that encrypts the URLs of channels: 32 bytes in URL-safe base64."
    )
    alarm_key_file: Path | None = Field(
        default=None, description="File that holds that key; default: alarm-key in state_dir, made where missing."
    )
