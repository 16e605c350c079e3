"""The users of the servers that a stack starts: each with a password of its own, made once, in the state folder."""

from dataclasses import dataclass
from pathlib import Path

from kaiser_stack import secret_files

_LENGTH_BYTES = 24


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
    """Who signs in where."""

    bus: Login
    database: Login
    ingest: Login
    """ingest at the MQTT broker."""
    device: Login
    """Any device at the MQTT broker, which listens on this machine alone."""
    sandbox: Login
    """ingest at the sandbox broker; its user is the name of the environment."""


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
    )
