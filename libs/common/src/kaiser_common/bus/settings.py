"""Settings of the connection to NATS, read once from the environment (prefix `KAISER_`)."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class BusSettings(BaseSettings):
    """Where NATS is, as whom to sign in, and how many copies its streams have."""

    model_config = SettingsConfigDict(env_prefix="KAISER_", extra="ignore", frozen=True)

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

    @property
    def nats_address(self) -> str:
        """The NATS URL in force."""
        return self.nats_url or f"nats://127.0.0.1:{self.nats_port}"
