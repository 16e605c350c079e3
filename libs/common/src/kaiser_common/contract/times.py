"""Converts between times on the wire (ms since 1970) and times in the code (aware datetimes in UTC)."""

from datetime import UTC, datetime


def ms_of(at: datetime) -> int:
    """The ms since 1970 of an aware time, rounded."""
    return round(at.timestamp() * 1000)


def time_of(ms: int) -> datetime:
    """The time of ms since 1970. OverflowError or ValueError: after the year 9999 (`bounds.LATEST_MS`)."""
    return datetime.fromtimestamp(ms / 1000, UTC)
