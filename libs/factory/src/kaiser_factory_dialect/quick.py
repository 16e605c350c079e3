"""Decodes the CCU's two longest lists, steps of orders and paired machines, in one step.

They are most of what the CCU sends. msgspec decodes a well-formed object in one step. If msgspec refuses it, `ccu`
reads it field by field, decides whether it is acceptable, and names the fault. A test checks that both give the same
result.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from kaiser_factory_dialect.fields import MAX_ID, MAX_LIST, MAX_SAFE, MAX_TEXT

_Text = Annotated[str, Meta(max_length=MAX_TEXT)] | None
_Id = Annotated[str, Meta(max_length=MAX_ID)] | None
_Number = Annotated[int, Meta(ge=-MAX_SAFE, le=MAX_SAFE)] | None


class StepFields(Struct, rename="camel", gc=False):
    """The fields of a step, times as they came."""

    id: Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
    type: _Text = None
    state: _Text = None
    status: _Text = None
    command: _Text = None
    module_type: _Text = None
    source: _Text = None
    target: _Text = None
    serial_number: _Id = None
    started_at: Any = None
    stopped_at: Any = None
    dependent_action_id: _Id = None


class PairedFields(Struct, rename="camel", gc=False):
    """The fields of a paired machine, times as they came, numbers that are whole."""

    serial_number: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
    sub_type: _Text = None
    available: _Text = None
    connected: bool | None = None
    assigned: bool | None = None
    paired_since: Any = None
    last_seen: Any = None
    ip: _Text = None
    version: _Text = None
    last_node_id: _Id = None
    last_module_serial_number: _Id = None
    last_load_position: _Id = None
    battery_percentage: _Number = None
    battery_voltage: Annotated[float, Meta(ge=-MAX_SAFE, le=MAX_SAFE)] | None = None
    charging: bool | None = None
    production_duration: _Number = None
    has_calibration: bool | None = None


class PairingFields(Struct, gc=False):
    """The lists of a pairing."""

    modules: Annotated[list[PairedFields], Meta(max_length=MAX_LIST)]
    transports: Annotated[list[PairedFields], Meta(max_length=MAX_LIST)] | None = None


_NO_SERIAL = "NodeRed"


def pairing_fields(values: Mapping[str, Any]) -> tuple[list[PairedFields], list[PairedFields]] | None:
    """The modules and the transports of a pairing; None: read it field by field."""
    try:
        found = msgspec.convert(values, PairingFields)
    except msgspec.ValidationError:
        return None
    transports = found.transports or []
    return (found.modules, transports) if all(map(_has_serial, (*found.modules, *transports))) else None


def _has_serial(found: PairedFields) -> bool:
    return found.serial_number != _NO_SERIAL and not found.serial_number.endswith("\n")


def step_fields(values: Mapping[str, Any]) -> StepFields | None:
    """The fields of a step; None: read it field by field."""
    try:
        return msgspec.convert(values, StepFields)
    except msgspec.ValidationError:
        return None


_Steps = Annotated[list[StepFields], Meta(max_length=MAX_LIST)]


def steps_fields(values: Any) -> list[StepFields] | None:
    """The steps of an order; None: read them one by one."""
    try:
        return msgspec.convert(values, _Steps)
    except msgspec.ValidationError:
        return None


def paired_fields(values: Mapping[str, Any]) -> PairedFields | None:
    """The fields of a paired machine; None: read it field by field."""
    try:
        found = msgspec.convert(values, PairedFields)
    except msgspec.ValidationError:
        return None
    return found if _has_serial(found) else None
