"""Decodes the states of modules and AGVs, and instant actions, in one step.

They are most of what machines send. msgspec decodes a well-formed object in one step. If msgspec refuses it, or a field
needs more than a check of its type, `machines` reads it field by field, decides whether it is acceptable, and names the
fault. A test checks that both give the same result.
"""

from collections.abc import Iterable
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from kaiser_factory_dialect.actions import (
    ACTION_WORDS,
    read_action_word,
    read_battery,
    read_errors,
    read_order_id,
    read_update_id,
)
from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.fields import (
    MAX_ID,
    MAX_LIST,
    MAX_SAFE,
    MAX_TEXT,
    Fields,
    is_within_bounds,
    load_time_of,
    time_of,
)
from kaiser_factory_dialect.messages import ActionState, Battery, InstantAction, Load, MachineState
from kaiser_factory_dialect.topics import FactoryTopic

_Text = Annotated[str, Meta(max_length=MAX_TEXT)] | None
_Id = Annotated[str, Meta(max_length=MAX_ID)] | None
_Number = Annotated[int, Meta(ge=-MAX_SAFE, le=MAX_SAFE)] | Annotated[float, Meta(ge=-MAX_SAFE, le=MAX_SAFE)] | None
_NeededId = Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
_NeededText = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
_Absent: TypeAlias = None
"""A field that only a vehicle of VDA 5050 has."""


class ActionFields(Struct, rename="camel", gc=False):
    """An action under the factory's names, with a command."""

    id: _NeededId
    command: _NeededText
    state: _NeededText
    result: _Text = None
    result_description: _Absent = None
    action_result: _Absent = None
    timestamp: Any = None
    metadata: dict[str, Any] | None = None


class LoadFields(Struct, rename="camel", gc=False):
    """A load. load_type UNSET: there is no such field."""

    load_type: _Text | UnsetType = UNSET
    type: _Text = None
    load_id: _Id = None
    load_position: _Id = None
    load_timestamp: Any = None


class BatteryFields(Struct, rename="camel", gc=False):
    """A battery under the factory's names."""

    percentage: _Number = None
    current_voltage: _Number = None
    charging: bool | None = None


class MetadataFields(Struct, rename="camel", gc=False):
    """The fields of a state's metadata that are read."""

    opcua_state: _Text = None


_Actions = Annotated[list[ActionFields], Meta(max_length=MAX_LIST)] | None
_Loads = Annotated[list[LoadFields], Meta(max_length=MAX_LIST)] | None


class StateFields(Struct, rename="camel", gc=False):
    """A state; times and numbers that have tolerances are as they came."""

    serial_number: str
    timestamp: Any = None
    header_id: Any = None
    action_state: ActionFields | None = None
    action_states: _Actions = None
    instant_action_states: _Absent = None
    loads: _Loads = None
    load: _Loads = None
    paused: bool | None = None
    operating_mode: _Text = None
    metadata: MetadataFields | None = None
    last_node_id: _Id = None
    last_node_sequence_id: Any = None
    driving: bool | None = None
    waiting_for_load_handling: bool | None = None
    battery_state: BatteryFields | None = None
    power_supply: _Absent = None
    agv_position: _Absent = None
    mobile_robot_position: _Absent = None
    safety_state: _Absent = None


class InstantFields(Struct, rename="camel", gc=False):
    """One instant action."""

    action_id: _NeededId
    action_type: _NeededText
    action_parameters: _Absent = None
    metadata: dict[str, Any] | None = None


class InstantsFields(Struct, rename="camel", gc=False):
    """A message of instant actions."""

    actions: Annotated[list[InstantFields], Meta(min_length=1, max_length=MAX_LIST)]


def quick_state(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> MachineState | None:
    """A state of this factory, whose serial is the topic's. None: read it field by field."""
    try:
        found = msgspec.convert(fields.values, StateFields)
    except msgspec.ValidationError:
        return None
    current = found.action_state
    listed = found.action_states or ()
    if found.serial_number != topic.serial or not _are_small(listed):
        return None
    if current is None:
        if found.last_node_id is None and topic.kind is FactoryKind.AGV_STATE:
            return None
    elif current.metadata is not None and not is_within_bounds(current.metadata):
        return None
    odd = fields.odd
    actions = tuple([_action(one, odd) for one in listed])
    action = _action(current, odd) if current is not None else None
    if current is None:
        odd.append("action_missing")
    errors = fields.values.get("errors")
    return MachineState(
        **common,
        source=topic.source,
        device_ts=time_of(found.timestamp, odd),
        header_id=_whole(fields, "headerId", found.header_id, MAX_SAFE),
        order_id=read_order_id(fields, action.id if action is not None else None),
        order_update_id=read_update_id(fields),
        action=action,
        actions=actions,
        errors=() if errors is None or errors == [] else read_errors(fields),
        loads=_loads(found, odd),
        paused=found.paused,
        operating_mode="TEACHIN" if found.operating_mode == "TEACH_IN" else found.operating_mode,
        opcua=found.metadata.opcua_state if found.metadata is not None else None,
        node_id=found.last_node_id or None,
        node_sequence_id=_whole(fields, "lastNodeSequenceId", found.last_node_sequence_id),
        driving=found.driving,
        waiting_for_load=found.waiting_for_load_handling,
        battery=_battery(found.battery_state, fields),
    )


def _are_small(actions: Iterable[ActionFields | InstantFields]) -> bool:
    return all(one.metadata is None or is_within_bounds(one.metadata) for one in actions)


def _action(found: ActionFields, odd: list[str]) -> ActionState:
    return ActionState(
        found.id,
        found.command,
        ACTION_WORDS.get(found.state) or read_action_word(found.state, odd),
        found.result or None,
        None if found.timestamp is None else time_of(found.timestamp, odd),
        found.metadata or {},
    )


def _whole(fields: Fields, name: str, value: Any, limit: int = 0) -> int | None:
    """A whole number; whatever is not plainly one is read by `Fields`."""
    if value is None or (type(value) is int and abs(value) <= _SMALL):
        return value
    return fields.integer(name, limit) if limit else fields.integer(name)


_SMALL = 2**31 - 1


def _loads(state: StateFields, odd: list[str]) -> tuple[Load, ...] | None:
    if (found := state.loads) is None:
        if (found := state.load) is None:
            return None
        odd.append("load_for_loads")
    loads: list[Load] = []
    for one in found:
        named = one.load_type is not UNSET
        if not (kind := (one.load_type if one.load_type is not UNSET else None) or one.type):
            odd.append("load_without_type")
            continue
        if not named:
            odd.append("load_under_type")
        if kind == "UNKNOWN":
            odd.append("load_unknown")
        if one.load_id == "":
            odd.append("load_id_empty")
        loads.append(Load(kind, one.load_id or None, one.load_position or None, load_time_of(one.load_timestamp, odd)))
    return tuple(loads)


def _battery(found: BatteryFields | None, fields: Fields) -> Battery | None:
    if found is None:
        return None
    if (raw := found.percentage) is None or found.current_voltage is None or not 0 <= raw <= 100:
        return read_battery(fields)
    return Battery(raw, raw, found.current_voltage, found.charging)


def quick_instants(fields: Fields) -> tuple[InstantAction, ...] | None:
    """The instant actions of a message. None: read it field by field."""
    try:
        found = msgspec.convert(fields.values, InstantsFields)
    except msgspec.ValidationError:
        return None
    if not _are_small(found.actions):
        return None
    return tuple([InstantAction(one.action_id, one.action_type, one.metadata or {}) for one in found.actions])
