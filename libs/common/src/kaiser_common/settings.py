"""Settings that every service has, read once from the environment (prefix `KAISER_`)."""

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

SettingsT = TypeVar("SettingsT", bound="CommonSettings")


class CommonSettings(BaseSettings):
    """The settings of the shell: logging, internal HTTP, bus and database. A service adds its own in a subclass."""

    model_config = SettingsConfigDict(env_prefix="KAISER_", extra="ignore", frozen=True)

    state_dir: Path = Field(default=Path(".kaiser"), description="Folder for generated secrets and native data.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")
    log_format: Literal["console", "json"] = Field(default="console", description="Form of the log lines.")
    metrics_host: str = Field(default="127.0.0.1", description="Address of the internal HTTP server.")
    metrics_port: int = Field(
        default=9100, ge=0, le=65535, description="Port of /metrics /healthz /readyz; 0 takes a free one."
    )

    otlp_url: str = Field(default="", description="OTLP/HTTP receiver of traces; empty: tracing is off.")
    trace_ratio: float = Field(default=0.01, ge=0, le=1, description="Share of the messages that is traced.")

    nats_port: int = Field(default=4222, ge=1, le=65535, description="Port of a NATS server on this machine.")
    nats_url: str = Field(default="", description="Address of NATS; empty means 127.0.0.1 at KAISER_NATS_PORT.")
    nats_user: str = Field(default="", description="User at NATS, empty for none.")
    nats_password: SecretStr = Field(default=SecretStr(""), description="Password at NATS.")
    nats_password_file: Path | None = Field(default=None, description="File that holds the NATS password.")
    nats_tls_ca_file: str = Field(
        default="", description="CA of NATS where KAISER_NATS_URL begins with tls://; empty: the system's CAs."
    )
    nats_inbox_prefix: str = Field(default="", description="Private inbox prefix; empty means _INBOX.")

    nats_replicas: int = Field(
        default=1, ge=1, le=5, description="Copies of each stream that migrate asks for: 3 on a cluster of three."
    )

    database_url: SecretStr = Field(
        default=SecretStr("postgresql://postgres@127.0.0.1:5432/postgres"), description="PostgreSQL connection URI."
    )
    database_password_file: Path | None = Field(default=None, description="File that holds the database password.")
    database_pool_size: int = Field(default=4, ge=1, le=64, description="Most connections a service holds.")
    database_statement_timeout_s: float = Field(default=15.0, gt=0, description="Longest time of one SQL statement.")

    dead_letter_share: float = Field(
        default=0.1, gt=0, le=1, description="Share of a consumer's last 1,000 messages that may be rejected."
    )
    dead_letter_least: int = Field(
        default=50, ge=0, le=1000, description="Rejections that are allowed whatever their share."
    )

    @property
    def nats_address(self) -> str:
        """The NATS URL in force."""
        return self.nats_url or f"nats://127.0.0.1:{self.nats_port}"


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
            + f"={problem['input']!r}: {problem['msg']}"
            for problem in error.errors()
        )
        raise SettingsError(f"bad setting: {problems}") from error
    except OSError as error:
        raise SettingsError(f"a settings file cannot be read: {error}") from error


def in_force(settings: CommonSettings) -> dict[str, str]:
    """The settings as text for the log at start, secrets masked."""
    return {name: str(value) for name, value in settings if value not in ("", None)}
