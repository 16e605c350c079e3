"""Whether a stored notification is still to be sent, and how it ends otherwise; pure. Times are ms since 1970.

The state of the alarm at the moment of sending decides, not the one at which the notification was stored.
"""

from typing import Literal, NamedTuple

from kaiser_common.contract.schemas.api.alarms import Alarm

from kaiser_alarm.domain.life import is_active, is_shelved
from kaiser_alarm.domain.routing import OVER_FOR_MS

_WAITS_S = (5, 30, 120, 600, 1800)
LATE_TRIES = len(_WAITS_S) + 1
"""A message that failed so often is late: its channel has taken none for 43 minutes."""


class WaitingNotification(NamedTuple):
    """A notification that waits. is_superseded: a later one of its alarm is stored for its channel. is_told: one of the
    same occurrence and severity was sent to its channel before."""

    key: str
    alarm_id: str
    is_superseded: bool = False
    is_told: bool = False


class NotificationFate(NamedTuple):
    """A notification is sent, waits unsent, or ends in another state for a reason."""

    state: Literal["send", "wait", "dropped", "failed"]
    reason: str | None = None


def fate_of(one: WaitingNotification, alarm: Alarm | None, tries: int, now: int) -> NotificationFate:
    """The fate of a notification, given its alarm as it is now and the number of tries that failed.

    A raised alarm is sent however long its channel has failed. One that is over and that nobody acknowledged is sent
    too, until a day after its end, unless the channel was told while it held.
    """
    if alarm is None:
        return NotificationFate("dropped", "the alarm is gone")
    if alarm.acknowledged_at is not None:
        return NotificationFate("dropped", "the alarm is acknowledged")
    if one.is_superseded:
        return NotificationFate("dropped", "a later notification of the alarm is sent instead")
    if is_shelved(alarm, now):
        return NotificationFate("wait")
    if is_active(alarm):
        return NotificationFate("send")
    if one.is_told:
        return NotificationFate("dropped", "the alarm is over, and the channel had it")
    if now - (alarm.cleared_at or 0) >= OVER_FOR_MS:
        return NotificationFate("failed" if tries else "dropped", "the alarm has been over for a day")
    return NotificationFate("send")


def retry_after_s(tries: int) -> int:
    """Seconds to wait after so many failed attempts."""
    return _WAITS_S[min(tries, len(_WAITS_S)) - 1]
