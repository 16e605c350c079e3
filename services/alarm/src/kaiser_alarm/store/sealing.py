"""URLs of channels hold passwords: they are stored encrypted, with a key that is not in the database."""

import os
import secrets
from pathlib import Path

from kaiser_alarm.settings import AlarmSettings

_OTHER_KEY = (
    "its URL was encrypted with another key: set the URL again, or start the service with the former key"
    " (KAISER_ALARM_KEY, KAISER_ALARM_KEY_FILE, or alarm-key in the state folder)"
)


class WrongKey(Exception):
    """The stored value was encrypted with another key."""


class Sealing:
    """Fernet (AES-128-CBC with HMAC-SHA256) with one key."""

    def __init__(self, key: str) -> None:
        from cryptography.fernet import Fernet  # noqa: PLC0415 - only where a channel is set

        self._fernet = Fernet(key + "=" * (-len(key) % 4))

    def seal(self, text: str) -> str:
        """Encrypt."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """Decrypt. WrongKey."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415

        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise WrongKey(_OTHER_KEY) from error


def key_of(settings: AlarmSettings) -> str:
    """The key of the settings, of its file, or of `alarm-key` in the state folder, made where missing."""
    given = settings.alarm_key.get_secret_value()
    if given:
        return given
    path = settings.key_path
    return path.read_text().strip() if path.exists() else _make(path)


def _make(path: Path) -> str:
    """A new key in a file that only its owner reads. Two processes at once: both use the one that was there first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return path.read_text().strip()
