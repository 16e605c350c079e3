"""The identity of a device message: its sender and time, checked against the topic; pure."""

import re
from typing import Any

from kaiser_common.contract.bounds import MAX_SENSOR_TYPE
from kaiser_common.contract.errors import Code, Rejected
from kaiser_common.contract.topics import Topic

from kaiser_ingest.domain.fields import Fields, Odd, Time, mismatch, number, present

_TYPE_NAME = re.compile(rf"[A-Za-z0-9_.:+-]{{1,{MAX_SENSOR_TYPE}}}\Z")


def identity(
    topic: Topic, fields: Fields, time: Time, received_at_ms: int, gpio_required: bool = False
) -> dict[str, Any]:
    """The fields that every message has, checked against the topic."""
    if gpio_required:
        present(fields, "gpio")
    check_identity(topic, fields)
    identity = {
        "kaiser_id": topic.kaiser_id,
        "esp_id": topic.esp_id,
        "ts": time.ts,
        "clock": time.clock,
        "device_ts": time.device_ts,
        "received_at": received_at_ms,
    }
    return identity if topic.gpio is None else {**identity, "gpio": topic.gpio}


def check_identity(topic: Topic, fields: Fields) -> None:
    """Rejected 5211 where esp_id or gpio, if the payload has them, are not the topic's."""
    esp_id = fields.get("esp_id")
    if esp_id is not None and esp_id != topic.esp_id:
        raise (
            Rejected(Code.TOPIC_MISMATCH, f"esp_id differs from the topic's {topic.esp_id}", "esp_id")
            if type(esp_id) is str
            else mismatch("esp_id", esp_id, "a string")
        )
    gpio = fields.get("gpio")
    if gpio is not None and topic.gpio is not None and (gpio != topic.gpio or type(gpio) is bool):
        number(gpio, "gpio")
        raise Rejected(Code.TOPIC_MISMATCH, f"gpio differs from the topic's {topic.gpio}", "gpio")


def sensor_type(fields: Fields) -> str:
    """The type of a sensor. Rejected 5203 where it is empty or no plain name."""
    name = present(fields, "sensor_type")
    if type(name) is not str:
        raise mismatch("sensor_type", name, "a string")
    if _TYPE_NAME.match(name) is None:
        raise Rejected(Code.INVALID_SENSOR_TYPE, f"sensor_type {name[:40]!r} is invalid", "sensor_type")
    return name


def optional_choice(
    fields: Fields, name: str, choices: frozenset[str], default: str | None, odd: Odd, otherwise: str
) -> Any:
    """One of these words in any case; the default where it is absent, `otherwise` where it is none of them."""
    value = fields.get(name)
    if value is None:
        return default
    word = value.lower() if type(value) is str else value
    if type(word) is str and word in choices:
        return word
    odd.append(name)
    return otherwise
