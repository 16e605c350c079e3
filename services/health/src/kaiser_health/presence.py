"""When a device counts as online, pure: the times are arguments."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal


@dataclass(frozen=True, slots=True)
class Transition:
    """A device came online or went offline, and why."""

    esp_id: str
    kaiser_id: str
    online: bool
    reason: Literal["heard", "will", "silence"]
    last_seen_at: datetime | None


def late_before(now: datetime, listening_since: datetime, timeout: timedelta) -> datetime | None:
    """Devices last heard before this time are offline; None while nobody can be called late.

    After a start, or after the bus or the database came back, silence is ours and not the devices': one timeout has to
    pass with us listening before anybody is called late.
    """
    return now - timeout if now - listening_since >= timeout else None


def will_counts(will_at: datetime, has_clock: bool, retained: bool, last_seen_at: datetime | None) -> bool:
    """Whether a will takes its device offline at once.

    A will older than the device's last data belongs to a session before it. A retained will that has no time of its own
    may be of any age, so it says nothing.
    """
    if retained and not has_clock:
        return False
    return last_seen_at is None or will_at >= last_seen_at


def new_pending(pending: int, most: int, permitted: int, candidates: int) -> int:
    """How many of the unknown devices that were heard may become pending."""
    return max(0, min(candidates, most - pending, permitted))
