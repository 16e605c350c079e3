"""Decodes events from the bus into findings about conditions; unreadable events are returned separately; pure."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.catalogue import EVENT_MODELS
from kaiser_common.contract.pack import NotAPack
from pydantic import ValidationError

from kaiser_alarm.domain import conditions
from kaiser_alarm.domain.board import Found, at_time
from kaiser_alarm.domain.life import Finding
from kaiser_alarm.domain.readings import Watch

_MEANING: Mapping[str, Callable[[Any], Iterator[Finding]]] = MappingProxyType(
    {
        "system_event": conditions.of_system_event,
        "actuator_response": conditions.of_response,
        "actuator_alert": conditions.of_alert,
        "config_response": conditions.of_config,
        "logic_execution": conditions.of_execution,
    }
)
FILTERS = ("event.sensor_data.>", *(f"event.{name}.*" for name in _MEANING))
"""The events that conditions are read from."""


def findings_of(
    batch: Sequence[Delivery], watch: Watch, watched: Collection[str]
) -> tuple[list[Found], list[tuple[Delivery, str]]]:
    """The findings of events, in order, at the time when the bus stored them; and the unreadable events, of a pack the
    lines."""
    found: list[Found] = []
    unreadable: list[tuple[Delivery, str]] = []
    raised: set[str] = set()
    for delivery in batch:
        at = delivery.timestamp_ns // 1_000_000
        parts = [delivery]
        while parts:
            part = parts.pop()
            try:
                meant = list(_findings(part, at, watch, watched, raised))
            except (ValidationError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                lines = _lines_of(part)
                parts += reversed(lines)
                if not lines:
                    unreadable.append((part, type(error).__name__))
            else:
                found += [(at_time(finding, at), delivery.origin) for finding in meant]
    return found, unreadable


def _lines_of(delivery: Delivery) -> list[Delivery]:
    """The lines of a pack, each as a delivery; none where there is one only, or more than a pack may have."""
    try:
        lines = delivery.lines() if delivery.count > 1 else []
    except NotAPack:
        return []
    return [delivery.line(number, line) for number, line in enumerate(lines)]


def _findings(
    delivery: Delivery, at: int, watch: Watch, watched: Collection[str], raised: set[str]
) -> Iterator[Finding]:
    name = delivery.subject.split(".", 2)[1]
    if name == "sensor_data":
        torn = delivery.first_line is not None
        yield from watch.findings(delivery.body, at, watched, raised, always=torn)
        return
    yield from _MEANING[name](EVENT_MODELS[name].model_validate_json(delivery.body))
