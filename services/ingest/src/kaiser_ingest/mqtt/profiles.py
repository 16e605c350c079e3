"""Broker profiles: the address of a broker, and the credentials for it."""

import ssl
from pathlib import Path
from typing import Literal, Self

from kaiser_common.contract.schemas.factory import EnvironmentKind
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

Dialect = Literal["esp", "factory"]


class Profile(BaseModel):
    """One MQTT broker. An empty client_id means kaiser-ingest-<site>. kind: of the factory's environment there.

    sandbox: the broker is Kaiser's alone, and is emptied each time its environment is entered. dialects: what is spoken
    there; None: what KAISER_MQTT_DIALECTS says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(min_length=1)
    port: int = Field(default=1883, ge=1, le=65535)
    username: str = ""
    password: SecretStr = SecretStr("")
    password_file: Path | None = None
    tls: bool = False
    tls_ca_file: Path | None = None
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    client_id: str = ""
    kind: EnvironmentKind | None = None
    sandbox: bool = False
    dialects: tuple[Dialect, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _check_sandbox(self) -> Self:
        """A broker of machines must never be emptied."""
        if self.sandbox and self.kind not in {"mock", "replay"}:
            raise ValueError("a sandbox is of kind mock or replay")
        return self

    def kind_of(self, name: str) -> EnvironmentKind:
        """The kind of environment: as set, else by the profile's name, else live."""
        if self.kind is not None:
            return self.kind
        return "mock" if name == "mock" else "replay" if name == "replay" else "live"

    @property
    def place(self) -> tuple[str, int]:
        """Host and port, the same for every name of this machine's own."""
        host = self.host.lower()
        return ("127.0.0.1" if host in {"localhost", "::1", "0.0.0.0"} else host), self.port

    @property
    def address(self) -> str:
        """The broker as people write it."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


def password_of(profile: Profile) -> str:
    """The password in force, from its file where one is named. OSError if that cannot be read."""
    if profile.password_file is not None:
        return profile.password_file.read_text().strip()
    return profile.password.get_secret_value()


def tls_context_of(profile: Profile) -> ssl.SSLContext | None:
    """The TLS context of a profile, None without TLS. OSError (ssl.SSLError is one) if a file cannot be used."""
    if not profile.tls:
        return None
    context = ssl.create_default_context(cafile=profile.tls_ca_file)
    if profile.tls_certificate_file is not None:
        context.load_cert_chain(profile.tls_certificate_file, profile.tls_key_file)
    return context
