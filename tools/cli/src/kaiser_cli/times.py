"""Option types for times and durations as people write them."""

import re
from datetime import datetime

import click

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?\Z")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration(text: str) -> float:
    """A duration such as 30s, 10m, 2h or 7d in s; a plain number is in s. BadParameter: it is none."""
    found = _DURATION.match(text.strip())
    if found is None:
        raise click.BadParameter(f"{text!r} is no duration: write 30s, 10m, 2h or 7d")
    return float(found[1]) * _UNIT_S[found[2] or "s"]


def instant(text: str) -> int:
    """A time in ms since 1970. BadParameter: it is none."""
    return instant_at(text, datetime.now().astimezone())


def instant_at(text: str, now: datetime) -> int:
    """As `instant`: -2h is two hours before now, an ISO 8601 time without an offset is local."""
    if text == "now":
        return int(now.timestamp() * 1000)
    if re.fullmatch(r"-\d.*", text):
        return int((now.timestamp() - duration(text[1:])) * 1000)
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no time: write -2h, now, or 2026-01-31T06:00") from error
