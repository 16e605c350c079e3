"""Reads fields of a device's JSON object: required ones, without which the message means nothing, and optional ones.

A required field that is missing or wrong raises Rejected with its code. An optional field that makes no sense is left
out and its name is added to `odd`; the message is accepted. A field that is null counts as absent. The functions here
never look at unknown fields.
"""

from collections.abc import Mapping
from math import isfinite
from sys import float_info
from typing import Any, NamedTuple

from kaiser_common.contract.bounds import (
    MAX_CORRELATION_ID,
    MAX_DEPTH,
    MAX_DEVICE_TIME_MS,
    MAX_EXACT,
    MAX_MESSAGE,
    MAX_WORD,
)
from kaiser_common.contract.errors import Code, Rejected
from kaiser_common.contract.schemas import Clock

Fields = Mapping[str, Any]
Odd = list[str]
"""The names of the fields that were left out, cut or replaced; each is counted."""

MILLISECONDS_FROM = 100_000_000_000
"""A ts from here on is in ms, below it in s."""
BELIEVED_FROM_MS = 1_577_836_800_000
"""2020-01-01: a device that says an earlier time has no clock yet, or counts from its start."""
MAX_AHEAD_MS = 300_000
_INTEGER_LIMIT = 2**63
_DOUBLE_MAX = float_info.max
_MARK = "…"


class Time(NamedTuple):
    """The time of a message in ms. device_ts: the device's own where the receive time stands in for it.

    ahead: it was not believed because it lies in the future.
    """

    ts: int
    clock: Clock
    device_ts: int | None = None
    ahead: bool = False


def present(fields: Fields, *names: str) -> Any:
    """The value of the first of these names that is there. Rejected 5205 if none is."""
    for name in names:
        value = fields.get(name)
        if value is not None:
            return value
    raise Rejected(Code.MISSING_REQUIRED_FIELD, f"{' or '.join(names)} is missing", names[0])


def number(value: Any, name: str) -> int | float:
    """A finite number. Rejected 5206 for another type (such as a bool), 5207 for a number too large to store."""
    kind = type(value)
    if kind is float:
        if not isfinite(value):
            raise out_of_range(name, value, "a finite number")
    elif kind is not int:
        raise mismatch(name, value, "a number")
    elif not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        raise out_of_range(name, value, "a 64-bit integer")
    return value  # type: ignore[no-any-return]


def measured_number(fields: Fields, name: str) -> int | float | None:
    """A measured value of any size that a double holds, or None if it is absent. Rejected 5206 for another type (such
    as a bool), 5207 beyond a double.
    """
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not float and type(value) is not int:
        raise mismatch(name, value, "a number")
    if not -_DOUBLE_MAX <= value <= _DOUBLE_MAX:
        raise out_of_range(name, value, "a finite number")
    return value


def integer(value: Any, name: str, low: int = -_INTEGER_LIMIT, high: int = _INTEGER_LIMIT - 1) -> int:
    """A whole number; a float (3600.0) is rounded. Rejected 5207 outside low…high."""
    whole = round(number(value, name))
    if not low <= whole <= high:
        raise out_of_range(name, value, f"{low}…{high}")
    return whole


def boolean(value: Any, name: str) -> bool:
    """A bool and nothing else."""
    if value is True or value is False:
        return value
    raise mismatch(name, value, "a bool")


def text(value: Any, name: str, limit: int) -> str:
    """A required string, cut at the limit with a mark. Rejected 5206 for another type."""
    if type(value) is not str:
        raise mismatch(name, value, "a string")
    return cut(value, limit)


def cut(value: str, limit: int) -> str:
    """A text of at most `limit` characters; one that was cut ends with an ellipsis."""
    return value if len(value) <= limit else value[: limit - 1] + _MARK


def optional_number(fields: Fields, name: str, odd: Odd) -> float | None:
    """A number, or None where it is absent or makes no sense."""
    value = fields.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        odd.append(name)
        return None
    return float(value)


def optional_integer(fields: Fields, odd: Odd, *names: str, low: int, high: int) -> int | None:
    """A whole number under the first of these names that is there; None where it is absent or outside low…high."""
    for name in names:
        value = fields.get(name)
        if value is not None:
            # the limits first: an integer of a device may have thousands of digits, and no float holds that
            if type(value) in (int, float) and low - 1 < value < high + 1 and low <= round(value) <= high:
                return int(round(value))  # noqa: RUF046 - value is Any
            odd.append(names[0])
            return None
    return None


def optional_text(fields: Fields, name: str, odd: Odd, limit: int = MAX_WORD) -> str | None:
    """A string, or None where it is absent, no string or longer: half a zone or a unit would be another one."""
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not str or len(value) > limit:
        odd.append(name)
        return None
    return value


def optional_message(fields: Fields, name: str, odd: Odd) -> str | None:
    """A text for people, cut at its limit, or None where it is absent or no string."""
    value = fields.get(name)
    if type(value) is not str or len(value) <= MAX_MESSAGE:
        return optional_text(fields, name, odd, MAX_MESSAGE)
    odd.append(name)
    return cut(value, MAX_MESSAGE)


def identifier(value: Any, name: str) -> str:
    """An id made by Kaiser that the device repeats: a string, or a number which becomes one; cut at its limit."""
    if type(value) is int and -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        return str(value)
    return text(value, name, MAX_CORRELATION_ID)


def optional_identifier(fields: Fields, name: str, odd: Odd) -> str | None:
    """An id, or None where it is absent, empty or makes no sense."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    try:
        found = identifier(value, name)
    except Rejected:
        odd.append(name)
        return None
    if found != str(value):
        odd.append(name)
    return found


def keepable(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Whether a reader of any make keeps this JSON value: no integer that one may round, nested 16 deep at most."""
    if type(value) is int:
        return -MAX_EXACT <= value <= MAX_EXACT
    if type(value) is float:
        return isfinite(value)
    if type(value) is dict:
        return depth > 0 and all(keepable(each, depth - 1) for each in value.values())
    if type(value) is list:
        return depth > 0 and all(keepable(each, depth - 1) for each in value)
    return True


def choice(value: Any, name: str, choices: frozenset[str]) -> Any:
    """One of these strings. Rejected 5206 for any other."""
    if type(value) is not str or value not in choices:
        raise mismatch(name, value, f"one of {', '.join(sorted(choices))}")
    return value


def required_ts(fields: Fields, received_at_ms: int) -> Time:
    """The time of a message that must have one, as ts or timestamp: in s or ms, integer or float.

    An implausible time (before 2020, more than 5 min ahead) is replaced by the receive time. Rejected 5205 if it is
    missing, 5206 if it is not a number.
    """
    value = present(fields, "ts", "timestamp")
    if type(value) not in (int, float):
        raise mismatch("ts", value, "a number")
    return believed(value, received_at_ms)


def optional_ts(fields: Fields, received_at_ms: int, odd: Odd) -> Time:
    """The time of a message that may lack one: then it is the receive time."""
    value = fields.get("ts")
    if value is None:
        value = fields.get("timestamp")
    if value is None:
        return Time(received_at_ms, "server")
    if type(value) not in (int, float):
        odd.append("ts")
        return Time(received_at_ms, "server")
    return believed(value, received_at_ms)


def believed(value: int | float, received_at_ms: int) -> Time:
    """The time that a device gives, or the receive time where that cannot be true."""
    in_ms = value if abs(value) >= MILLISECONDS_FROM else value * 1000
    if BELIEVED_FROM_MS <= in_ms <= received_at_ms + MAX_AHEAD_MS:
        return Time(round(in_ms), "device")
    kept = round(max(-MAX_DEVICE_TIME_MS, min(in_ms, MAX_DEVICE_TIME_MS)))
    return Time(received_at_ms, "server", kept, in_ms > received_at_ms)


def mismatch(name: str, value: Any, expected: str) -> Rejected:
    """The verdict on a value of another type or choice."""
    return Rejected(Code.FIELD_TYPE_MISMATCH, f"{name} is {_shown(value)}, expected {expected}", name)


def out_of_range(name: str, value: Any, expected: str) -> Rejected:
    """The verdict on a value of the right type outside its range."""
    return Rejected(Code.VALUE_OUT_OF_RANGE, f"{name} is {_shown(value)}, expected {expected}", name)


def _shown(value: Any) -> str:
    """A value for a message to people: short, and no content of nested objects."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "an array"
    if type(value) is int and abs(value) >= _INTEGER_LIMIT:
        return "an integer beyond 64 bits"
    return repr(value[:40] if isinstance(value, str) else value)
