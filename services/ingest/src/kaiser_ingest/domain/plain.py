"""Parses a message by its model alone, for the kinds that have no parser of their own; pure.

The model gives field names, types and bounds; the kind's row in the catalogue gives aliases. A required field that is
missing or wrong rejects the message; an optional one is left out. A float in place of an integer is rounded, a text
that is too long is cut.
"""

from math import isfinite
from typing import Any

from kaiser_common.contract.catalogue import UplinkRow
from kaiser_common.contract.errors import Rejected
from kaiser_common.contract.schemas import DeviceMessage
from kaiser_common.contract.topics import Topic
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kaiser_ingest.domain.fields import Fields, Odd, cut, keepable, mismatch, optional_ts, out_of_range, present
from kaiser_ingest.domain.identity import identity

_COMMON = frozenset(DeviceMessage.model_fields)
_OUTSIDE = frozenset({"greater_than_equal", "less_than_equal", "greater_than", "less_than", "too_long"})


def plain(row: UplinkRow, topic: Topic, fields: Fields, received_at_ms: int, odd: Odd) -> DeviceMessage:
    """The message. Rejected 5205 for a required field that is missing, 5206 for another type, 5207 out of bounds."""
    taken = identity(topic, fields, optional_ts(fields, received_at_ms, odd), received_at_ms)
    values: dict[str, Any] = {}
    for name, info in row.model.model_fields.items():
        if name in _COMMON or name in taken:
            continue
        names = (name, *row.aliases.get(name, ()))
        if not info.is_required() and all(fields.get(each) is None for each in names):
            continue
        value = present(fields, *names)
        if keepable(value):
            values[name] = value
        else:
            _leave_out(row, values, name, mismatch(name, value, "a value of this size"), odd)
    return _checked(row, taken, values, odd)


def _checked(row: UplinkRow, taken: dict[str, Any], values: dict[str, Any], odd: Odd) -> DeviceMessage:
    """The message of these values; each is mended once, then left out or the reason to reject."""
    mended: set[str] = set()
    while True:
        try:
            message = row.model.model_validate({**taken, **values}, strict=True)
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                name = str(fault["loc"][0])
                if name not in values:
                    continue
                better = None if name in mended else _mended(values[name], fault)
                if better is None:
                    _leave_out(row, values, name, _verdict(name, values[name], fault), odd)
                else:
                    mended.add(name)
                    values[name] = better
                    if type(better) is str:
                        odd.append(name)
        else:
            assert isinstance(message, DeviceMessage)
            return message


def _mended(value: Any, fault: ErrorDetails) -> int | str | None:
    """A float rounded, a text cut; None where nothing helps."""
    if type(value) is float and fault["type"] in ("int_type", "int_from_float") and isfinite(value):
        return round(value)
    if type(value) is str and fault["type"] == "string_too_long":
        return cut(value, int(fault["ctx"]["max_length"]))
    return None


def _verdict(name: str, value: Any, fault: ErrorDetails) -> Rejected:
    make = out_of_range if fault["type"] in _OUTSIDE else mismatch
    return make(name, value, fault["msg"].removeprefix("Input should be "))


def _leave_out(row: UplinkRow, values: dict[str, Any], name: str, verdict: Rejected, odd: Odd) -> None:
    """Take an optional value away; a required one rejects the message."""
    if row.model.model_fields[name].is_required():
        raise verdict
    values.pop(name, None)
    odd.append(name)
