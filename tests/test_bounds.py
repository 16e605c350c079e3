"""The bounds of each field: ingest, the bus's models and the consumers agree, for every kind of message; pure.

tests/integration/test_system_bounds.py sends the same messages through the running stack and back out of its API.
"""

import importlib
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import annotated_types
import pytest
from kaiser_actuator.domain.decode import MODELS as OF_ACTUATOR
from kaiser_actuator.domain.decode import decode as decode_of_actuator
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.bounds import MAX_GPIO, WHOLE_DEVICE_GPIO
from kaiser_common.contract.methods.whole import METHODS
from kaiser_common.contract.schemas.actuator import ActuatorAlert
from kaiser_common.contract.schemas.device import AliveDigest
from kaiser_common.contract.schemas.event import Receipt
from kaiser_common.contract.schemas.sensor import Reading, SensorResponse
from kaiser_health.domain.decode import MODELS as OF_HEALTH
from kaiser_health.domain.decode import decode as decode_of_health
from kaiser_ingest.domain.outgoing import to_outgoing
from kaiser_ingest.domain.validate import Accepted, validate
from kaiser_sensor.domain.decode import decode as decode_of_sensor
from pydantic import BaseModel, ValidationError
from sqlalchemy import Integer, SmallInteger

ROOT = Path(__file__).parents[1]
ESP_ID = "ESP_00000001"
NOW_MS = 1_795_000_000_000
FROM_DEVICES = {Reading, SensorResponse, *OF_HEALTH.values(), *OF_ACTUATOR.values()} - {AliveDigest, Receipt}
GPIO_LISTS = {"assigned_gpios", "interlocks", "silent"}
SERVICES = ("actuator", "alarm", "sensor")
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


def properties(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every named field of a JSON Schema, at any depth."""
    for value in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        if isinstance(value, dict | list):
            yield from properties(value)
    if isinstance(schema, dict) and isinstance(schema.get("properties"), dict):
        yield from schema["properties"].items()


def ranges(field: dict[str, Any]) -> set[tuple[Any, Any]]:
    """The smallest and the largest number that a field takes, of each of its forms."""
    forms = [field.get("items", field), *field.get("anyOf", ())]
    return {(form.get("minimum"), form.get("maximum")) for form in forms if form.get("type") == "integer"}


def test_every_request_takes_a_gpio_that_is_a_pin_and_no_other():
    """REST, rules, limits, mocks and configurations ask the services by these models."""
    found = {
        f"{row.service}.{row.name}: {name}": ranges(field)
        for row in METHODS
        for name, field in properties(row.request.model_json_schema(by_alias=False))
        if name == "gpio" or (name in GPIO_LISTS and ranges(field))
    }
    assert len(found) > 30
    assert {name: bounds_ for name, bounds_ in found.items() if bounds_ != {(0, MAX_GPIO)}} == {}


@pytest.mark.parametrize("model", sorted(FROM_DEVICES, key=lambda each: each.__name__))
def test_only_an_alert_may_be_of_the_whole_device(model: type[BaseModel]):
    if "gpio" not in model.model_fields:
        return
    [field] = [field for name, field in properties(model.model_json_schema()) if name == "gpio"][-1:]
    highest = WHOLE_DEVICE_GPIO if model is ActuatorAlert else MAX_GPIO
    assert ranges(field) == {(0, highest)}


@pytest.mark.parametrize(("gpio", "is_taken"), [(0, True), (48, True), (49, False), (254, False), (255, True)])
def test_between_the_pins_and_the_whole_device_there_is_nothing(gpio: int, is_taken: bool):
    alert = {"kaiser_id": "god", "esp_id": ESP_ID, "ts": 0, "received_at": 0, "alert_type": "other", "gpio": gpio}
    outcome = validate(f"kaiser/god/esp/{ESP_ID}/actuator/{gpio}/alert", b'{"alert_type":"other"}', NOW_MS)[0]
    assert isinstance(outcome, Accepted) is is_taken
    try:
        ActuatorAlert.model_validate(alert)
    except ValidationError:
        assert not is_taken
    else:
        assert is_taken


def test_every_table_holds_every_gpio():
    columns = [
        column
        for service in SERVICES
        for table in importlib.import_module(f"kaiser_{service}.store.tables").metadata.tables.values()
        for column in table.columns
        if column.name == "gpio"
    ]
    assert len(columns) > 10
    assert {type(column.type) for column in columns} == {SmallInteger, Integer}, "int2 and int4 hold 255"


def test_the_bounds_of_a_gpio_are_written_once():
    again = re.compile(r"(le=|<=? |high=|, )(48|49|255)\b")
    sources = [path for root in ("libs/common", "services", "tools") for path in (ROOT / root).glob("**/src/**/*.py")]
    assert len(sources) > 300
    found = {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sources
        if path.name != "bounds.py"
        for line in path.read_text().splitlines()
        if again.search(line) and re.search(r"gpio|pin\b", line, re.IGNORECASE)
    }
    assert found == set()


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
