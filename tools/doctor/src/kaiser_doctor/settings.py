"""The doctor's settings: those of the services it checks, and the addresses and files that those do not name."""

import json
import os
from pathlib import Path
from typing import Any

from kaiser_common.runtime.settings import CommonSettings, load
from pydantic import Field, SecretStr

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class DoctorSettings(CommonSettings):
    """Addresses and secrets as the services have them, and the doctor's own."""

    mqtt_host: str = Field(default="127.0.0.1", description="Address of the MQTT broker.")
    mqtt_port: int = Field(default=1883, ge=1, le=65535, description="Port of the MQTT broker.")
    mqtt_username: str = Field(default="", description="User at the MQTT broker.")
    mqtt_password: SecretStr = Field(default=SecretStr(""), description="Password at the MQTT broker.")
    mqtt_password_file: Path | None = Field(default=None, description="File that holds the MQTT password.")
    mqtt_tls: bool = Field(default=False, description="Speak TLS with the MQTT broker.")
    mqtt_tls_ca_file: Path | None = Field(default=None, description="CA of the MQTT broker.")

    admin_user: str = Field(default="admin", description="Name of the first administrator.")
    admin_password: SecretStr = Field(default=SecretStr(""), description="The administrator's password.")
    admin_password_file: Path | None = Field(default=None, description="File that holds it.")
    token_secret: SecretStr = Field(default=SecretStr(""), description="Key that signs tokens.")
    token_secret_file: Path | None = Field(default=None, description="File that holds it.")

    doctor_mosquitto_conf: Path | None = Field(default=None, description="Mosquitto's configuration, to be read.")
    doctor_nats_monitor_url: str = Field(default="", description="NATS's monitoring, such as http://nats:8222.")
    doctor_gateway_url: str = Field(default="", description="The gateway, such as http://websocket-gateway:8000.")
    doctor_ingest_url: str = Field(default="", description="ingest's internal HTTP, such as http://ingest:9100.")


def read() -> DoctorSettings:
    """The settings in force; a native stack that runs in the state folder says where its parts are."""
    settings = load(DoctorSettings)
    stack = settings.state_dir / "run" / "stack.json"
    return settings.model_copy(update=of_stack(json.loads(stack.read_text()), settings)) if stack.exists() else settings


def of_stack(addresses: dict[str, Any], settings: DoctorSettings) -> dict[str, Any]:
    """The settings that stack.json of a native stack gives and the environment does not."""
    home = settings.state_dir
    ports = addresses["metrics_ports"]
    found = {
        "nats_url": addresses["nats_url"],
        "database_url": SecretStr(addresses["database_url"]),
        "mqtt_host": addresses["mqtt_host"],
        "mqtt_port": addresses["mqtt_port"],
        "mqtt_username": addresses.get("mqtt_username", ""),
        "mqtt_password": SecretStr(addresses.get("mqtt_password", "")),
        "doctor_gateway_url": addresses["http_url"],
        "doctor_ingest_url": f"http://127.0.0.1:{ports['ingest']}" if "ingest" in ports else "",
        "doctor_mosquitto_conf": _existing(home / "mosquitto" / "mosquitto.conf"),
        "admin_password_file": _existing(home / "admin-password"),
        "token_secret_file": _existing(home / "token-secret"),
    }
    return {name: value for name, value in found.items() if value and f"KAISER_{name.upper()}" not in os.environ}


def secret_of(secret: SecretStr, file: Path | None) -> str:
    """A secret from its setting or its file; empty where there is none or it may not be read."""
    if file is None:
        return secret.get_secret_value()
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None
