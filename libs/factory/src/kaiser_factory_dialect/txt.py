"""Parses what a TXT controller measures: climate, brightness, and the quality station's checks with their pictures."""

import base64
import binascii
from typing import Any

from kaiser_factory_dialect.fields import MAX_ID, MAX_SAFE, Fields
from kaiser_factory_dialect.messages import QualityCheck, TxtSensor
from kaiser_factory_dialect.topics import FactoryTopic

_NEEDED = {"bme680": ("t", "h", "p", "iaq"), "ldr": ("br", "ldr")}
_TIMES = frozenset({"ts", "timestamp"})
_MAX_VALUES = 32
_MIMES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


def read_sensor(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> TxtSensor:
    """Values of a sensor: those that are numbers. Rejected (5205): none of those that the sensor is known by."""
    needed = _NEEDED[topic.name]
    if all(fields.number(name) is None for name in needed):
        raise fields.missing(needed[0])
    values = {
        name: value
        for name, value in fields.values.items()
        if (type(value) is float or type(value) is int) and name not in _TIMES
    }
    if len(values) > _MAX_VALUES or any(len(name) > MAX_ID for name in values):
        raise fields.out_of_bounds("values", f"more than {_MAX_VALUES} values, or a name longer than {MAX_ID}")
    for name, value in values.items():
        if abs(value) > MAX_SAFE:
            raise fields.out_of_bounds(name, f"beyond {MAX_SAFE}")
    return TxtSensor(**common, device_ts=fields.time("ts"), sensor=topic.name, values=values)


def read_quality(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> QualityCheck:
    """A check of quality. Rejected (5206): its picture is no base64 data URL of jpeg, png, gif or webp."""
    url = fields.text("data", limit=2**20)
    if not url:
        raise fields.missing("data")
    head, separator, body = url.partition(",")
    mime = head.removeprefix("data:").removesuffix(";base64")
    if not separator or mime not in _MIMES or head != f"data:{mime};base64":
        raise fields.wrong_type("data", "a base64 data URL of jpeg, png, gif or webp")
    try:
        picture = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise fields.wrong_type("data", "base64") from error
    return QualityCheck(
        **common,
        device_ts=fields.time("ts"),
        result=fields.needed_text("result"),
        mime=mime,
        bytes=len(picture),
        picture=picture,
        num=fields.integer("num"),
        classification=fields.text("classification"),
    )
