"""From events of the bus to what they say about conditions, pure; what cannot be read is returned apart."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.catalogue import EVENT_MODELS
from pydantic import ValidationError

from kaiser_alarm.domain import conditions
from kaiser_alarm.domain.board import Found, at_time
from kaiser_alarm.domain.life import Finding
from kaiser_alarm.domain.readings import Watch

_MEANING: Mapping[str, Callable[[Any], Iterator[Finding]]] = MappingProxyType(
    {
        "system_event": conditions.of_system_event,
        "esp_health": conditions.of_health,
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
    """The findings of events, in order, at the time when the bus stored them; and the unreadable events."""
    found: list[Found] = []
    unreadable: list[tuple[Delivery, str]] = []
    for delivery in batch:
        at = delivery.timestamp_ns // 1_000_000
        try:
            meant = list(_findings(delivery, at, watch, watched))
        except (ValidationError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            unreadable.append((delivery, type(error).__name__))
            continue
        found += [(at_time(finding, at), delivery.origin) for finding in meant]
    return found, unreadable


def _findings(delivery: Delivery, at: int, watch: Watch, watched: Collection[str]) -> Iterator[Finding]:
    name = delivery.subject.split(".", 2)[1]
    if name == "sensor_data":
        yield from watch.findings(delivery.body, at, watched)
        return
    yield from _MEANING[name](EVENT_MODELS[name].model_validate_json(delivery.body))
