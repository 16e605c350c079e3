"""Makes the secrets for Kaiser in containers: random, made once, in one folder that only its owner may enter.

The files themselves are readable by all, because compose mounts them into containers with the owner and mode they have
here, and each container runs under its own account. Only the standard library, so that a machine with Docker and Python
needs nothing else.
"""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from kaiser_deploy.mosquitto_passwords import set_password, verifies

BUS_USERS = (
    "doctor",
    "migrate",
    "ingest",
    "sensor",
    "actuator",
    "health",
    "logic",
    "alarm",
    "simulator",
    "factory",
    "recorder",
    "websocket-gateway",
)
DATABASE_USERS = (
    "superuser", "migrate", "sensor", "actuator", "health", "logic", "alarm", "simulator", "factory", "recorder",
    "gateway", "grafana",
)  # fmt: skip
MQTT_USERS = ("ingest", "probe", "factory")
OTHERS = ("mqtt-sandbox", "admin-password", "token-secret", "alarm-key", "grafana-admin")

GIVEN = ("oidc-client-secret",)
"""Secrets that somebody else decides: an empty file until it is filled in."""


def names() -> tuple[str, ...]:
    """The name of every secret that is made here, which is its file's."""
    return (
        *(f"nats-{user}" for user in BUS_USERS),
        *(f"database-{user}" for user in DATABASE_USERS),
        *(f"mqtt-{user}" for user in MQTT_USERS),
        *OTHERS,
    )


def make(folder: Path) -> list[str]:
    """Make the missing secrets and rewrite the files derived from them; the names of the secrets that were made."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    made = [name for name in names() if not (folder / name).is_file()]
    for name in made:
        write(folder / name, secrets.token_urlsafe(32) + "\n")
    for name in GIVEN:
        if not (folder / name).exists():
            write(folder / name, "")
    (folder / "nats").mkdir(exist_ok=True)
    write(folder / "nats" / "passwords.conf", _nats_passwords(folder, BUS_USERS))
    write(folder / "nats" / "sandbox.conf", f'sandbox_password: "{read(folder, "mqtt-sandbox")}"\n')
    if not (folder / "nats" / "tls.conf").exists():
        write(folder / "nats" / "tls.conf", "# No TLS on the bus: see `make certs`.\n")
    for part in ("mosquitto", "mosquitto/conf.d", "mosquitto/probe", "tls", "authority"):
        (folder / part).mkdir(exist_ok=True)
    _mosquitto_users(folder)
    # Options of the program mosquitto_sub, which reads them from a file of its name: for the container's health check.
    write(folder / "mosquitto" / "probe" / "mosquitto_sub", f"-u kaiser-probe\n-P {read(folder, 'mqtt-probe')}\n")
    return made


def write(path: Path, text: str) -> None:
    """Write a file in one step, so that a reader never sees half of it."""
    fresh = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "w") as file:
        file.write(text)
    fresh.chmod(0o644)
    fresh.replace(path)


def read(folder: Path, name: str) -> str:
    """A secret."""
    return (folder / name).read_text().strip()


def _nats_passwords(folder: Path, users: Iterable[str]) -> str:
    lines = [f'{user.replace("-", "_")}_password: "{read(folder, f"nats-{user}")}"\n' for user in users]
    return "# Passwords of the users in users.conf, by `make secrets`.\n" + "".join(lines)


def _mosquitto_users(folder: Path) -> None:
    """Kaiser's own users into the password file; the devices in it stay."""
    path = folder / "mosquitto" / "passwords"
    before = text = path.read_text() if path.exists() else ""
    for user in MQTT_USERS:
        password = read(folder, f"mqtt-{user}")
        if not verifies(text, f"kaiser-{user}", password):
            text = set_password(text, f"kaiser-{user}", password, secrets.token_bytes(12))
    if text != before:
        write(path, text)
