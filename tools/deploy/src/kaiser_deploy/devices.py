"""The password of a device at the MQTT broker: made here, shown once, kept only as a hash."""

import re
import secrets
from pathlib import Path

from kaiser_deploy.mosquitto_passwords import remove, set_password
from kaiser_deploy.secret_files import write

_ESP_ID = re.compile(r"(?:ESP|MOCK|SIM|TEST)_[A-Z0-9_]{1,27}\Z")


class NoDevice(Exception):
    """The id is not one of a device; the text says what one looks like."""


def admit(folder: Path, esp_id: str) -> str:
    """Give a device a new password; an older one no longer holds once the broker has read the file again."""
    password = secrets.token_urlsafe(18)
    path = _file(folder, esp_id)
    write(path, set_password(path.read_text(), esp_id, password, secrets.token_bytes(12)))
    return password


def shut_out(folder: Path, esp_id: str) -> None:
    """Take a device's password away."""
    path = _file(folder, esp_id)
    write(path, remove(path.read_text(), esp_id))


def _file(folder: Path, esp_id: str) -> Path:
    if _ESP_ID.match(esp_id) is None:
        raise NoDevice(f"{esp_id!r} is no esp_id such as ESP_0A1B2C3D")
    return folder / "mosquitto" / "passwords"
