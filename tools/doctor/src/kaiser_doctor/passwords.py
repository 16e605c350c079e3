"""Secrets: none that can be guessed, none that others on the machine can read."""

from pathlib import Path
from urllib.parse import urlsplit

from kaiser_doctor.findings import Finding, green, red, yellow
from kaiser_doctor.settings import DoctorSettings, secret_of

_SHORTEST = 12
_SHORTEST_KEY = 32
_COMMON = frozenset(
    [
        "admin",
        "administrator",
        "password",
        "passwort",
        "kaiser",
        "changeme",
        "change-me",
        "secret",
        "default",
        "postgres",
        "timescale",
        "mosquitto",
        "nats",
        "grafana",
        "letmein",
        "welcome",
        "qwerty",
        "test",
        "guest",
        "root",
        "toor",
        "iot",
        "esp32",
        "12345678",
        "123456789012",
        "password1234",
    ]
)


def look(settings: DoctorSettings) -> list[Finding]:
    """The secrets that can be seen from here; those of servers that ask for none are the servers' findings."""
    database = urlsplit(settings.database_url.get_secret_value())
    findings = [
        *of_secret(
            "admin password", secret_of(settings.admin_password, settings.admin_password_file), settings.admin_user
        ),
        *of_key(secret_of(settings.token_secret, settings.token_secret_file)),
        *of_secret("NATS password", secret_of(settings.nats_password, settings.nats_password_file), settings.nats_user),
        *of_secret(
            "MQTT password", secret_of(settings.mqtt_password, settings.mqtt_password_file), settings.mqtt_username
        ),
        *of_secret("database password", database.password or "", database.username or ""),
    ]
    files = (
        settings.admin_password_file,
        settings.token_secret_file,
        settings.nats_password_file,
        settings.mqtt_password_file,
        settings.database_password_file,
    )
    findings += [finding for file in files if file is not None for finding in of_file(file)]
    return findings or [green("secrets", "none can be seen from here")]


def of_secret(name: str, secret: str, user: str = "") -> list[Finding]:
    """A password: nothing is said of one that is not there."""
    fix = "make one of 20 random characters: openssl rand -base64 15"
    if not secret:
        return []
    if secret.lower() in _COMMON or secret.lower() == user.lower() or len(set(secret)) < 4:
        return [red(name, "is one that everybody tries first", fix)]
    if len(secret) < _SHORTEST:
        return [red(name, f"has {len(secret)} characters: it can be guessed", fix)]
    return [green(name, "is not an easy one")]


def of_key(secret: str) -> list[Finding]:
    """The key that signs tokens: with a guessed key anyone can be administrator."""
    if secret and (len(secret) < _SHORTEST_KEY or len(set(secret)) < 8):
        return [red("token secret", "can be guessed: 32 random characters at least", "openssl rand -base64 36")]
    return [green("token secret", "is long enough")] if secret else []


def of_file(path: Path) -> list[Finding]:
    """A file with a secret: others may not read it. Files below /run/secrets belong to the container alone."""
    if not path.exists():
        return [red("secrets", f"{path} is not there", "make it, or set the variable that names it")]
    if path.stat().st_mode & 0o007 and not path.is_relative_to("/run/secrets"):
        return [red("secrets", f"everybody on this machine can read {path}", f"chmod 600 {path}")]
    if path.stat().st_mode & 0o020:
        return [yellow("secrets", f"its group may write {path}", f"chmod 600 {path}")]
    return []
