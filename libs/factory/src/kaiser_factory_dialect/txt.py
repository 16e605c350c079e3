"""Reading of what a TXT controller measures: climate, brightness, and pictures of the quality station."""

import base64
import binascii
from typing import Any

from kaiser_factory_dialect.fields import MAX_ID, Fields
from kaiser_factory_dialect.messages import QualityCheck, TxtSensor
from kaiser_factory_dialect.topics import FactoryTopic

_NEEDED = {"bme680": ("t", "h", "p", "iaq"), "ldr": ("br", "ldr")}
_MAX_VALUES = 32
_MIMES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


def read_sensor(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> TxtSensor:
    """Values of a sensor: those that are numbers. Rejected (5205): none of those that the sensor is known by."""
    needed = _NEEDED[topic.name]
    known = {name: value for name in needed if (value := fields.number(name)) is not None}
    if not known:
        raise fields.missing(needed[0])
    others = {
        name: value
        for name, value in fields.values.items()
        if name not in {"ts", "timestamp"} and isinstance(value, int | float) and not isinstance(value, bool)
    }
    if len(others) > _MAX_VALUES or any(len(name) > MAX_ID for name in others):
        raise fields.out_of_bounds("values", f"more than {_MAX_VALUES} values, or a name longer than {MAX_ID}")
    values = {name: value for name in others if (value := fields.number(name)) is not None}
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
