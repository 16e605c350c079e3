"""Figures over a window out of what was stored; pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from kaiser_common.contract.schemas.api.factory import FactoryFigures, MachineFigures

_UP = frozenset({"READY", "BUSY"})


def figures(
    start: datetime,
    end: datetime,
    *,
    availability: Sequence[tuple[str, datetime, str, float | None]],
    nodes: Sequence[tuple[str, datetime, str, float | None]],
    actions: Sequence[tuple[str, str, float]],
    samples: Sequence[tuple[str, datetime, bool | None, bool | None]],
    checks: tuple[int, int],
    checkers: frozenset[str],
    ends: Sequence[tuple[str, int | None]],
) -> FactoryFigures:
    """The figures of each module and AGV, and of the line. checkers: the serials that check quality."""
    up = {serial: _share(times, start, end) for serial, times in _by_serial(availability).items()}
    fastest = _fastest(actions)
    performance = {serial: _performance(serial, done, fastest) for serial, done in _actions(actions).items()}
    metres: dict[str, float] = defaultdict(float)
    for serial, at, _, length in nodes:
        if at >= start and length is not None:
            metres[serial] += length / 1000
    shares = _sample_shares(samples, end)
    serials = sorted({*up, *performance, *metres, *shares})
    checked, passed = checks
    window_h = (end - start).total_seconds() / 3600
    lead = sorted(one for state, one in ends if state == "FINISHED" and one is not None)
    finished = sum(state == "FINISHED" for state, _ in ends)
    return FactoryFigures(
        from_ms=round(start.timestamp() * 1000),
        to_ms=round(end.timestamp() * 1000),
        machines=[
            _machine(
                serial,
                up.get(serial),
                performance.get(serial),
                passed / checked if serial in checkers and checked else 1.0,
                sum(one == serial for one, _, _ in actions),
                metres.get(serial),
                shares.get(serial, (None, None)),
            )
            for serial in serials
        ],
        orders=finished,
        orders_per_hour=finished / window_h if window_h else 0.0,
        yield_share=finished / len(ends) if ends else None,
        lead_ms_p50=_percentile(lead, 0.5),
        lead_ms_p90=_percentile(lead, 0.9),
    )


def _machine(
    serial: str,
    availability: float | None,
    performance: float | None,
    quality: float,
    actions: int,
    metres: float | None,
    shares: tuple[float | None, float | None],
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
        driving=shares[0],
        charging=shares[1],
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


def _sample_shares(
    samples: Sequence[tuple[str, datetime, bool | None, bool | None]], end: datetime
) -> dict[str, tuple[float | None, float | None]]:
    """Of each AGV the shares of the sampled time in which it drove and charged."""
    by_serial: dict[str, list[tuple[datetime, bool, bool]]] = {}
    for serial, at, driving, charging in samples:
        by_serial.setdefault(serial, []).append((at, bool(driving), bool(charging)))
    found: dict[str, tuple[float | None, float | None]] = {}
    for serial, times in by_serial.items():
        total = (end - times[0][0]).total_seconds()
        driven = charged = 0.0
        for number, (at, driving, charging) in enumerate(times):
            until = times[number + 1][0] if number + 1 < len(times) else end
            seconds = (until - at).total_seconds()
            driven += seconds * driving
            charged += seconds * charging
        found[serial] = (driven / total, charged / total) if total > 0 else (None, None)
    return found


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    return None if not ordered else ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]
