"""Reads what machine states carry (order ids, actions, errors, loads, battery, position), and tolerates known oddities.

Each tolerated oddity was found in recordings of the factory; it is counted by name and never makes a message be
rejected. Source: docs/factory-dialect.md, "Tolerance".
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from kaiser_common.contract.bounds import INT4_MAX

from kaiser_factory_dialect.fields import MAX_ID, MAX_TEXT, Fields, load_time_of
from kaiser_factory_dialect.messages import (
    FINAL_ACTIONS,
    ActionState,
    ActionWord,
    Battery,
    ErrorLevel,
    Load,
    MachineError,
    Position,
)

ACTION_WORDS: dict[str, ActionWord] = {
    "WAITING": "WAITING",
    "INITIALIZING": "INITIALIZING",
    "RUNNING": "RUNNING",
    "PAUSED": "PAUSED",
    "FINISHED": "FINISHED",
    "FAILED": "FAILED",
}
_OTHER_ACTION_WORDS: dict[str, ActionWord] = {
    "WAITIING": "WAITING",
    "PENDING": "WAITING",
    "ENQUEUED": "WAITING",
    "IN_PROGRESS": "RUNNING",
    "RETRIABLE": "PAUSED",
}
_FATAL = frozenset({"FATAL", "CRITICAL"})
_LEVELS = ("WARNING", "FATAL")


def read_order_id(fields: Fields, action_id: str | None) -> str | None:
    """An order's id. None: 0, "0", "", null, missing, or the id of the action itself (factsheetRequest, INPUT_RGB)."""
    value = fields.values.get("orderId")
    if type(value) is str and 1 < len(value) <= MAX_ID and value != action_id:
        return value
    if value in (0, "0") and not isinstance(value, bool):
        fields.odd.append("order_id_zero")
        return None
    found = fields.identity("orderId")
    if found is None:
        fields.odd.append("order_id_empty" if "orderId" in fields.values else "order_id_missing")
        return None
    if found == action_id:
        fields.odd.append("order_id_of_action")
        return None
    return found


def read_update_id(fields: Fields) -> int | None:
    """The number of an order's update; "0" is 0, -1 stays, missing is None."""
    value = fields.values.get("orderUpdateId")
    if type(value) is int and 0 <= value <= INT4_MAX:
        return value
    if isinstance(value, str) and len(value) <= 10 and value.isascii() and value.isdecimal():
        fields.odd.append("update_id_text")
        return int(value)
    if (found := fields.integer("orderUpdateId")) is None:
        fields.odd.append("update_id_missing")
    elif found < 0:
        fields.odd.append("update_id_negative")
    return found


def read_action_word(value: str | None, odd: list[str]) -> ActionWord:
    """The state of an action. A word that is not known is UNKNOWN, which is not final."""
    if value is not None and (word := ACTION_WORDS.get(value)) is not None:
        return word
    odd.append("action_state_odd")
    upper = (value or "").upper()
    return ACTION_WORDS.get(upper) or _OTHER_ACTION_WORDS.get(upper) or "UNKNOWN"


def read_action(fields: Fields) -> ActionState | None:
    """One action. None: an empty object. The names of VDA 5050 (actionId, actionType, actionStatus) are read too."""
    if not fields.values:
        fields.odd.append("action_empty")
        return None
    name = "id" if fields.values.get("id") is not None else "actionId"
    if fields.values.get(name) is None:
        raise fields.missing("id")
    command = fields.named("command", "actionType")
    if command is None:
        fields.odd.append("action_without_command")
    state = fields.named("state", "actionStatus")
    result = fields.named("result", "resultDescription", "actionResult")
    if name == "actionId" or any(
        value is not None and not fields.values.get(own)
        for own, value in (("command", command), ("state", state), ("result", result))
    ):
        fields.odd.append("vda_names")
    return ActionState(
        id=fields.needed_text(name, 128),
        command=command,
        state=read_action_word(state, fields.odd),
        result=result,
        device_ts=fields.time("timestamp"),
        metadata=fields.free("metadata"),
    )


def read_parameters(fields: Fields) -> dict[str, Any]:
    """The metadata of an action; VDA 5050 lists them as `actionParameters` of key and value."""
    if fields.values.get("actionParameters") is None:
        return fields.free("metadata")
    found = {one.needed_text("key"): one.values.get("value") for one in fields.objects("actionParameters")}
    return Fields({"actionParameters": found}, fields.odd, fields).free("actionParameters")


def current_of(actions: Iterable[ActionState]) -> ActionState | None:
    """The action of a VDA 5050 vehicle, which names none: the first that goes on, else the last final one."""
    found = tuple(actions)
    for one in found:
        if one.state in {"INITIALIZING", "RUNNING", "PAUSED"}:
            return one
    final = [one for one in found if one.state in FINAL_ACTIONS]
    return final[-1] if final else next(iter(found), None)


def read_errors(fields: Fields) -> tuple[MachineError, ...]:
    """The errors of a state; {} among them is dropped."""
    found: list[MachineError] = []
    for one in fields.objects("errors"):
        if not one.values:
            one.odd.append("error_empty")
            continue
        found.append(
            MachineError(
                type=one.text("errorType") or "UNKNOWN",
                level=_level(one),
                message=one.named("errorMessage", "errorDescription"),
                references=_references(one),
            )
        )
    return tuple(found)


def _level(fields: Fields) -> ErrorLevel:
    value = fields.text("errorLevel")
    if value not in _LEVELS:
        fields.odd.append("error_level_odd")
    return "FATAL" if value is not None and value.upper() in _FATAL else "WARNING"


def _references(fields: Fields) -> dict[str, str | None]:
    """One object of texts, from `[{referenceKey, referenceValue}]` or `[{topic: …}, {orderId: …}]`."""
    found: dict[str, str | None] = {}
    for one in fields.objects("errorReferences"):
        if "referenceKey" in one.values:
            found[one.needed_text("referenceKey")] = _as_text(one, "referenceValue")
        else:
            fields.odd.append("references_by_name")
            for name in one.values:
                found[one_key(one, name)] = _as_text(one, name)
    return found


def one_key(fields: Fields, name: str) -> str:
    """A key that is kept. Rejected (5207): it is longer than a text may be."""
    if len(name) > MAX_TEXT:
        raise fields.out_of_bounds(name[:16], f"longer than {MAX_TEXT} characters")
    return name


def _as_text(fields: Fields, name: str) -> str | None:
    value: Any = fields.values.get(name)
    if isinstance(value, str):
        return fields.text(name)
    fields.odd.append("reference_no_text")
    if value is None:
        return None
    text = msgspec.json.encode(value).decode()
    if len(text) > MAX_TEXT:
        raise fields.out_of_bounds(name, f"longer than {MAX_TEXT} characters")
    return text


def read_loads(fields: Fields, untyped: bool = False) -> tuple[Load, ...] | None:
    """The workpieces that a state lists under `loads` or `load`; a bay without a type is empty. None: no list.

    untyped: a VDA 5050 vehicle lists what it carries and may not know the type, which then is UNKNOWN.
    """
    name = "load" if fields.values.get("loads") is None else "loads"
    if fields.values.get(name) is None:
        return None
    if name == "load":
        fields.odd.append("load_for_loads")
    found: list[Load] = []
    for one in fields.objects(name):
        if not (kind := one.named("loadType", "type") or ("UNKNOWN" if untyped else None)):
            one.odd.append("load_without_type")
            continue
        if "loadType" not in one.values and not untyped:
            one.odd.append("load_under_type")
        if kind == "UNKNOWN" and not untyped:
            one.odd.append("load_unknown")
        if one.values.get("loadId") == "":
            one.odd.append("load_id_empty")
        found.append(
            Load(
                type=kind,
                id=one.identity("loadId"),
                position=one.identity("loadPosition"),
                since=load_time_of(one.values.get("loadTimestamp"), one.odd),
            )
        )
    return tuple(found)


def read_battery(fields: Fields) -> Battery | None:
    """The battery; None for {} and missing. A percentage beyond 0 to 100 is clamped and kept as percent_raw."""
    found = fields.object("batteryState") or fields.object("powerSupply")
    if found is None:
        return None
    if not found.values:
        fields.odd.append("battery_empty")
        return None
    raw = next((value for name in _CHARGES if (value := found.number(name)) is not None), None)
    percent = None if raw is None else min(max(raw, 0), 100)
    if percent != raw:
        fields.odd.append("battery_percent_clamped")
    voltage = next((value for name in _VOLTAGES if (value := found.number(name)) is not None), None)
    return Battery(percent, raw, voltage, found.boolean("charging"))


_CHARGES = ("percentage", "batteryCharge", "stateOfCharge")
_VOLTAGES = ("currentVoltage", "batteryVoltage")


def read_position(fields: Fields) -> Position | None:
    """Where a VDA 5050 vehicle is; None where it does not say."""
    found = fields.object("agvPosition") or fields.object("mobileRobotPosition")
    if found is None or not found.values:
        return None
    return Position(found.number("x"), found.number("y"), found.number("theta"), found.text("mapId"))
