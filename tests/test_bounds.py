"""The bounds of each field: ingest, the bus's models and the consumers agree, for every kind of message; pure.

tests/integration/test_system_bounds.py sends the same messages through the running stack and back out of its API.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Union, get_args, get_origin

import annotated_types
from kaiser_actuator.domain.decode import MODELS as OF_ACTUATOR
from kaiser_actuator.domain.decode import decode as decode_of_actuator
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.schemas.device import AliveDigest
from kaiser_common.contract.schemas.event import Receipt
from kaiser_common.contract.schemas.sensor import Reading, SensorResponse
from kaiser_health.domain.decode import MODELS as OF_HEALTH
from kaiser_health.domain.decode import decode as decode_of_health
from kaiser_ingest.domain.outgoing import to_outgoing
from kaiser_ingest.domain.validate import Accepted, validate
from kaiser_sensor.domain.decode import decode as decode_of_sensor
from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
ESP_ID = "ESP_00000001"
NOW_MS = 1_795_000_000_000
FROM_DEVICES = {Reading, SensorResponse, *OF_HEALTH.values(), *OF_ACTUATOR.values()} - {AliveDigest, Receipt}
OF_INGEST = {
    "kaiser_id",
    "esp_id",
    "ts",
    "clock",
    "device_ts",
    "received_at",
    "replayed",
    "retained",
    "metrics",
    "delivery",
}
"""Fields that ingest fills in itself, from the topic, its clock, or the packet."""


@cache
def accepted() -> list[Accepted]:
    """Everything that ingest lets through of the messages of test_system_bounds."""
    sys.path.insert(0, str(ROOT / "tests" / "integration"))
    try:
        import test_system_bounds
    finally:
        sys.path.pop(0)
    return [
        outcome
        for message in test_system_bounds.messages(ESP_ID, NOW_MS // 1000)
        for outcome in validate(message.topic, message.payload, NOW_MS)
        if isinstance(outcome, Accepted)
    ]


def delivered(number: int, each: Accepted) -> Delivery:
    outgoing = to_outgoing(each, f"id{number}")
    return Delivery(outgoing.subject, f"$JS.ACK.S.c.1.{number}.{number}.1.0", outgoing.body, None)


def test_whatever_ingest_lets_through_each_consumer_reads():
    every = [delivered(number, each) for number, each in enumerate(accepted(), 1)]
    readings = [each for each in every if each.subject.startswith("esp.sensor.data.")]
    of_actuator = [each for each in every if each.subject.startswith("esp.actuator.")]
    of_health = [each for each in every if each.subject.startswith(("esp.system.", "esp.config.", "esp.zone."))]
    responses = [each for each in every if each.subject.startswith("esp.sensor.response.")]
    assert len(readings) + len(of_actuator) + len(of_health) + len(responses) == len(every) > 4000
    assert decode_of_sensor(readings)[1] == []
    assert decode_of_actuator(of_actuator).unreadable == []
    assert decode_of_health(of_health).unreadable == []
    assert [SensorResponse.model_validate_json(each.body).gpio for each in responses]


def limits(model: type[BaseModel]) -> Iterator[tuple[str, int | float | None, int | None]]:
    """Each text, integer and number field: its name, its largest value and its greatest length."""
    for name, field in model.model_fields.items():
        # Of `Word | None` the metadata is that of a member; of a field that is no union, its own.
        members = [(field.annotation, field.metadata)]
        for member in get_args(field.annotation) if get_origin(field.annotation) in (Union, UnionType) else ():
            base, *metadata = get_args(member) if hasattr(member, "__metadata__") else (member, [])
            members.append((base, metadata))
        for kind, metadata in members:
            if kind not in (str, int, float):
                continue
            marks = [mark for each in metadata for mark in getattr(each, "metadata", [each])]
            largest = next((mark.le for mark in marks if isinstance(mark, annotated_types.Le)), None)
            longest = next((mark.max_length for mark in marks if isinstance(mark, annotated_types.MaxLen)), None)
            yield name, largest, longest


def test_every_text_of_a_message_of_a_device_has_a_bound():
    unbounded = {
        f"{model.__name__}.{name}"
        for model in FROM_DEVICES
        for name, _, longest in limits(model)
        if longest is None
        and isinstance(model.model_fields[name].annotation, type)
        and issubclass(model.model_fields[name].annotation, str)
    }
    assert unbounded == set()


def test_each_field_of_each_kind_is_sent_at_its_bound():
    largest: dict[tuple[type, str], float] = defaultdict(lambda: float("-inf"))
    longest: dict[tuple[type, str], int] = defaultdict(int)
    seen: set[tuple[type, str]] = set()
    for each in accepted():
        for name, value in each.message:
            key = (type(each.message), name)
            if isinstance(value, str):
                longest[key] = max(longest[key], len(value))
                seen.add(key)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                largest[key] = max(largest[key], value)
                seen.add(key)
    fields = [
        (model, name, most, length)
        for model in FROM_DEVICES
        for name, most, length in limits(model)
        if name not in OF_INGEST
    ]
    assert {f"{model.__name__}.{name}" for model, name, _, _ in fields if (model, name) not in seen} == set()
    short = {
        f"{model.__name__}.{name}": (longest[model, name], length)
        for model, name, _, length in fields
        if length is not None and longest[model, name] < length
    }
    small = {
        f"{model.__name__}.{name}": (largest[model, name], most)
        for model, name, most, _ in fields
        if most is not None and name != "gpio" and largest[model, name] < most
    }
    assert (short, small) == ({}, {})
