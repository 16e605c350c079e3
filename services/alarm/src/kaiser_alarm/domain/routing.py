"""Which alarm is told where and when, pure. Times are ms since 1970.

A route names channels, and which alarms go there: severities, zones, a time after the raising, quiet hours, a period of
repetition. A notification is due by the state of the alarm now, not by the event that led there: whoever looks later,
after a kill or after quiet hours, finds the same ones due. Its key names the alarm, how often it was raised, its
severity, the channel and the number of the repetition, so the same notification is stored once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from kaiser_common.contract.schemas.api.alarms import Alarm
from kaiser_common.contract.schemas.api.notifications import Route

from kaiser_alarm.domain.life import is_shelved

MOST_APART = 5
"""So many notifications of a channel that are due at once are sent one by one; more are one summary."""
_KINDS_IN_SUMMARY = 40
_EXAMPLES = 3
_ORDER = {"critical": 0, "warning": 1, "info": 2}


class DueNotification(NamedTuple):
    """A notification: of an alarm, to a channel."""

    key: str
    channel_id: str
    alarm: Alarm


def due(alarm: Alarm, zone: str | None, routes: Iterable[Route], now: int) -> Iterator[DueNotification]:
    """The notifications of an alarm that should have been sent by now, the newest of each channel.

    Nobody is told of an alarm that is acknowledged, cleared or shelved.
    """
    if alarm.state != "raised" or is_shelved(alarm, now):
        return
    newest: dict[str, int] = {}
    for route in routes:
        if not _takes(route, alarm, zone) or is_quiet(route, now):
            continue
        late = now - alarm.last_raised_at - route.after_s * 1000
        if late < 0:
            continue
        number = late // (route.repeat_s * 1000) if route.repeat_s else 0
        for channel_id in route.channels:
            # An escalation on a channel that a route without delay names too is a repetition of its own.
            order = number + (1_000_000 if route.after_s else 0)
            newest[channel_id] = max(newest.get(channel_id, -1), order)
    for channel_id, order in newest.items():
        key = f"{alarm.alarm_id}-{alarm.times}-{alarm.severity}-{channel_id}-{order}"
        yield DueNotification(key, channel_id, alarm)


def _takes(route: Route, alarm: Alarm, zone: str | None) -> bool:
    return route.enabled and alarm.severity in route.severities and (not route.zones or (zone or "") in route.zones)


def is_quiet(route: Route, now: int) -> bool:
    """Whether it is in the quiet hours of a route, which may go over midnight; by the clock of its time zone."""
    if route.quiet_from is None or route.quiet_to is None:
        return False
    local = datetime.fromtimestamp(now / 1000, UTC).astimezone(ZoneInfo(route.time_zone))
    clock = f"{local:%H:%M}"
    if route.quiet_from <= route.quiet_to:
        return route.quiet_from <= clock < route.quiet_to
    return clock >= route.quiet_from or clock < route.quiet_to


class Text(NamedTuple):
    """What a channel is sent."""

    title: str
    body: str


def text_of(alarm: Alarm, key: str) -> Text:
    """One alarm in words. The reference tells a repeated delivery from a new one."""
    raised = datetime.fromtimestamp(alarm.last_raised_at / 1000, UTC)
    again = f", for the {alarm.times}th time" if alarm.times > 1 else ""
    return Text(
        f"{alarm.severity}: {alarm.message[:120]}",
        f"{alarm.message}\n\nKind: {alarm.kind}\nSource: {alarm.source or 'Kaiser'}\n"
        f"Raised: {raised:%Y-%m-%d %H:%M:%S} UTC{again}\nReference: {key}",
    )


def summary_of(alarms: Sequence[Alarm], key: str) -> Text:
    """Many alarms in one message: each kind is named with its number, the worst first, so that none is hidden."""
    kinds: dict[tuple[str, str], list[Alarm]] = {}
    for alarm in alarms:
        kinds.setdefault((alarm.severity, alarm.kind), []).append(alarm)
    ordered = sorted(kinds.items(), key=lambda one: (_ORDER[one[0][0]], one[0][1]))
    lines = [_line(severity, kind, found) for (severity, kind), found in ordered[:_KINDS_IN_SUMMARY]]
    if len(ordered) > _KINDS_IN_SUMMARY:
        lines.append(f"and {len(ordered) - _KINDS_IN_SUMMARY} kinds more")
    worst = ordered[0][0][0]
    return Text(f"{worst}: {len(alarms)} alarms", "\n".join([*lines, "", f"Reference: {key}"]))


def _line(severity: str, kind: str, found: Sequence[Alarm]) -> str:
    named = ", ".join(alarm.source or alarm.message[:80] for alarm in found[:_EXAMPLES])
    more = f" and {len(found) - _EXAMPLES} more" if len(found) > _EXAMPLES else ""
    return f"{severity} {kind}: {len(found)} ({named}{more})"


def retry_after_s(tries: int) -> int | None:
    """Seconds to wait after a failed try; None: it is given up."""
    waits = (5, 30, 120, 600, 1800)
    return waits[tries - 1] if tries <= len(waits) else None


def by_channel(found: Iterable[DueNotification]) -> Mapping[str, list[DueNotification]]:
    """Notifications by channel."""
    grouped: dict[str, list[DueNotification]] = {}
    for one in found:
        grouped.setdefault(one.channel_id, []).append(one)
    return grouped
