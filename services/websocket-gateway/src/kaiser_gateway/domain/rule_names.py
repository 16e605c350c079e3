"""The devices, sensors and actuators that a rule names, and whether they are there; pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from kaiser_common.contract.schemas.api.rules import (
    Action,
    ActuatorAction,
    AlarmCondition,
    Compound,
    Condition,
    OfSensor,
    RuleSettings,
)
from kaiser_common.contract.schemas.api.rules import Sequence as Steps
from kaiser_common.contract.schemas.sensor import type_of


@dataclass(frozen=True, slots=True)
class Named:
    """A device that a rule names, and where: field such as `conditions.0`. sensor: of a condition about a sensor.
    commanded: the gpio of a command other than OFF, which an actuator takes only once it is set up."""

    field: str
    esp_id: str
    sensor: OfSensor | None = None
    commanded: int | None = None


@dataclass(frozen=True, slots=True)
class KnownSensor:
    """A sensor that has sent: its gpio, its type (no alias) and its address, "" for none."""

    gpio: int
    sensor_type: str
    address: str = ""


def named(settings: RuleSettings) -> list[Named]:
    """Everything that a rule names, in the order of its fields."""
    of_conditions = [one for place, each in enumerate(settings.conditions) for one in _of(each, f"conditions.{place}")]
    of_actions = [one for place, each in enumerate(settings.actions) for one in _in(each, f"actions.{place}")]
    return of_conditions + of_actions


def _of(condition: Condition, field: str) -> Iterator[Named]:
    if isinstance(condition, Compound):
        for place, each in enumerate(condition.conditions):
            yield from _of(each, f"{field}.conditions.{place}")
    elif isinstance(condition, OfSensor):
        yield Named(field, condition.esp_id, condition)
    elif isinstance(condition, AlarmCondition) and condition.esp_id is not None:
        yield Named(field, condition.esp_id)


def _in(action: Action, field: str) -> Iterator[Named]:
    if isinstance(action, Steps):
        for place, each in enumerate(action.actions):
            yield from _in(each, f"{field}.actions.{place}")
    elif isinstance(action, ActuatorAction):
        yield Named(field, action.esp_id, commanded=None if action.command == "OFF" else action.gpio)


def unknown_device(esp_id: str, known: Sequence[str]) -> str:
    """The words for a device that is not registered, with the nearest of those that are."""
    near = get_close_matches(esp_id, known, n=1, cutoff=0.6)
    return f"{esp_id} is not registered" + (f"; did you mean {near[0]}?" if near else "")


def not_set_up(esp_id: str, gpio: int) -> str:
    """The words for an actuator that no command but OFF would reach."""
    return f"no actuator is set up on gpio {gpio} of {esp_id}: set it up first, or disable the rule until then"


def ambiguous(one: Named, sensors: Mapping[str, Iterable[KnownSensor]]) -> str | None:
    """The words for a condition that several sensors fit, so that nobody knows which one it is about; None for none or
    one. sensors: by device."""
    sensor = one.sensor
    if sensor is None:
        return None
    wanted = None if sensor.sensor_type is None else type_of(sensor.sensor_type)
    fit = {
        (type_of(each.sensor_type), each.address)
        for each in sensors.get(one.esp_id, ())
        if each.gpio == sensor.gpio
        and wanted in (None, type_of(each.sensor_type))
        and sensor.address in (None, each.address)
    }
    if len(fit) < 2:
        return None
    types = sorted({kind for kind, _ in fit})
    addresses = sorted({address for _, address in fit if address})
    choice = f"sensor_type {' or '.join(types)}" if len(types) > 1 else f"address {' or '.join(addresses)}"
    return f"gpio {sensor.gpio} of {one.esp_id} has {len(fit)} sensors: give {choice}"
