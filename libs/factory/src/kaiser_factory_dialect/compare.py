"""The places where a value differs from the expected one."""

import re
from typing import Any

_PLACE = re.compile(r"\$(now|uuid|hex8|hex12)(?::(\w+))?")
_FORMS = {
    "now": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "hex8": r"[0-9a-f]{8}",
    "hex12": r"[0-9a-f]{12}",
}


def differences(expected: Any, found: Any, path: str = "") -> list[str]:
    """Each place where `found` differs, a line each. Of an object only the expected keys are compared, of a list every
    item."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            line for key, value in expected.items() for line in _of_key(key, value, found, f"{path}.{key}".lstrip("."))
        ]
    if isinstance(expected, list) and isinstance(found, list | tuple):
        if len(expected) != len(found):
            return [f"{path}: {len(found)} items instead of {len(expected)}: {_short(found)}"]
        return [
            line
            for at, (one, other) in enumerate(zip(expected, found, strict=True))
            for line in differences(one, other, f"{path}[{at}]")
        ]
    same = expected == found and isinstance(expected, bool) == isinstance(found, bool)
    return [] if same else [f"{path or 'value'}: {_short(found)} instead of {_short(expected)}"]


def _of_key(key: str, value: Any, found: dict[str, Any], path: str) -> list[str]:
    return differences(value, found[key], path) if key in found else [f"{path}: missing instead of {_short(value)}"]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


class Placeholders:
    """Values that are fresh each time: the same name has the same value, other names have others."""

    def __init__(self) -> None:
        self.bound: dict[tuple[str, str], str] = {}

    def differences(self, expected: Any, found: Any, path: str = "") -> list[str]:
        """As `differences`, objects wholly; `$now`, `$uuid:x`, `$hex8:x`, `$hex12:x` in texts are fresh values."""
        if isinstance(expected, dict) and isinstance(found, dict):
            extra = [f"{path}.{key}: not expected" for key in found.keys() - expected.keys()]
            return extra + [
                line
                for key, value in expected.items()
                for line in (
                    self.differences(value, found[key], f"{path}.{key}")
                    if key in found
                    else [f"{path}.{key}: missing instead of {_short(value)}"]
                )
            ]
        if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
            return [
                line
                for at, (one, other) in enumerate(zip(expected, found, strict=True))
                for line in self.differences(one, other, f"{path}[{at}]")
            ]
        if isinstance(expected, str) and isinstance(found, str) and "$" in expected:
            return [] if self._fits(expected, found) else [f"{path}: {found!r} does not fit {expected!r}"]
        return differences(expected, found, path)

    def _fits(self, expected: str, found: str) -> bool:
        names: list[tuple[str, str]] = []
        pattern, end = "", 0
        for place in _PLACE.finditer(expected):
            names.append((place[1], place[2] or ""))
            pattern += re.escape(expected[end : place.start()]) + f"({_FORMS[place[1]]})"
            end = place.end()
        match = re.fullmatch(pattern + re.escape(expected[end:]), found)
        return match is not None and all(
            self._bind(name, value) for name, value in zip(names, match.groups(), strict=True)
        )

    def _bind(self, name: tuple[str, str], value: str) -> bool:
        if name[0] == "now":
            return True
        if name in self.bound:
            return self.bound[name] == value
        if value in self.bound.values():
            return False
        self.bound[name] = value
        return True
