"""The messages, other than readings, that devices send in tests."""

import json
import secrets
import time
from typing import Any

from harness import Message


def now_ms() -> int:
    return int(time.time() * 1000)


def of_device(esp_id: str, rest: str, body: dict[str, Any]) -> Message:
    return Message(f"kaiser/god/esp/{esp_id}/{rest}", json.dumps({"esp_id": esp_id, **body}).encode())


def heartbeat(esp_id: str, **fields: Any) -> Message:
    body = {"ts": now_ms(), "uptime": 60, "heap_free": 45_000, "wifi_rssi": -45, **fields}
    return of_device(esp_id, "system/heartbeat", body)


def new_id(kind: str = "MOCK") -> str:
    return f"{kind}_{secrets.token_hex(4).upper()}"
