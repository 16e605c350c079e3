"""Fields of a device's JSON object: each function reads one and says Rejected with the right code where it is wrong.

A field that is null counts as absent. Unknown fields are never looked at.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from kaiser_common.errors import Code, Rejected
from kaiser_common.schemas import Clock

Fields = Mapping[str, Any]

MILLISECONDS_FROM = 100_000_000_000
"""A ts from here on is in ms, below it in s."""
CLOCK_SET_FROM_MS = 1_000_000_000_000
"""A device whose clock says a time before September 2001 counts from its start: it has no clock yet."""
MAX_AHEAD_MS = 24 * 3_600_000
_INTEGER_LIMIT = 2**63


def present(fields: Fields, *names: str) -> Any:
    """The value of the first of these names that is there. Rejected 5205 if none is."""
    for name in names:
        value = fields.get(name)
        if value is not None:
            return value
    raise Rejected(Code.MISSING_REQUIRED_FIELD, f"{' or '.join(names)} is missing", names[0])


def number(value: Any, name: str) -> int | float:
    """A finite number. Rejected 5206 for another type (a bool is one), 5207 for one too large to keep."""
    kind = type(value)
    if kind is float:
        if not isfinite(value):
            raise out_of_range(name, value, "a finite number")
    elif kind is not int:
        raise mismatch(name, value, "a number")
    elif not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        raise out_of_range(name, value, "a 64-bit integer")
    return value  # type: ignore[no-any-return]


def optional_number(fields: Fields, name: str) -> int | float | None:
    """A number, or None where it is absent."""
    value = fields.get(name)
    return None if value is None else number(value, name)


def integer(value: Any, name: str, low: int = -_INTEGER_LIMIT, high: int = _INTEGER_LIMIT - 1) -> int:
    """A whole number; a float (3600.0) is rounded. Rejected 5207 outside low…high."""
    whole = round(number(value, name))
    if not low <= whole <= high:
        raise out_of_range(name, value, f"{low}…{high}")
    return whole


def optional_integer(fields: Fields, *names: str) -> int | None:
    """A whole number under the first of these names that is there, or None."""
    for name in names:
        if fields.get(name) is not None:
            return integer(fields[name], name)
    return None


def boolean(value: Any, name: str) -> bool:
    """A bool and nothing else."""
    if value is True or value is False:
        return value
    raise mismatch(name, value, "a bool")


def text(value: Any, name: str, limit: int | None = None) -> str:
    """A string. Rejected 5207 where it is longer than the limit."""
    if type(value) is not str:
        raise mismatch(name, value, "a string")
    if limit is not None and len(value) > limit:
        raise out_of_range(name, value, f"at most {limit} characters")
    return value


def optional_text(fields: Fields, name: str, limit: int | None = None) -> str | None:
    """A string, or None where it is absent."""
    value = fields.get(name)
    return None if value is None else text(value, name, limit)


def identifier(value: Any, name: str) -> str:
    """An id made by Kaiser that the device repeats: a string, or a number which becomes one."""
    return str(value) if type(value) is int and -_INTEGER_LIMIT <= value < _INTEGER_LIMIT else text(value, name)


def optional_identifier(fields: Fields, name: str) -> str | None:
    """An id, or None where it is absent."""
    value = fields.get(name)
    return None if value is None else identifier(value, name)


def choice(value: Any, name: str, choices: frozenset[str]) -> Any:
    """One of these strings. Rejected 5206 for any other."""
    if text(value, name) not in choices:
        raise mismatch(name, value, f"one of {', '.join(sorted(choices))}")
    return value


def ts(value: Any, name: str, received_at_ms: int) -> tuple[int, Clock]:
    """A time in ms with the clock it comes from. Seconds or ms, integer or float; no clock yet: the receive time.

    Rejected 5207 where it is more than 24 h in the future, or negative.
    """
    seconds_or_ms = number(value, name)
    if seconds_or_ms < 0:
        raise out_of_range(name, value, "a time since 1970")
    in_ms = round(seconds_or_ms if seconds_or_ms >= MILLISECONDS_FROM else seconds_or_ms * 1000)
    if in_ms < CLOCK_SET_FROM_MS:
        return received_at_ms, "server"
    if in_ms > received_at_ms + MAX_AHEAD_MS:
        raise out_of_range(name, value, "at most 24 h in the future")
    return in_ms, "device"


def required_ts(fields: Fields, received_at_ms: int) -> tuple[int, Clock]:
    """The time of a message that must have one, as ts or timestamp."""
    return ts(present(fields, "ts", "timestamp"), "ts", received_at_ms)


def optional_ts(fields: Fields, received_at_ms: int) -> tuple[int, Clock]:
    """The time of a message that may lack one: then it is the receive time."""
    value = fields.get("ts")
    if value is None:
        value = fields.get("timestamp")
    return (received_at_ms, "server") if value is None else ts(value, "ts", received_at_ms)


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
