"""Reads the fields of a decoded object and checks their bounds: a bad value raises Rejected with the field's path."""

from collections.abc import Iterator, Mapping
from typing import Any

from kaiser_common.contract.bounds import INT4_MAX, MAX_DEPTH
from kaiser_common.contract.errors import Code, Rejected

from kaiser_factory_dialect.times import read_time
from kaiser_factory_dialect.topics import is_serial

MAX_TEXT = 256
MAX_ID = 128
MAX_LIST = 1000
_NO_IP = ("", "-1")
MAX_SAFE = 2**53
"""The largest whole number that every JSON reader takes exactly."""


class Fields:
    """An object of a payload. odd: the oddities found so far, shared by all objects of the payload.

    name says where it stands in the object `above`; the path is put together only for a verdict. Each method gives
    None for a field that is missing or null, unless it is required (5205). A value of another type is 5206, one out
    of bounds 5207.
    """

    __slots__ = ("_above", "_at", "_name", "odd", "values")

    def __init__(
        self, values: Mapping[str, Any], odd: list[str], above: "Fields | None" = None, name: str = "", at: int = -1
    ) -> None:
        self.values = values
        self.odd = odd
        self._above = above
        self._name = name
        self._at = at

    @property
    def path(self) -> str:
        """Where the object stands in the payload, such as `errors[0]`; "" for the payload itself."""
        if self._above is None:
            return self._name
        path = self._above.of(self._name)
        return path if self._at < 0 else f"{path}[{self._at}]"

    def of(self, name: str) -> str:
        """The path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def text(self, name: str, limit: int = MAX_TEXT) -> str | None:
        """A text of at most `limit` characters; "" stays."""
        value = self.values.get(name)
        if value is None:
            return None
        if type(value) is not str:
            raise self.wrong_type(name, "a text")
        if len(value) > limit:
            raise self.out_of_bounds(name, f"longer than {limit} characters")
        return value

    def named(self, *names: str) -> str | None:
        """The first of several names that has a text which is not empty."""
        for name in names:
            if value := self.text(name):
                return value
        return None

    def needed_text(self, name: str, limit: int = MAX_TEXT) -> str:
        """A required text; an empty one is missing."""
        if not (value := self.text(name, limit)):
            raise self.missing(name)
        return value

    def identity(self, name: str) -> str | None:
        """An id; "" is none."""
        return self.text(name, MAX_ID) or None

    def serial(self, name: str = "serialNumber") -> str:
        """A required serial. 5201: of wrong form."""
        value = self.needed_text(name)
        if not is_serial(value):
            raise Rejected(Code.INVALID_ESP_ID, f"{self.of(name)} is not a serial", self.of(name))
        return value

    def boolean(self, name: str) -> bool | None:
        """True or false."""
        value = self.values.get(name)
        if value is None or isinstance(value, bool):
            return value
        raise self.wrong_type(name, "true or false")

    def number(self, name: str) -> float | None:
        """A number; whole ones stay int."""
        value = self.values.get(name)
        if value is None:
            return None
        if type(value) is not int and type(value) is not float:
            raise self.wrong_type(name, "a number")
        if not -MAX_SAFE <= value <= MAX_SAFE:
            raise self.out_of_bounds(name, f"beyond {MAX_SAFE}")
        return value

    def integer(self, name: str, limit: int = INT4_MAX) -> int | None:
        """A whole number within ±limit; 3.0 is 3."""
        value = self.number(name)
        if value is None:
            return None
        if isinstance(value, float):
            if not value.is_integer():
                raise self.wrong_type(name, "a whole number")
            self.odd.append("whole_number_as_float")
            value = int(value)
        if not -limit <= value <= limit:
            raise self.out_of_bounds(name, f"beyond {limit}")
        return value

    def time(self, name: str) -> int | None:
        """A time in ms; an unreadable one is None and counted, since a time never rejects a message."""
        return time_of(self.values.get(name), self.odd)

    def items(self, name: str) -> list[Any] | None:
        """A list of at most MAX_LIST values."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.wrong_type(name, "a list")
        if len(value) > MAX_LIST:
            raise self.out_of_bounds(name, f"longer than {MAX_LIST} items")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        found = self.items(name) or []
        for at, one in enumerate(found):
            if not isinstance(one, str):
                raise self.wrong_type(f"{name}[{at}]", "a text")
            if len(one) > MAX_TEXT:
                raise self.out_of_bounds(f"{name}[{at}]", f"longer than {MAX_TEXT} characters")
        return tuple(found)

    def object(self, name: str) -> "Fields | None":
        """An object."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong_type(name, "an object")
        return Fields(value, self.odd, self, name)

    def objects(self, name: str) -> Iterator["Fields"]:
        """A list of objects."""
        for at, one in enumerate(self.items(name) or ()):
            if type(one) is not dict:
                raise self.wrong_type(f"{name}[{at}]", "an object")
            yield Fields(one, self.odd, self, name, at)

    def needed_objects(self, name: str) -> Iterator["Fields"]:
        """A required list of objects, which may be empty."""
        if self.values.get(name) is None:
            raise self.missing(name)
        return self.objects(name)

    def free(self, name: str) -> dict[str, Any]:
        """An object that is kept as it came: its texts, lists and depth are bounded. {}: missing or null."""
        value = self.values.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong_type(name, "an object")
        if not is_within_bounds(value):
            check_free(value, self.of(name))
        return value

    def missing(self, name: str) -> Rejected:
        """The verdict on a required field that is missing or null."""
        return Rejected(Code.MISSING_REQUIRED_FIELD, f"{self.of(name)} is required", self.of(name))

    def wrong_type(self, name: str, due: str) -> Rejected:
        """The verdict on a field of another type."""
        return Rejected(Code.FIELD_TYPE_MISMATCH, f"{self.of(name)} is not {due}", self.of(name))

    def out_of_bounds(self, name: str, bound: str) -> Rejected:
        """The verdict on a value that is too large."""
        return Rejected(Code.VALUE_OUT_OF_RANGE, f"{self.of(name)} is {bound}", self.of(name))


def time_of(value: Any, odd: list[str]) -> int | None:
    """A time in ms; an unreadable one is None and counted."""
    if value is None:
        return None
    at = read_time(value)
    if at is None and value not in (0, ""):
        odd.append("time_unreadable")
    return at


def ip_of(value: str | None, odd: list[str]) -> str | None:
    """An address; "" and "-1" are none and counted."""
    if value not in _NO_IP:
        return value
    odd.append("ip_none")
    return None


def load_time_of(value: Any, odd: list[str]) -> int | None:
    """The time of a load in ms; 0 is none and counted."""
    if type(value) is int and value == 0:
        odd.append("load_time_zero")
    return time_of(value, odd)


def as_object(value: Any, odd: list[str]) -> Fields:
    """A whole payload as an object. Rejected (5206): it is something else."""
    if not isinstance(value, dict):
        raise Rejected(Code.FIELD_TYPE_MISMATCH, "the payload is not an object")
    return Fields(value, odd)


def is_within_bounds(values: dict[str, Any], depth: int = MAX_DEPTH) -> bool:
    """Whether free values are surely small enough to keep; if not, `check_free` decides and names the place."""
    if depth == 0 or len(values) > MAX_LIST:
        return False
    for key, one in values.items():
        if len(key) > MAX_TEXT:
            return False
        match one:
            case str():
                if len(one) > MAX_TEXT:
                    return False
            case dict():
                if not is_within_bounds(one, depth - 1):
                    return False
            case list():
                return False
    return True


def check_free(value: Any, path: str, depth: int = MAX_DEPTH) -> None:
    """Refuse free values that are too large to keep. Rejected (5207): a text, a list, or the nesting."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise Rejected(Code.VALUE_OUT_OF_RANGE, f"{path} is longer than {MAX_TEXT} characters", path)
        return
    if not isinstance(value, dict | list):
        return
    if depth == 0 or len(value) > MAX_LIST:
        raise Rejected(Code.VALUE_OUT_OF_RANGE, f"{path} is nested too deep, or longer than {MAX_LIST} items", path)
    if isinstance(value, list):
        for at, one in enumerate(value):
            check_free(one, f"{path}[{at}]", depth - 1)
    else:
        for key, one in value.items():
            check_free(key, path, depth - 1)
            check_free(one, f"{path}.{key}", depth - 1)
