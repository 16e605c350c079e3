"""A finding of the doctor: how bad it is, its subject, and the remedy."""

from dataclasses import dataclass
from enum import StrEnum


class Light(StrEnum):
    """How bad it is."""

    GREEN = "green"
    UNSEEN = "unseen"
    """It could not be looked at from here."""
    YELLOW = "yellow"
    """It will fail later, or costs something."""
    RED = "red"
    """Data is being lost, or would be at the next fault; or access is open to anyone."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. A fix stands with everything that is not green."""

    level: Light
    about: str
    text: str
    fix: str = ""


def green(about: str, text: str) -> Finding:
    """All is well."""
    return Finding(Light.GREEN, about, text)


def unseen(about: str, text: str, fix: str) -> Finding:
    """It could not be looked at."""
    return Finding(Light.UNSEEN, about, text, fix)


def yellow(about: str, text: str, fix: str) -> Finding:
    """It will fail later."""
    return Finding(Light.YELLOW, about, text, fix)


def red(about: str, text: str, fix: str) -> Finding:
    """Data is, or would be, lost."""
    return Finding(Light.RED, about, text, fix)


def in_bytes(count: float) -> str:
    """A size for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
