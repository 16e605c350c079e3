"""Computes the figures of a time window from stored rows; pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from statistics import linear_regression
from typing import NamedTuple

from kaiser_common.contract.schemas.api.factory import FactoryFigures, LeadTimes, MachineFigures
from kaiser_common.contract.times import ms_of

_UP = frozenset({"READY", "BUSY"})


class AgvTime(NamedTuple):
    """How an AGV was from a time on. battery in %."""

    serial: str
    at: datetime
    driving: bool | None
    waiting: bool | None
    charging: bool | None
    battery: float | None


def figures(
    start: datetime,
    end: datetime,
    *,
    availability: Sequence[tuple[str, datetime, str, float | None]],
    nodes: Sequence[tuple[str, datetime, str, float | None]],
    actions: Sequence[tuple[str, str, float]],
    samples: Sequence[AgvTime],
    checks: tuple[int, int],
    checkers: frozenset[str],
    ends: Sequence[tuple[str, str | None, int | None]],
    planned_s: Mapping[str, float],
) -> FactoryFigures:
    """The figures of each module and AGV, and of the line.

    checkers: the serials that check quality. ends: state, type and lead time of each order. planned_s: how long the
    central control plans for an order of each type.
    """
    up = {serial: _share(times, start, end) for serial, times in _by_serial(availability).items()}
    fastest = _fastest(actions)
    performance = {serial: _performance(serial, done, fastest) for serial, done in _actions(actions).items()}
    metres: dict[str, float] = defaultdict(float)
    for serial, at, _, length in nodes:
        if at >= start and length is not None:
            metres[serial] += length / 1000
    agvs = _of_agvs(samples, end)
    serials = sorted({*up, *performance, *metres, *agvs})
    checked, passed = checks
    window_h = (end - start).total_seconds() / 3600
    lead = sorted(one for state, _, one in ends if state == "FINISHED" and one is not None)
    finished = sum(state == "FINISHED" for state, _, _ in ends)
    return FactoryFigures(
        from_ms=ms_of(start),
        to_ms=ms_of(end),
        machines=[
            _machine(
                serial,
                up.get(serial),
                performance.get(serial),
                passed / checked if serial in checkers and checked else 1.0,
                sum(one == serial for one, _, _ in actions),
                metres.get(serial),
                agvs.get(serial, _NO_AGV),
            )
            for serial in serials
        ],
        orders=finished,
        orders_per_hour=finished / window_h if window_h else 0.0,
        yield_share=finished / len(ends) if ends else None,
        lead_ms_p50=_percentile(lead, 0.5),
        lead_ms_p90=_percentile(lead, 0.9),
        types=_lead_times(ends, planned_s),
    )


def _lead_times(ends: Iterable[tuple[str, str | None, int | None]], planned_s: Mapping[str, float]) -> list[LeadTimes]:
    """The lead times of each type of workpiece beside the planned one."""
    by_type: dict[str, list[int]] = {}
    for state, kind, lead in ends:
        if state == "FINISHED" and kind is not None and lead is not None:
            by_type.setdefault(kind, []).append(lead)
    return [
        LeadTimes(
            type=kind,
            orders=len(found),
            lead_ms_p50=_percentile(sorted(found), 0.5),
            lead_ms_p90=_percentile(sorted(found), 0.9),
            planned_ms=round(planned_s[kind] * 1000) if kind in planned_s else None,
        )
        for kind, found in sorted(by_type.items())
    ]


def _machine(
    serial: str,
    availability: float | None,
    performance: float | None,
    quality: float,
    actions: int,
    metres: float | None,
    agv: "_OfAgv",
) -> MachineFigures:
    oee = None if availability is None or performance is None else availability * performance * quality
    return MachineFigures(
        serial=serial,
        availability=availability,
        performance=performance,
        quality=quality,
        oee=oee,
        actions=actions,
        metres=metres,
        driving=agv.driving,
        waiting=agv.waiting,
        charging=agv.charging,
        battery_percent_per_h=agv.battery_percent_per_h,
    )


def _by_serial(
    rows: Iterable[tuple[str, datetime, str, float | None]],
) -> dict[str, list[tuple[datetime, str]]]:
    found: dict[str, list[tuple[datetime, str]]] = {}
    for serial, at, value, _ in rows:
        found.setdefault(serial, []).append((at, value))
    return found


def _share(times: Sequence[tuple[datetime, str]], start: datetime, end: datetime) -> float:
    """The share of the window in which a machine was ready or busy; before its first transition nothing is known."""
    up = 0.0
    for number, (at, value) in enumerate(times):
        until = times[number + 1][0] if number + 1 < len(times) else end
        if value in _UP:
            up += max(0.0, (min(until, end) - max(at, start)).total_seconds())
    return up / (end - start).total_seconds()


def _actions(actions: Iterable[tuple[str, str, float]]) -> dict[str, list[tuple[str, float]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    for serial, command, seconds in actions:
        found.setdefault(serial, []).append((command, seconds))
    return found


def _fastest(actions: Iterable[tuple[str, str, float]]) -> dict[tuple[str, str], float]:
    """The fastest-tenth duration of each command of each serial."""
    durations: dict[tuple[str, str], list[float]] = {}
    for serial, command, seconds in actions:
        durations.setdefault((serial, command), []).append(seconds)
    return {key: sorted(found)[(len(found) - 1) // 10] for key, found in durations.items()}


def _performance(serial: str, done: Sequence[tuple[str, float]], fastest: dict[tuple[str, str], float]) -> float | None:
    actual = sum(seconds for _, seconds in done)
    return min(1.0, sum(fastest[serial, command] for command, _ in done) / actual) if actual else None


class _OfAgv(NamedTuple):
    driving: float | None = None
    waiting: float | None = None
    charging: float | None = None
    battery_percent_per_h: float | None = None


_NO_AGV = _OfAgv()


def _of_agvs(samples: Iterable[AgvTime], end: datetime) -> dict[str, _OfAgv]:
    """Of each AGV the shares of the sampled time, and how its battery changes while it does not charge."""
    by_serial: dict[str, list[AgvTime]] = {}
    for one in samples:
        by_serial.setdefault(one.serial, []).append(one)
    found: dict[str, _OfAgv] = {}
    for serial, times in by_serial.items():
        total = (end - times[0].at).total_seconds()
        if total <= 0:
            continue
        ends = [*(one.at for one in times[1:]), end]
        lasted = [(until - one.at).total_seconds() for one, until in zip(times, ends, strict=True)]
        driving, waiting, charging = (
            sum(seconds for one, seconds in zip(times, lasted, strict=True) if getattr(one, name)) / total
            for name in ("driving", "waiting", "charging")
        )
        found[serial] = _OfAgv(driving, waiting, charging, _battery_slope(times))
    return found


def _battery_slope(times: Sequence[AgvTime]) -> float | None:
    """The line through the battery's samples since it last charged, in % an hour; None: there are too few."""
    since = max((place + 1 for place, one in enumerate(times) if one.charging), default=0)
    points = [(one.at.timestamp() / 3600, one.battery) for one in times[since:] if one.battery is not None]
    if all(one == other for (one, _), (other, _) in pairwise(points)):
        return None
    return linear_regression([at for at, _ in points], [percent for _, percent in points]).slope


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    return None if not ordered else ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]
