"""Figures of alarms by kind, source or zone, from those of single conditions; pure."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from kaiser_common.contract.schemas.api.alarms import AlarmFigure, FiguresBy
from kaiser_common.contract.schemas.event import AlarmSeverity

from kaiser_alarm.domain.life import RANK


class Stood(NamedTuple):
    """A condition in a span of time. times: how often it began in it; standing_s: for how long it held in it."""

    kind: str
    source: str
    esp_id: str | None
    gpio: int | None
    sensor_type: str | None
    address: str | None
    severities: list[AlarmSeverity]
    times: int
    standing_s: float
    stands: bool


class Acknowledged(NamedTuple):
    """How often a condition was acknowledged, and how long (s) that took: all together, and at most."""

    kind: str
    source: str
    esp_id: str | None
    severities: list[AlarmSeverity]
    times: int
    waited_s: float
    longest_s: float


def figures_by(
    by: FiguresBy,
    stood: Iterable[Stood],
    acknowledged: Iterable[Acknowledged],
    zone_of: Callable[[str], str | None],
) -> list[AlarmFigure]:
    """The figures of each kind, source or zone, the longest standing first. One that was acknowledged in the span and
    did not hold in it has its row too."""
    held: dict[str, list[Stood]] = {}
    known: dict[str, list[Acknowledged]] = {}
    for one in stood:
        held.setdefault(_name(by, one, zone_of), []).append(one)
    for other in acknowledged:
        known.setdefault(_name(by, other, zone_of), []).append(other)
    found = [_figure(by, name, held.get(name, []), known.get(name, [])) for name in held.keys() | known.keys()]
    return sorted(found, key=lambda figure: (-figure.standing_s, -figure.times, figure.name))


def _name(by: FiguresBy, one: Stood | Acknowledged, zone_of: Callable[[str], str | None]) -> str:
    match by:
        case "kind":
            return one.kind
        case "source":
            return one.source
        case "zone":
            return (zone_of(one.esp_id) if one.esp_id is not None else None) or ""


def _figure(by: FiguresBy, name: str, held: list[Stood], known: list[Acknowledged]) -> AlarmFigure:
    severities = {severity for one in held for severity in one.severities}
    severities |= {severity for other in known for severity in other.severities}
    times = sum(one.times for one in known)
    of_source = held[0] if by == "source" and held else None
    return AlarmFigure(
        name=name,
        severity=max(severities, key=lambda severity: RANK[severity]),
        times=sum(one.times for one in held),
        conditions=len(held),
        standing_s=sum(one.standing_s for one in held),
        standing_now=sum(one.stands for one in held),
        acknowledged=times,
        mean_to_acknowledge_s=sum(one.waited_s for one in known) / times if times else None,
        longest_to_acknowledge_s=max((one.longest_s for one in known), default=None),
        esp_id=(held or known)[0].esp_id if by == "source" else None,
        gpio=of_source.gpio if of_source else None,
        sensor_type=of_source.sensor_type if of_source else None,
        address=of_source.address if of_source else None,
    )
