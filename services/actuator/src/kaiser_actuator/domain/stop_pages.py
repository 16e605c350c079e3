"""The stops in force as answers of bounded size: there may be one for each device of a fleet."""

from collections.abc import Iterable

from kaiser_common.contract.schemas.api.actuators import EmergenciesQuery, Emergency

MOST_ANSWERED = 100
"""Stops in the answer to a stop or a clear; the list of stops has them all, in pages."""

Position = tuple[bool, int, str]
"""Where a stop stands in the list."""


def position_of(stop: Emergency) -> Position:
    """The stop of everything first, then the oldest."""
    return stop.esp_id is not None, stop.raised_at, stop.emergency_id


def page(stops: Iterable[Emergency], query: EmergenciesQuery) -> tuple[list[Emergency], str | None]:
    """A page of those that the query asks for, and where the next one begins. ValueError: not a cursor of a page."""
    after = _to_position(query.cursor) if query.cursor is not None else None
    found = sorted(
        (
            stop
            for stop in stops
            if query.esp_id in (None, stop.esp_id)
            and query.gpio in (None, stop.gpio)
            and (after is None or position_of(stop) > after)
        ),
        key=position_of,
    )
    items = found[: query.limit]
    return items, _to_cursor(position_of(items[-1])) if len(found) > len(items) else None


def answered(stops: Iterable[Emergency], esp_id: str | None) -> list[Emergency]:
    """The stops in the answer to a stop or a clear: those of its device, or of everything, then the first others."""
    chosen = sorted(stops, key=lambda stop: (stop.esp_id != esp_id, position_of(stop)))[:MOST_ANSWERED]
    return sorted(chosen, key=position_of)


def _to_cursor(position: Position) -> str:
    is_narrow, raised_at, emergency_id = position
    return f"{is_narrow:d} {raised_at} {emergency_id}"


def _to_position(cursor: str) -> Position:
    parts = cursor.split(" ", 2)
    if len(parts) != 3:
        raise ValueError("a cursor of stops has three parts")
    is_narrow, raised_at, emergency_id = parts
    return is_narrow == "1", int(raised_at), emergency_id
