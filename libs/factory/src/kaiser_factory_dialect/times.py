"""Times as the factory's devices write them, to ms since 1970. A time never rejects a message: unreadable is None."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

from kaiser_common.contract.bounds import LATEST_MS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?\Z", re.ASCII)
_LEAST_MS = 100_000_000_000
"""A number below is seconds: as ms it would be before March 1973, as seconds it is before the year 5138."""


def read_time(value: Any) -> int | None:
    """ISO 8601 with 0 to 9 decimals, `Z`, an offset or none (UTC); a number of s or ms. Decimals are cut at ms.

    None: missing, 0, unreadable, or outside of 1970 to 9999.
    """
    if isinstance(value, str):
        at = _cached(value) if len(value) <= _LONGEST_ISO else None
        return None if at is None else at // 1000 or None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LATEST_MS:
        return None
    return int(value if value >= _LEAST_MS else value * 1000) or None


def read_iso_us(text: str) -> int | None:
    """An ISO time in µs since 1970; None as of `read_time`."""
    return _from_iso(text)


def to_iso_us(at_us: int) -> str:
    """A time in µs as ISO 8601 in UTC with six decimals and `Z`."""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def to_iso_ms(at_ms: int) -> str:
    """A time in ms as ISO 8601 in UTC with three decimals and `Z`, as the factory writes it."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_naive(text: str) -> bool:
    """Whether an ISO time says no zone."""
    found = _ISO.match(text)
    return found is not None and found[6] is None


def _from_iso(text: str) -> int | None:
    found = _ISO.match(text)
    if found is None:
        return None
    day, hour, minute, second, decimals, zone = found.groups()
    days = _days(day)
    if days is None or hour > "23" or minute > "59" or second > "59":
        return None
    seconds = days * 86_400 + int(hour) * 3600 + int(minute) * 60 + int(second)
    if zone is not None and zone != "Z":
        offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
        seconds += offset if zone[0] == "-" else -offset
    us = seconds * 1_000_000 + (int(f"{decimals:0<6.6}") if decimals else 0)
    return us if 0 < us <= LATEST_MS * 1000 + 999 else None


_LONGEST_ISO = 40
_cached = lru_cache(maxsize=4096)(_from_iso)
"""Snapshots of orders and of pairing repeat the same times for minutes."""


@lru_cache(maxsize=64)
def _days(text: str) -> int | None:
    """Days since 1970; None: there is no such day."""
    try:
        return date.fromisoformat(text).toordinal() - _EPOCH.toordinal()
    except ValueError:
        return None
