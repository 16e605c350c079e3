"""Settings that every service has, read once from the environment (prefix `KAISER_`)."""

import os
import re
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsError as NotParsed

from kaiser_common.bus.settings import BusSettings
from kaiser_common.runtime import known_settings

SettingsT = TypeVar("SettingsT", bound="CommonSettings")

_FIELD = re.compile(r'field "(\w+)"')
"""In pydantic-settings' text about a value that is no JSON."""


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
    """Read the settings of a service. Raises SettingsError for a person, also for a setting that no program has."""
    try:
        known_settings.check(os.environ)
        return settings_class()
    except known_settings.UnknownSetting as error:
        raise SettingsError("; ".join(str(error).splitlines())) from error
    except (ValidationError, NotParsed) as error:
        raise SettingsError(
            f"bad setting: {'; '.join(line for _, line in _problems(settings_class, error))}"
        ) from error
    except OSError as error:
        raise SettingsError(f"a settings file cannot be read: {error}") from error


def wrong_values(settings_class: type[CommonSettings]) -> list[str]:
    """A line for each value of the environment that is wrong whatever the other settings are."""
    try:
        settings_class()
    except (ValidationError, NotParsed) as error:
        return [line for field, line in _problems(settings_class, error) if field]
    except OSError as error:
        return [f"a settings file cannot be read: {error}"]
    return []


def _problems(settings_class: type[CommonSettings], error: ValidationError | NotParsed) -> list[tuple[str, str]]:
    """The faults of an error, each with its field ("" where several settings do not fit together)."""
    prefix = settings_class.model_config.get("env_prefix", "")
    if isinstance(error, NotParsed):
        found = _FIELD.search(str(error))
        name = f"{prefix}{found[1] if found else ''}".upper()
        return [(name, f'{name}={os.environ.get(name)!r}: it must be JSON, such as ["…"]')]
    lines = []
    for problem in error.errors():
        field = str(problem["loc"][0]) if problem["loc"] else ""
        reason = problem["msg"].removeprefix("Value error, ")
        shown = "…" if _is_secret(settings_class, problem["loc"]) else repr(problem["input"])
        inside = "".join(f", {_place(part)}" for part in problem["loc"][1:])
        lines.append((field, f"{prefix}{field}".upper() + f"={shown}{inside}: {reason}" if field else reason))
    return lines


def _place(part: int | str) -> str:
    """A part of a setting in words: entries of a list count from 1."""
    return f"entry {part + 1}" if isinstance(part, int) else part


def _is_secret(settings_class: type[CommonSettings], place: tuple[int | str, ...]) -> bool:
    """Whether a field, or a part of it, may hold a secret."""
    if len(place) != 1:
        return True
    return "Secret" in str(settings_class.model_fields[str(place[0])].annotation)


def in_force(settings: CommonSettings) -> dict[str, str]:
    """The settings as text for the log at start, secrets masked."""
    return {name: str(value) for name, value in settings if value not in ("", None)}
