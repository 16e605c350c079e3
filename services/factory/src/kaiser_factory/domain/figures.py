"""Computes the figures of a time window from the sums of each serial; pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from kaiser_common.contract.schemas.api.factory import FactoryFigures, LeadTimes, MachineFigures
from kaiser_common.contract.times import ms_of


class CommandTimes(NamedTuple):
    """The finished actions of one command of a module. seconds: all of them took; fastest_s: a tenth of them took no
    longer than this."""

    serial: str
    command: str
    actions: int
    seconds: float
    fastest_s: float


class AgvShares(NamedTuple):
    """Shares of the sampled time in which an AGV drove, waited and charged, and how its battery changed since it last
    charged."""

    driving: float | None = None
    waiting: float | None = None
    charging: float | None = None
    battery_percent_per_h: float | None = None


class LeadsOf(NamedTuple):
    """Finished orders of a type that have a lead time. type None: of the line, whatever their type."""

    type: str | None
    orders: int
    p50_ms: int
    p90_ms: int


class WindowSums(NamedTuple):
    """The rows of a window, added up by serial. up_s: seconds in which it was ready or busy; passed: share of its
    checks that passed; ended: orders that came to any end, finished ones among them."""

    up_s: Mapping[str, float]
    metres: Mapping[str, float]
    work: Sequence[CommandTimes]
    passed: Mapping[str, float]
    agvs: Mapping[str, AgvShares]
    finished: int
    ended: int
    leads: Sequence[LeadsOf]


_NO_AGV = AgvShares()


def figures(start: datetime, end: datetime, sums: WindowSums, planned_s: Mapping[str, float]) -> FactoryFigures:
    """The figures of each module and AGV, and of the line.

    planned_s: how long the central control plans for an order of each type.
    """
    work: dict[str, list[CommandTimes]] = {}
    for one in sums.work:
        work.setdefault(one.serial, []).append(one)
    window_s = (end - start).total_seconds()
    line = next((one for one in sums.leads if one.type is None), None)
    return FactoryFigures(
        from_ms=ms_of(start),
        to_ms=ms_of(end),
        machines=[
            _machine(serial, sums, work.get(serial, []), window_s)
            for serial in sorted({*sums.up_s, *sums.metres, *sums.agvs, *work})
        ],
        orders=sums.finished,
        orders_per_hour=sums.finished * 3600 / window_s if window_s else 0.0,
        yield_share=sums.finished / sums.ended if sums.ended else None,
        lead_ms_p50=None if line is None else line.p50_ms,
        lead_ms_p90=None if line is None else line.p90_ms,
        types=[
            LeadTimes(
                type=one.type,
                orders=one.orders,
                lead_ms_p50=one.p50_ms,
                lead_ms_p90=one.p90_ms,
                planned_ms=round(planned_s[one.type] * 1000) if one.type in planned_s else None,
            )
            for one in sorted(sums.leads, key=lambda one: one.type or "")
            if one.type is not None
        ],
    )


def _machine(serial: str, sums: WindowSums, work: Sequence[CommandTimes], window_s: float) -> MachineFigures:
    up_s, seconds = sums.up_s.get(serial), sum(one.seconds for one in work)
    availability = None if up_s is None else up_s / window_s
    performance = min(1.0, sum(one.fastest_s * one.actions for one in work) / seconds) if seconds else None
    quality = sums.passed.get(serial, 1.0)
    agv = sums.agvs.get(serial, _NO_AGV)
    return MachineFigures(
        serial=serial,
        availability=availability,
        performance=performance,
        quality=quality,
        oee=None if availability is None or performance is None else availability * performance * quality,
        actions=sum(one.actions for one in work),
        metres=sums.metres.get(serial),
        driving=agv.driving,
        waiting=agv.waiting,
        charging=agv.charging,
        battery_percent_per_h=agv.battery_percent_per_h,
    )
