"""Converts the times of the factory's devices to ms since 1970. An unreadable one is None and rejects no message."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

from kaiser_common.contract.bounds import LATEST_MS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d):(\d\d)\Z", re.ASCII)
_SECOND = re.compile(r":(\d\d)\Z", re.ASCII)
_REST = re.compile(r"(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?\Z", re.ASCII)
_TO_MINUTE, _TO_SECOND = 16, 19
"""Characters of a time up to its minute, and up to its second."""
_LONGEST_ISO = 40
_LEAST_MS = 100_000_000_000
"""A number below is seconds: as ms it would be before March 1973, as seconds it is before the year 5138."""


def read_time(value: Any) -> int | None:
    """ISO 8601 with 0 to 9 decimals, `Z`, an offset or none (UTC); a number of s or ms. Decimals are cut at ms.

    None: missing, 0, unreadable, or outside of 1970 to 9999.
    """
    if isinstance(value, str):
        return _ms_of(value) if len(value) <= _LONGEST_ISO else None
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
    found = _REST.match(text[_TO_SECOND:])
    return found is not None and found[2] is None and _from_iso(text) is not None


def _from_iso(text: str) -> int | None:
    if len(text) > _LONGEST_ISO:
        return None
    minute, second = _minute_us(text[:_TO_MINUTE]), _second_us(text[_TO_MINUTE:_TO_SECOND])
    rest = _rest_us(text[_TO_SECOND:])
    if minute is None or second is None or rest is None:
        return None
    us = minute + second + rest
    return us if 0 < us <= LATEST_MS * 1000 + 999 else None


@lru_cache(maxsize=4096)
def _ms_of(text: str) -> int | None:
    """Snapshots of orders and of pairing repeat the same times for minutes."""
    at = _from_iso(text)
    return None if at is None else at // 1000 or None


@lru_cache(maxsize=1024)
def _minute_us(text: str) -> int | None:
    """The first part of an ISO time in µs since 1970. Messages that follow each other are mostly of the same minute."""
    if (found := _MINUTE.match(text)) is None:
        return None
    day, hour, minute = found.groups()
    days = _days(day)
    if days is None or hour > "23" or minute > "59":
        return None
    return (days * 86_400 + int(hour) * 3600 + int(minute) * 60) * 1_000_000


@lru_cache(maxsize=128)
def _second_us(text: str) -> int | None:
    """The seconds of an ISO time in µs."""
    found = _SECOND.match(text)
    return None if found is None or found[1] > "59" else int(found[1]) * 1_000_000


@lru_cache(maxsize=4096)
def _rest_us(text: str) -> int | None:
    """Decimals and offset of an ISO time in µs."""
    if (found := _REST.match(text)) is None:
        return None
    decimals, zone = found.groups()
    us = int(f"{decimals:0<6.6}") if decimals else 0
    if zone is not None and zone != "Z":
        offset = (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60) * 1_000_000
        us += offset if zone[0] == "-" else -offset
    return us


@lru_cache(maxsize=64)
def _days(text: str) -> int | None:
    """Days since 1970; None: there is no such day."""
    try:
        return date.fromisoformat(text).toordinal() - _EPOCH.toordinal()
    except ValueError:
        return None
