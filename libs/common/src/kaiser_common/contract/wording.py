"""Explains why a model refused its input: a pattern in plain words, and the known field most like an unknown one."""

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from kaiser_common.contract.nearest import nearest
from kaiser_common.contract.schemas.api.actuators import ACTUATOR_TYPE
from kaiser_common.contract.schemas.api.alarms import ALARM_ID, KIND
from kaiser_common.contract.schemas.api.devices import ESP_ID, KAISER_ID
from kaiser_common.contract.schemas.api.factory import SERIAL
from kaiser_common.contract.schemas.api.logic import RULE_ID
from kaiser_common.contract.schemas.api.mock import MOCK_ID, PATTERN
from kaiser_common.contract.schemas.api.notifications import CHANNEL_ID
from kaiser_common.contract.schemas.api.rules import ALARM_NAME
from kaiser_common.contract.schemas.api.sensors import SENSOR_TYPE

_OWN = re.compile(r"^(Value|Assertion) error, ")
"""The prefix that pydantic puts before the text of our own errors."""
_ZONE = "1 to 64 letters, digits, _ or -"
_LIKE_SERIAL = "1 to 64 letters, digits or any of _ . : -, such as SVR3QA0022"

PATTERN_WORDS: Mapping[str, str] = MappingProxyType(
    {
        ESP_ID: "ESP_, MOCK_, SIM_ or TEST_ and then 1 to 27 capital letters, digits or _, such as ESP_0A1B2C3D",
        MOCK_ID: "MOCK_ and then 1 to 27 capital letters, digits or _, such as MOCK_001",
        KAISER_ID: "1 to 32 letters, digits or _, such as god",
        SENSOR_TYPE: "1 to 64 letters, digits, _ or -, such as ds18b20",
        ACTUATOR_TYPE: "1 to 40 letters, digits or any of _ . -, such as pump",
        PATTERN: "1 to 32 capital letters, digits or _ that begin with a letter, such as SINE",
        SERIAL: _LIKE_SERIAL,
        RULE_ID: "1 to 32 small letters or digits, as the list of rules has it",
        ALARM_ID: "16 of the digits 0 to 9 and a to f, as the list has it",
        KIND: "1 to 64 small letters, digits or _ that begin with a letter, such as stop_in_force",
        CHANNEL_ID: "1 to 32 small letters, digits, _ or - that begin with a letter or digit, such as on-call",
        r'^("[1-9]\d{0,8}"|[1-9]\d{0,8}|\*)$': 'the ETag of the last answer, such as "3", or *',
        "^kaiser/": "a topic that begins with kaiser/",
        r"^https?://[^\s?#]+/$": "an http or https address without ? and # that ends with /",
        "^[a-z_]{1,32}$": "1 to 32 small letters or _",
        ALARM_NAME: "1 to 64 small letters, digits, _ or - that begin with a letter or digit, such as bed-1-dry",
        r"^[A-Za-z0-9_-]{1,64}$": _ZONE,
        r"^[A-Za-z0-9_-]{0,64}$": f"empty, or {_ZONE}",
        r"^[A-Za-z0-9_-]{1,40}$": "1 to 40 letters, digits, _ or -",
        r"^[A-Za-z0-9_.@-]{1,64}$": "1 to 64 letters, digits or any of _ . @ -",
        r"^[A-Z0-9_]{1,32}$": "1 to 32 capital letters, digits or _, such as ESP_0A1B2C3D",
        r"^[a-z0-9_/]{1,64}$": "1 to 64 small letters, digits, _ or /",
        r"^[A-Z_]{1,16}$": "1 to 16 capital letters or _",
        r"^[a-z_]{1,16}$": "1 to 16 small letters or _",
        r"^[\x21-\x7e]{1,200}$": "1 to 200 ASCII characters without spaces",
        r"^[^\x00]*$": "text without the character U+0000",
        r"^[A-C][1-3]$": "a place of the high-bay store, A1 to C3",
        r"^([01]\d|2[0-3]):[0-5]\d$": "a time of day such as 22:00",
        r"^\d\d:\d\d$": "a time of day such as 06:00",
        r"^-[1-9][0-9]{0,5}[smhd]$": "a time before now, such as -10m",
        r"^[+-]([01]\d|2[0-3]):[0-5]\d$": "an offset from UTC such as +01:00",
        r"^[1-9]\d{0,18}(\.[1-9]\d{0,18})?$": "`next_cursor` of the page before",
    }
)
"""Every pattern of a request, as a person would say it (a test compares them with the OpenAPI document)."""


VIOLATIONS: Mapping[str, str | None] = MappingProxyType(
    {
        "missing": None,
        "extra_forbidden": None,
        "greater_than": "gt",
        "greater_than_equal": "ge",
        "less_than": "lt",
        "less_than_equal": "le",
        "string_too_short": "min_length",
        "string_too_long": "max_length",
        "too_short": "min_length",
        "too_long": "max_length",
        "literal_error": "expected",
        "string_pattern_mismatch": None,
        "string_type": None,
        "int_type": None,
        "int_parsing": None,
        "int_from_float": None,
        "float_type": None,
        "float_parsing": None,
        "finite_number": None,
        "bool_type": None,
        "bool_parsing": None,
        "list_type": None,
        "dict_type": None,
        "model_attributes_type": None,
    }
)
"""The rules that a field may break, by pydantic's names, and the name of the limit in its error; None: it has none."""


class Violation(NamedTuple):
    """The rule of a field that a request broke, and its limit."""

    rule: str
    limit: int | float | str | None = None


def violation_of(error: Mapping[str, Any]) -> Violation | None:
    """The rule that one of pydantic's errors is about; None for those that only its text explains."""
    rule = str(error["type"])
    if rule not in VIOLATIONS:
        return None
    name = VIOLATIONS[rule]
    limit = None if name is None else error["ctx"][name]
    if isinstance(limit, str):
        limit = limit.replace(" or ", ", ")
    return Violation(rule, limit if isinstance(limit, int | float | str) else None)


def reason_of(error: Mapping[str, Any], known: Iterable[str] = ()) -> str:
    """The reason of one of pydantic's errors, as text for the caller. known: the names of the fields that there are."""
    match error["type"]:
        case "extra_forbidden":
            return no_such("field", str(error["loc"][-1]), known)
        case "string_pattern_mismatch":
            words = PATTERN_WORDS.get(error["ctx"]["pattern"])
            return f"must be {words}" if words else str(error["msg"])
        case _:
            return _OWN.sub("", error["msg"])


def first_of(errors: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The error to answer with: the first, but a misspelt field rather than the field that is missing because of it."""
    first = errors[0]
    if first["type"] != "missing":
        return first
    beside = (each for each in errors if each["type"] == "extra_forbidden" and each["loc"][:-1] == first["loc"][:-1])
    return next(beside, first)


def no_such(what: str, name: str, known: Iterable[str]) -> str:
    """That there is no such field, parameter or key, with the known one that looks like it."""
    alike = nearest(name, known)
    return f"there is no such {what}" + (f": did you mean {alike}?" if alike else "")
