"""Parses MQTT topics into (kind, kaiser_id, esp_id, gpio) and builds them, by the catalogue; ingest's topic filters."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kaiser_common.contract.bounds import WHOLE_DEVICE_GPIO, is_pin
from kaiser_common.contract.catalogue import DOWNLINKS, UPLINKS, Kind
from kaiser_common.contract.errors import Code, Rejected

__all__ = [
    "BROADCAST",
    "BUS_KINDS",
    "DISCOVERED",
    "LEGACY_TEMPLATES",
    "MOCK_PREFIX",
    "NOT_SUBSCRIBED",
    "SIMULATED_PREFIX",
    "TEMPLATES",
    "TXT",
    "Kind",
    "Topic",
    "build",
    "filters",
    "gpio_allowed",
    "is_downlink",
    "is_esp_id",
    "is_kaiser_id",
    "parse",
]

BROADCAST = "broadcast"
"""Stands in place of a kaiser_id and an esp_id where a message is for all."""
MOCK_PREFIX, SIMULATED_PREFIX = "MOCK_", "SIM_"
"""The prefixes of the ids of mock devices, and of devices in a replay."""
TXT = "TXT_"
"""The part behind the prefix in the id of a factory's TXT controller: ESP_TXT_n, MOCK_TXT_n or SIM_TXT_n."""
DISCOVERED = "_"
"""Stands in place of the esp_id of a topic that names no device: the payload does."""


TEMPLATES: Mapping[Kind, str] = MappingProxyType(
    {row.kind: row.topic for row in UPLINKS} | {row.kind: row.topic for row in DOWNLINKS}
)
LEGACY_TEMPLATES: Mapping[str, Kind] = MappingProxyType({older: row.kind for row in UPLINKS for older in row.older})
BUS_KINDS: Mapping[Kind, Kind] = MappingProxyType({row.kind: row.bus_kind for row in UPLINKS if row.bus_kind})
"""The kind on the bus of messages that several topics carry; all others keep theirs."""
NOT_SUBSCRIBED = frozenset(row.kind for row in DOWNLINKS if not row.mocks_read)
"""Kinds that Kaiser sends and does not listen to: no mock reads them."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic taken apart. esp_id is DISCOVERED or BROADCAST where the topic names no device."""

    kind: Kind
    kaiser_id: str
    esp_id: str
    gpio: int | None


def parse(topic: str) -> Topic:
    """Take a topic apart. Rejected: 5201 (esp_id), 5202 (gpio), 5212 (no topic of ours)."""
    levels = topic.split("/")
    tail = tuple(levels[4:])
    kind = _FIXED_TAILS.get(tail)
    gpio_level = None
    if kind is None and len(tail) == _GPIO_TAIL:
        kind, gpio_level = _GPIO_TAILS.get((tail[0], tail[2])), tail[1]
    if kind is None or levels[0] != "kaiser" or levels[2] != "esp":
        return _parse_without_device(topic, levels)
    kaiser_id, esp_id = levels[1], levels[3]
    if _KAISER_ID.match(kaiser_id) is None:
        raise _unknown(topic)
    if _ESP_ID.match(esp_id) is None:
        raise Rejected(Code.INVALID_ESP_ID, f"the topic has the invalid esp_id {esp_id[:64]!r}", "esp_id")
    return Topic(kind, kaiser_id, esp_id, None if gpio_level is None else _gpio(gpio_level, kind))


def build(kind: Kind, kaiser_id: str, esp_id: str = "", gpio: int | None = None) -> str:
    """The topic of a message. ValueError where an id cannot stand in a topic (a mistake of the caller)."""
    template = TEMPLATES[kind]
    if "{k}" in template and _KAISER_ID.match(kaiser_id) is None:
        raise ValueError(f"kaiser_id {kaiser_id!r} of {kind.value}")
    if "{esp}" in template and _ESP_ID.match(esp_id) is None:
        raise ValueError(f"esp_id {esp_id!r} of {kind.value}")
    if "{gpio}" in template and (gpio is None or not gpio_allowed(kind, gpio)):
        raise ValueError(f"gpio {gpio!r} of {kind.value}")
    return template.format(k=kaiser_id, esp=esp_id, gpio=gpio)


def filters(kaiser_id: str = "+") -> tuple[str, ...]:
    """The topic filters that ingest subscribes; no two match the same topic (MQTT 5 would deliver it twice).

    A template that another one's filter covers has none of its own: actuator/+/response matches
    actuator/emergency/response.
    """
    templates = [
        *(template for kind, template in TEMPLATES.items() if kind not in NOT_SUBSCRIBED),
        *LEGACY_TEMPLATES,
    ]
    with_gpio = [template for template in templates if "{gpio}" in template]
    covered = {one for one in templates for wide in with_gpio if one != wide and _covers(wide, one)}
    return tuple(template.format(k=kaiser_id, esp="+", gpio="+") for template in templates if template not in covered)


def is_downlink(kind: Kind) -> bool:
    """True for what Kaiser sends to devices."""
    return kind.value.startswith("downlink.")


def is_esp_id(text: str) -> bool:
    """True if the text has the form of an esp_id."""
    return _ESP_ID.match(text) is not None


def is_kaiser_id(text: str) -> bool:
    """True if the text has the form of a kaiser_id."""
    return _KAISER_ID.match(text) is not None


def gpio_allowed(kind: Kind, gpio: int) -> bool:
    """True for a pin, and for the whole device in alerts."""
    return is_pin(gpio) or (gpio == WHOLE_DEVICE_GPIO and kind is Kind.ACTUATOR_ALERT)


_KAISER_ID = re.compile(r"[A-Za-z0-9_]{1,32}\Z")
_ESP_ID = re.compile(r"(?:ESP|MOCK|SIM|TEST)_[A-Z0-9_]{1,27}\Z")
_GPIO = re.compile(r"(?:0|[1-9][0-9]{0,2})\Z")


_OF_DEVICES = {
    template.removeprefix("kaiser/{k}/esp/{esp}/"): kind
    for template, kind in [*((template, kind) for kind, template in TEMPLATES.items()), *LEGACY_TEMPLATES.items()]
    if template.startswith("kaiser/{k}/esp/{esp}/")
}
_FIXED_TAILS = {tuple(tail.split("/")): kind for tail, kind in _OF_DEVICES.items() if "{gpio}" not in tail}
"""The levels after the esp_id in topics without a gpio; these are tried first: `emergency` is no gpio."""
_GPIO_TAILS = {(tail.split("/")[0], tail.split("/")[2]): kind for tail, kind in _OF_DEVICES.items() if "{gpio}" in tail}
_GPIO_TAIL = 3
_SITE_SHAPES = {
    tuple(template.split("/")[2:]): kind for kind, template in TEMPLATES.items() if template.count("/") == 3
}


def _covers(wide: str, template: str) -> bool:
    """Whether the filter of a template with a gpio matches the topics of another template."""
    levels, others = wide.split("/"), template.split("/")
    return len(levels) == len(others) and all(
        level in (other, "{gpio}") for level, other in zip(levels, others, strict=True)
    )


def _parse_without_device(topic: str, levels: list[str]) -> Topic:
    """The topics that name no device."""
    if topic == TEMPLATES[Kind.BROADCAST_EMERGENCY]:
        return Topic(Kind.BROADCAST_EMERGENCY, BROADCAST, BROADCAST, None)
    kind = _SITE_SHAPES.get(tuple(levels[2:]))
    if kind is None or levels[0] != "kaiser" or _KAISER_ID.match(levels[1]) is None:
        raise _unknown(topic)
    return Topic(kind, levels[1], DISCOVERED, None)


def _unknown(topic: str) -> Rejected:
    return Rejected(Code.UNKNOWN_TOPIC, f"topic {topic[:128]!r} is unknown: docs/devices.md lists the topics")


def _gpio(text: str, kind: Kind) -> int:
    if _GPIO.match(text) is None or not gpio_allowed(kind, gpio := int(text)):
        raise Rejected(Code.INVALID_GPIO, f"the topic has the invalid gpio {text[:16]!r}", "gpio")
    return gpio
