"""Settings of the service alarm."""

import re
from pathlib import Path
from typing import Literal, Self

from kaiser_common.runtime.settings import CommonSettings
from pydantic import Field, IPvAnyNetwork, SecretStr, field_validator, model_validator

_KEY = re.compile(r"[A-Za-z0-9_+/-]{43}=?")
_FORM = "the key that encrypts the URLs of channels is 32 bytes in URL-safe base64"


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

    @property
    def key_path(self) -> Path:
        """The file of the key, if no setting has the key."""
        return self.alarm_key_file or self.state_dir / "alarm-key"

    @field_validator("alarm_key")
    @classmethod
    def _is_a_key(cls, key: SecretStr) -> SecretStr:
        """An empty key counts as none: the file has it."""
        text = key.get_secret_value().strip()
        if text and not _KEY.fullmatch(text):
            raise ValueError(_FORM)
        return SecretStr(text)

    @model_validator(mode="after")
    def _file_holds_a_key(self) -> Self:
        """Checked at the start, because a wrong key would otherwise show only with the first channel or alarm. A named
        file that is missing is an error: a new key in its place could not decrypt the stored URLs."""
        if self.alarm_key.get_secret_value():
            return self
        path = self.key_path
        name = "the key" if self.alarm_key_file is None else "KAISER_ALARM_KEY_FILE"
        try:
            text = path.read_text(errors="replace").strip()
        except FileNotFoundError as error:
            if self.alarm_key_file is None:
                return self
            hint = "there is no such file: put the key there, or leave the setting out"
            raise ValueError(f"{name}={path}: {hint}") from error
        except OSError as error:
            raise ValueError(f"{name}={path}: the file cannot be read: {error.strerror}") from error
        if not _KEY.fullmatch(text):
            raise ValueError(f"{name}={path}: {_FORM}, and the file holds something else: put the former key back")
        return self
