"""Time windows by a wall clock, pure.

A window is given in local time of its time zone. When clocks go forward, the skipped times do not exist: a window that
starts in the gap starts at the end of the gap, and a window that lies within the gap does not occur that day. When
clocks go back, an hour occurs twice, and both belong to the window.
"""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from kaiser_common.contract.schemas.api.rules import TimeWindow
from kaiser_common.contract.times import ms_of, time_of

_HALF_HOUR_MS = 1_800_000


def contains(window: TimeWindow, now_ms: int) -> bool:
    """Whether the window is open."""
    local = time_of(now_ms).astimezone(ZoneInfo(window.timezone))
    shown = local.time()
    start, end = window.start_time, window.end_time
    if start < end:
        return start <= shown < end and _on(window, local.date())
    if shown >= start:
        return _on(window, local.date())
    return shown < end and _on(window, local.date() - timedelta(days=1))


def look_again_at(window: TimeWindow, now_ms: int) -> int:
    """A time (ms) after now up to which `contains` does not change; at most half an hour away.

    Clocks are put forward and back on the half hour of UTC everywhere, so it need not be known when that is.
    """
    zone = ZoneInfo(window.timezone)
    today = time_of(now_ms).astimezone(zone).date()
    bounds = [
        ms_of(datetime.combine(day, shown, zone).replace(fold=fold))
        for day in (today, today + timedelta(days=1))
        for shown in _shown(window)
        for fold in (0, 1)
    ]
    half_hour = (now_ms // _HALF_HOUR_MS + 1) * _HALF_HOUR_MS
    return min([bound for bound in bounds if bound > now_ms] + [half_hour])


def _shown(window: TimeWindow) -> tuple[time, time]:
    return window.start_time, window.end_time


def _on(window: TimeWindow, day: date) -> bool:
    return window.days_of_week is None or day.weekday() in window.days_of_week
