"""Decides on wills, restarts, new pending devices and firmware generations; pure, the times are arguments."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from kaiser_common.contract.schemas.device import Heartbeat


@dataclass(frozen=True, slots=True)
class Transition:
    """A device came online or went offline, and why."""

    esp_id: str
    kaiser_id: str
    online: bool
    reason: Literal["heard", "will", "silence"]
    last_seen_at: datetime | None


def will_counts(
    will_at: datetime, received_at: datetime, has_clock: bool, retained: bool, last_seen_at: datetime | None
) -> bool:
    """Whether a will takes its device offline immediately.

    A will that is delivered live means that the connection has just ended. Its own time is that of CONNECT, so its
    receive time counts, unless the device sent a message in a later millisecond. A retained will may be of any age: it
    counts if its own time is later than the device's last data, and is ignored without a time.
    """
    if retained:
        return has_clock and (last_seen_at is None or will_at >= last_seen_at)
    return last_seen_at is None or received_at >= last_seen_at.replace(
        microsecond=last_seen_at.microsecond // 1000 * 1000
    )


_DELAY_S = 5
"""By how much a heartbeat may come later than the one before it did, in relation."""


def has_rebooted(
    uptime: int | None,
    boot_id: str | None,
    last_uptime: int | None,
    last_boot_id: str | None,
    elapsed_s: float | None = None,
) -> bool:
    """Whether a device has restarted between two heartbeats: another boot id, an uptime that fell, or one that is less
    than the time since the heartbeat before (`elapsed_s`, None without one), as after a restart whose first heartbeat
    was lost.

    Each is enough: a boot id that is kept in memory outlives a watchdog's restart. An uptime that wraps (after 49
    days, counted in ms) reads as a restart, and so may a heartbeat that waited in the broker soon after a boot; that
    asks for states and sends stops again, and does no harm.
    """
    if boot_id is not None and last_boot_id is not None and boot_id != last_boot_id:
        return True
    if uptime is None or last_uptime is None:
        return False
    if uptime == last_uptime:
        return False  # two heartbeats of one second, or a firmware whose uptime stands still
    return uptime < last_uptime or (elapsed_s is not None and uptime < elapsed_s - _DELAY_S)


def new_pending(pending: int, most: int, permitted: int, candidates: int) -> int:
    """How many of the unknown senders may become pending."""
    return max(0, min(candidates, most - pending, permitted))


def generation_of(heartbeat: Heartbeat, before: Literal["A", "B"]) -> Literal["A", "B"]:
    """The generation of a device's firmware, this heartbeat included."""
    return "B" if heartbeat.boot_sequence_id else before
