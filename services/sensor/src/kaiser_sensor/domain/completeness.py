"""How many readings a sensor should have sent on a day, pure."""

from datetime import UTC, date, datetime, time, timedelta


def day_span(day: date) -> tuple[datetime, datetime]:
    """The day in UTC, its end not included."""
    start = datetime.combine(day, time(), UTC)
    return start, start + timedelta(days=1)


def expected_readings(day: date, interval: timedelta, now: datetime) -> int:
    """One reading per interval; of the current day only up to now; 0 for a day in the future."""
    start, end = day_span(day)
    return max(timedelta(), min(end, now) - start) // interval


def share(received: int, expected: int) -> float | None:
    """The part that came, at most 1; None when nothing was expected."""
    return min(1.0, round(received / expected, 4)) if expected else None
