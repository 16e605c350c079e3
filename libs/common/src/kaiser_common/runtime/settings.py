"""Settings that every service has, read once from the environment (prefix `KAISER_`)."""

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError

from kaiser_common.bus.settings import BusSettings

SettingsT = TypeVar("SettingsT", bound="CommonSettings")


class CommonSettings(BusSettings):
    """The settings of the shell: logging, internal HTTP, bus and database. A service adds its own in a subclass."""

    state_dir: Path = Field(default=Path(".kaiser"), description="Folder for generated secrets and native data.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )
    log_format: Literal["console", "json"] = Field(default="console", description="Form of the log lines.")
    metrics_host: str = Field(default="127.0.0.1", description="Address of the internal HTTP server.")
    metrics_port: int = Field(
        default=9100, ge=0, le=65535, description="Port of /metrics /healthz /readyz; 0 takes a free one."
    )

    otlp_url: str = Field(default="", description="OTLP/HTTP receiver of traces; empty: tracing is off.")
    trace_ratio: float = Field(default=0.01, ge=0, le=1, description="Share of the messages that is traced.")

    database_url: SecretStr = Field(
        default=SecretStr("postgresql://postgres@127.0.0.1:5432/postgres"), description="PostgreSQL connection URI."
    )
    database_password_file: Path | None = Field(default=None, description="File that holds the database password.")
    database_pool_size: int = Field(default=4, ge=1, le=64, description="Maximum number of connections of a service.")
    database_statement_timeout_s: float = Field(default=15.0, gt=0, description="Longest time of one SQL statement.")

    dead_letter_share: float = Field(
        default=0.1, gt=0, le=1, description="Share of a consumer's last 1,000 messages that may be rejected."
    )
    dead_letter_least: int = Field(
        default=50, ge=0, le=1000, description="Rejections that are allowed whatever their share."
    )


class SettingsError(Exception):
    """A setting cannot be used; the text says which, why and what to set, in one line."""


def load(settings_class: type[SettingsT]) -> SettingsT:
    """Read the settings of a service. Raises SettingsError with one line for a person."""
    try:
        return settings_class()
    except ValidationError as error:
        prefix = settings_class.model_config.get("env_prefix", "")
        problems = "; ".join(
            f"{prefix}{'_'.join(str(part) for part in problem['loc'])}".upper()
            + f"={problem['input']!r}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        )
        raise SettingsError(f"bad setting: {problems}") from error
    except OSError as error:
        raise SettingsError(f"a settings file cannot be read: {error}") from error


def in_force(settings: CommonSettings) -> dict[str, str]:
    """The settings as text for the log at start, secrets masked."""
    return {name: str(value) for name, value in settings if value not in ("", None)}
