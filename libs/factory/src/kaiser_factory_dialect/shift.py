"""Moves the times in a payload by a constant; every other byte stays the same.

Durations and differences between clocks are preserved, because every time in a recording moves by the same amount.
"""

import re
from datetime import datetime, timedelta

KEYS = frozenset(
    {
        "timestamp",
        "ts",
        "startedAt",
        "stoppedAt",
        "receivedAt",
        "pairedSince",
        "lastSeen",
        "createdAt",
        "updatedAt",
        "finishedAt",
        "loadTimestamp",
    }
)
_KEY_AND_VALUE = re.compile(
    r'"((?:[^"\\]|\\.)*+)"(?:(\s*+:\s*+)(?:"((?:[^"\\]|\\.)*+)"|(-?[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)))?',
    re.DOTALL,
)
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)([T ])(\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?\Z", re.ASCII)
_LEAST_S, _LEAST_MS = 100_000_000, 100_000_000_000
"""Smaller numbers are no times: a loadTimestamp of 0 means that there is none."""


def shift_times(text: str, delta_ms: int) -> str:
    """The JSON text with every time of the KEYS moved by delta_ms, with the digits that it had.

    Other texts are taken as they come: nothing else of the text changes, and no text raises. A time that would
    leave the years 1 to 9999 stays.
    """
    return _KEY_AND_VALUE.sub(lambda found: _shifted(found, delta_ms), text)


def _shifted(found: re.Match[str], delta_ms: int) -> str:
    key, colon, text, number = found.groups()
    if colon is None or key not in KEYS:
        return found[0]
    if text is not None:
        return f'"{key}"{colon}"{_shift_iso(text, delta_ms)}"'
    return f'"{key}"{colon}{_shift_number(number, delta_ms)}'


def _shift_iso(text: str, delta_ms: int) -> str:
    found = _ISO.match(text)
    if found is None:
        return text
    day, between, clock, decimals, zone = found.groups()
    digits = (decimals or ".")[1:]
    try:
        at = datetime.fromisoformat(f"{day}T{clock}.{digits:0<6.6}") + timedelta(milliseconds=delta_ms)
    except (ValueError, OverflowError):
        return text
    fraction = f"{at.microsecond:06d}{digits[6:]}"[: len(digits)]
    return f"{at:%H:%M:%S}".join((f"{at.year:04d}-{at:%m-%d}{between}", f".{fraction}" if digits else "")) + (
        zone or ""
    )


def _shift_number(text: str, delta_ms: int) -> str:
    if not text.isdecimal() or len(text) > 15:
        return _shift_decimal(text, delta_ms)
    value = int(text)
    if value >= _LEAST_MS:
        return str(value + delta_ms)
    return str(value + delta_ms // 1000) if value >= _LEAST_S else text


def _shift_decimal(text: str, delta_ms: int) -> str:
    """A number of s or ms with decimals, which keep their count."""
    whole, point, decimals = text.partition(".")
    if not point or not whole.isdecimal() or not decimals.isdecimal() or len(text) > 32 or int(whole) < _LEAST_S:
        return text
    scale = 10 ** len(decimals)
    step = delta_ms * scale if int(whole) >= _LEAST_MS else delta_ms * scale // 1000
    value = int(whole + decimals) + step
    return f"{value // scale}.{value % scale:0{len(decimals)}d}"
