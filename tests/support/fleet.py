"""The devices of a trial: makes numbered messages, and finds their numbers in rows, events and rejections; pure."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.load import Numbered

GPIO = 4
BAD_EVERY = 51
"""Prime to the number of devices, so that each sends its share: REJECTED keeps 2,000 of one device and code."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Message `n` comes from device n mod len(devices), is of time `base_ms` + n and holds the value n.

    Every 51st lacks a required field and must be rejected (5205).
    """

    devices: Sequence[str]
    base_ms: int

    def message(self, number: int) -> Numbered:
        """The message with this number."""
        esp_id = self.devices[number % len(self.devices)]
        body: dict[str, Any] = {
            "ts": self.base_ms + number,
            "esp_id": esp_id,
            "gpio": GPIO,
            "sensor_type": "DS18B20",
            "raw": number,
            "raw_mode": False,
            "value": float(number),
            "unit": "°C",
            "quality": "good",
        }
        if is_bad(number):
            del body["raw_mode"]
        topic = f"kaiser/god/esp/{esp_id}/sensor/{GPIO}/data"
        return Numbered(number, topic, json.dumps(body, ensure_ascii=False).encode())

    def number_of(self, esp_id: str, ts_ms: int, value: float | None) -> int:
        """The number of a row or event; -1 if it is none that was sent so."""
        number = ts_ms - self.base_ms
        is_ours = number >= 0 and self.devices[number % len(self.devices)] == esp_id and value == number
        return number if is_ours else -1


def is_bad(number: int) -> bool:
    """Whether the message must be rejected."""
    return number % BAD_EVERY == BAD_EVERY - 1


def good_before(number: int) -> int:
    """How many messages below this number are to be stored."""
    return number - number // BAD_EVERY


def number_of_rejected(entry: dict[str, Any]) -> int:
    """The number of an entry of REJECTED; -1 for one that does not say."""
    try:
        return int(json.loads(base64.b64decode(entry["payload_base64"]))["raw"])
    except (ValueError, KeyError, TypeError):
        return -1
