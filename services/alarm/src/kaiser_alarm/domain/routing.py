"""Which alarm is sent to which channel and when, pure. Times are ms since 1970.

A route names channels and the alarms that go there: severities, zones, a delay, quiet hours, the hours and days in
which it works, an interval of repetition. Whether a notification is due depends on the present state of the alarm,
not on the event that led there. So the same notifications are due after a kill or after quiet hours. The key of a
notification names the alarm, how often it was raised, its severity, the channel and the number of the repetition (or
that the alarm is over), so the same notification is stored once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from kaiser_common.contract.schemas.api.alarms import Alarm
from kaiser_common.contract.schemas.api.notifications import Route
from kaiser_common.contract.schemas.event import AlarmSeverity
from kaiser_common.contract.times import time_of

from kaiser_alarm.domain.life import is_shelved

MOST_APART = 5
"""So many notifications of a channel that are due at once are sent one by one; more are one summary."""
MOST_A_MINUTE = 15
"""After this many messages to a channel within a minute, alarms of a kind that they named wait until they are older."""
WANTED: tuple[AlarmSeverity, ...] = ("critical", "warning")
"""Severities that want a person to know."""
OVER_FOR_MS = 24 * 3600 * 1000
"""So long after its end an alarm that nobody acknowledged is sent to a channel that was not told."""
_OF_CHANNELS = frozenset({"no_channel", "delivery_failed"})
_ESCALATED = 1_000_000


class DueNotification(NamedTuple):
    """A notification of an alarm to a channel. repeats: the alarm has been raised for at least `repeat_s`. is_over: it
    is sent only where the channel has no notification of this occurrence."""

    key: str
    channel_id: str
    alarm: Alarm
    repeats: bool = False
    is_over: bool = False

    @property
    def occurrence(self) -> str:
        """The key without its last part: alarm, times, severity, channel."""
        return self.key.rpartition("-")[0]


def due(alarm: Alarm, zone: str | None, routes: Iterable[Route], now: int) -> Iterator[DueNotification]:
    """The notifications of an alarm that should have been sent by now, the newest of each channel.

    An alarm that is acknowledged or shelved is not sent. One that is over and that nobody acknowledged is due once, to
    the channels that were not notified while it held: it may have been shorter than the time between two looks, or the
    service was away. `after_s` of a route counts from when the alarm was first raised if it has been raised again:
    nobody acknowledged it in between, or it would have been closed. `repeat_s` counts from when it was last raised.
    """
    if is_shelved(alarm, now):
        return
    occurrence = f"{alarm.alarm_id}-{alarm.times}-{alarm.severity}"
    if alarm.state == "cleared":
        for channel_id in sorted(_missed(alarm, zone, routes, now)):
            yield DueNotification(f"{occurrence}-{channel_id}-over", channel_id, alarm, is_over=True)
        return
    if alarm.state != "raised":
        return
    standing_ms = now - alarm.last_raised_at
    waiting_ms = now - _waits_since(alarm)
    newest: dict[str, int] = {}
    for route in routes:
        if not _takes(route, alarm, zone) or not _is_open(route, now):
            continue
        late_ms = waiting_ms - route.after_s * 1000
        if late_ms < 0:
            continue
        number = min(late_ms, standing_ms) // (route.repeat_s * 1000) if route.repeat_s else 0
        for channel_id in route.channels:
            # An escalation on a channel that a route without delay names too is a repetition of its own.
            order = number + (_ESCALATED if route.after_s else 0)
            newest[channel_id] = max(newest.get(channel_id, -1), order)
    for channel_id, order in newest.items():
        yield DueNotification(f"{occurrence}-{channel_id}-{order}", channel_id, alarm, repeats=order % _ESCALATED > 0)


def _missed(alarm: Alarm, zone: str | None, routes: Iterable[Route], now: int) -> set[str]:
    """The channels to which an alarm that is over should have been sent while it held. Its route was set by then, and
    was open when the alarm became due or when it ended: what begins and ends in quiet hours stays silent."""
    ended = alarm.cleared_at or 0
    if now - ended >= OVER_FOR_MS:
        return set()
    found: set[str] = set()
    for route in routes:
        due_at = max(alarm.last_raised_at, _waits_since(alarm) + route.after_s * 1000)
        was_due = route.changed_at <= ended and due_at <= ended and (_is_open(route, due_at) or _is_open(route, ended))
        if was_due and _takes(route, alarm, zone) and _is_open(route, now):
            found.update(route.channels)
    return found


def _waits_since(alarm: Alarm) -> int:
    """Since when an alarm has been unacknowledged."""
    return alarm.raised_at if alarm.times > 1 else alarm.last_raised_at


def _is_open(route: Route, at: int) -> bool:
    return is_active(route, at) and not is_quiet(route, at)


class RecentMessages(NamedTuple):
    """The messages that a channel was sent lately. messages: how many in the last minute; kinds: the (severity, kind)
    that these named; again: (alarm_id, severity) of the alarms notified so recently that raising one again is not
    worth another message."""

    messages: int = 0
    kinds: frozenset[tuple[str, str]] = frozenset()
    again: frozenset[tuple[str, str]] = frozenset()


def worth_now(one: DueNotification, recent: RecentMessages) -> bool:
    """Whether a notification is stored now. An alarm that has to wait stays due, so it is sent later if it still
    stands.

    A flapping condition is sent once in a while, not each time; a flood becomes a few messages a minute. Neither holds
    up another condition, a worse severity, or the repetition of an alarm that is still raised.
    """
    alarm = one.alarm
    if alarm.times > 1 and not one.repeats and (alarm.alarm_id, alarm.severity) in recent.again:
        return False
    return recent.messages < MOST_A_MINUTE or (alarm.severity, alarm.kind) not in recent.kinds


def _takes(route: Route, alarm: Alarm, zone: str | None) -> bool:
    return route.enabled and alarm.severity in route.severities and (not route.zones or (zone or "") in route.zones)


def reached(
    alarms: Iterable[Alarm], zone_of: Callable[[Alarm], str | None], routes: Sequence[Route], now: int
) -> dict[AlarmSeverity, bool | None]:
    """Whether the alarms of each severity that wants a person reach one. False: no route takes one that is raised, at
    any hour. True: a route takes the severity and each raised alarm of it. None: neither, so nothing new is known.

    routes: those that lead to a channel that is enabled.
    """
    found: dict[AlarmSeverity, bool | None] = {
        severity: True if any(severity in route.severities for route in routes if route.enabled) else None
        for severity in WANTED
    }
    for alarm in alarms:
        if (
            alarm.state != "raised"
            or alarm.severity not in found
            or alarm.kind in _OF_CHANNELS
            or is_shelved(alarm, now)
        ):
            continue
        zone = zone_of(alarm)
        if not any(_takes(route, alarm, zone) for route in routes):
            found[alarm.severity] = False
    return found


def is_quiet(route: Route, now: int) -> bool:
    """Whether it is in the quiet hours of a route, which may go over midnight; by the clock of its time zone."""
    if route.quiet_from is None or route.quiet_to is None:
        return False
    return _within(route.quiet_from, route.quiet_to, f"{_local(route, now):%H:%M}")


def is_active(route: Route, now: int) -> bool:
    """Whether a route works now: by its hours, which may go over midnight, and by the day on which these began. Without
    hours a day is from midnight to midnight."""
    local = _local(route, now)
    clock, day = f"{local:%H:%M}", local.weekday()
    if route.active_from is not None and route.active_to is not None:
        if not _within(route.active_from, route.active_to, clock):
            return False
        if route.active_from > route.active_to and clock < route.active_to:
            day = (day - 1) % 7
    return not route.days_of_week or day in route.days_of_week


def _local(route: Route, now: int) -> datetime:
    return time_of(now).astimezone(ZoneInfo(route.time_zone))


def _within(since: str, until: str, clock: str) -> bool:
    """Whether the clock shows `since` or later and not yet `until`, which may be on the next day."""
    if since <= until:
        return since <= clock < until
    return clock >= since or clock < until


def by_channel(found: Iterable[DueNotification]) -> Mapping[str, list[DueNotification]]:
    """Notifications by channel."""
    grouped: dict[str, list[DueNotification]] = {}
    for one in found:
        grouped.setdefault(one.channel_id, []).append(one)
    return grouped
