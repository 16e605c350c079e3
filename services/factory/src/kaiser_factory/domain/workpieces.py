"""Derives the stations and the checks of a workpiece from the steps of its orders; pure."""

from collections.abc import Sequence

from kaiser_common.contract.schemas.api.factory import FactoryTimeline, WorkpieceStation
from kaiser_factory_dialect.stations import STATIONS, station_of

_CHECKED = 200
_REPORTED_BEFORE_MS, _REPORTED_AFTER_MS = 2_000, 10_000
"""The picture of a check comes about when its action ends."""


def stations(orders: Sequence[FactoryTimeline]) -> list[WorkpieceStation]:
    """The stations that a workpiece has passed, in order of time. A check that failed was passed too."""
    found = [
        WorkpieceStation(
            code=code,
            what=STATIONS[code],
            at=at,
            serial=step.serial,
            order_id=timeline.order.order_id,
            result=step.result,
        )
        for timeline in orders
        for step in timeline.steps
        if (code := station_of(step.module_type, step.command)) is not None
        and (step.state == "FINISHED" or (code == _CHECKED and step.state == "ERROR"))
        and (at := step.finished_at or step.stopped) is not None
    ]
    return sorted(found, key=lambda one: one.at)


def checked_between(orders: Sequence[FactoryTimeline]) -> list[tuple[int, int]]:
    """The spans (ms) in which a check of this workpiece was reported, at most 20."""
    return [
        (step.running_at - _REPORTED_BEFORE_MS, (step.finished_at or step.running_at) + _REPORTED_AFTER_MS)
        for timeline in orders
        for step in timeline.steps
        if station_of(step.module_type, step.command) == _CHECKED and step.running_at is not None
    ][:20]
