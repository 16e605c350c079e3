"""The users of the servers that a stack starts: each with a password of its own, made once, in the state folder."""

import re
from dataclasses import dataclass
from pathlib import Path

from kaiser_stack import secret_files
from kaiser_stack.errors import SetupError

_LENGTH_BYTES = 24
_DEVICES = "mqtt-devices"
_ESP_ID = re.compile(r"(?:ESP|MOCK|SIM|TEST)_[A-Z0-9_]{1,27}\Z")


@dataclass(frozen=True, slots=True)
class Login:
    """A user and the file that holds its password."""

    user: str
    file: Path

    @property
    def password(self) -> str:
        """The password."""
        return self.file.read_text().strip()


@dataclass(frozen=True, slots=True)
class Logins:
    """The users and passwords for the servers of a stack."""

    bus: Login
    database: Login
    ingest: Login
    """ingest at the MQTT broker."""
    device: Login
    """Any device at the MQTT broker, which listens on this machine alone."""
    sandbox: Login
    """ingest at the sandbox broker; its user is the name of the environment."""
    devices: tuple[Login, ...] = ()
    """Devices with a password of their own there."""


def keep(state_dir: Path) -> Logins:
    """The users, with their passwords made where they are missing. SetupError: the folder cannot be written."""

    def login(user: str, name: str) -> Login:
        return Login(user, secret_files.keep(state_dir / name, _LENGTH_BYTES))

    return Logins(
        login("kaiser", "nats-password"),
        login("postgres", "postgres-password"),
        login("kaiser-ingest", "mqtt-ingest-password"),
        login("kaiser-device", "mqtt-device-password"),
        login("mock", "sandbox-password"),
        tuple(Login(file.name, file) for file in sorted((state_dir / _DEVICES).glob("*")) if _ESP_ID.match(file.name)),
    )


def admit(state_dir: Path, esp_id: str) -> Login:
    """Give a device a password of its own, the same again where it has one. SetupError: it is no id of a device."""
    return Login(esp_id, secret_files.keep(_file(state_dir, esp_id), _LENGTH_BYTES))


def shut_out(state_dir: Path, esp_id: str) -> None:
    """Take a device's password away. SetupError: it is no id of a device."""
    _file(state_dir, esp_id).unlink(missing_ok=True)


def _file(state_dir: Path, esp_id: str) -> Path:
    if _ESP_ID.match(esp_id) is None:
        raise SetupError(f"{esp_id!r} is no esp_id such as ESP_0A1B2C3D")
    return state_dir / _DEVICES / esp_id
