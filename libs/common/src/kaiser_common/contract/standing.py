"""Conditions of Kaiser's own parts that depend on a figure, and the system events that report them; pure.

A condition begins when its figure (such as how full a stream is) is above `over` for `for_s`, and ends when it is below
`under`. The service that owns the figure publishes an event at each change, and again every five minutes, so the alarm
service learns the state even if events were lost, or a service was killed while a condition held.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from kaiser_common.contract.schemas.device import Severity
from kaiser_common.contract.schemas.event import Fact, SystemEvent
from kaiser_common.contract.system_events import SystemEventName

STREAM_FILLING: SystemEventName = "stream_filling"
DISK_FILLING: SystemEventName = "disk_filling"
CERTIFICATE_ENDING: SystemEventName = "certificate_ending"
REJECTIONS_MANY: SystemEventName = "rejections_many"
STORE_PAUSED: SystemEventName = "store_paused"
"""Names of the events, and kinds of the alarms."""

OVER: SystemEventName = "conditions_over"
"""Name of the event that lists the conditions that do not hold, as [kind, source], in `details.over`."""

AGAIN_EVERY_S = 300.0


class ConditionKey(NamedTuple):
    """A kind, and whose condition it is ("" where there is one alone)."""

    kind: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The figure from which a condition holds, and below which it no longer does; in the unit of the figure."""

    severity: Severity
    over: float
    under: float
    for_s: float = 0.0


class Seen(NamedTuple):
    """A figure as it is now, and the message of the event if the condition holds, with its facts."""

    figure: float
    message: str
    facts: Mapping[str, Fact] = MappingProxyType({})


@dataclass(slots=True)
class _State:
    holds: bool | None = None
    above_since_s: float | None = None


@dataclass(slots=True)
class StandingWatch:
    """The conditions that one process last published. Times are monotonic seconds, except `now_ms` (since 1970)."""

    bounds: Mapping[str, Bounds]
    _states: dict[ConditionKey, _State] = field(default_factory=dict)
    _all_at_s: float | None = None

    def events(
        self,
        seen: Mapping[ConditionKey, Seen],
        now_s: float,
        now_ms: int,
        *,
        holding: Sequence[SystemEvent] = (),
        ended: Sequence[ConditionKey] = (),
    ) -> list[SystemEvent]:
        """The events of a look. A condition that is missing in `seen` is unknown: its state stays and is not
        published. Some conditions publish their changes themselves: `holding` has the events of those that hold now,
        `ended` those that do not.
        """
        again = self._all_at_s is None or now_s - self._all_at_s >= AGAIN_EVERY_S
        if again:
            self._all_at_s = now_s
        begun = list(holding) if again else []
        over = list(ended) if again else []
        for key, (figure, message, facts) in seen.items():
            changed, holds = self._judge(key, figure, now_s)
            if not (changed or again):
                continue
            if holds:
                begun.append(_holds(key, self.bounds[key.kind].severity, message, facts, now_ms))
            else:
                over.append(key)
        return [*begun, *([_over(over, now_ms)] if over else [])]

    def forget(self) -> None:
        """Start again with no conditions: another process watches them now."""
        self._states.clear()
        self._all_at_s = None

    def _judge(self, key: ConditionKey, figure: float, now_s: float) -> tuple[bool, bool]:
        """Whether the state has changed, and whether the condition holds."""
        state, bounds = self._states.setdefault(key, _State()), self.bounds[key.kind]
        before = state.holds
        if figure <= bounds.over:
            state.above_since_s = None
        elif state.above_since_s is None:
            state.above_since_s = now_s
        if state.above_since_s is not None and now_s - state.above_since_s >= bounds.for_s:
            state.holds = True
        elif figure < bounds.under or before is None:
            state.holds = False
        return state.holds != before, bool(state.holds)


def over_of(event: SystemEvent) -> list[ConditionKey]:
    """The conditions that an event OVER lists; items that are not pairs of texts are left out."""
    listed: Any = event.details.get("over", [])
    pairs: Sequence[Any] = listed if isinstance(listed, list) else ()
    return [ConditionKey(*pair) for pair in pairs if _is_key(pair)]


def _is_key(pair: object) -> bool:
    return isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(each, str) for each in pair)


def _holds(key: ConditionKey, severity: Severity, message: str, facts: Mapping[str, Fact], now_ms: int) -> SystemEvent:
    details = {"source": key.source, **facts}
    return SystemEvent(event=key.kind, severity=severity, message=message, details=details, ts=now_ms)


def _over(keys: Sequence[ConditionKey], now_ms: int) -> SystemEvent:
    names = ", ".join(" ".join((each.kind, each.source)).strip() for each in keys)
    details = {"over": [list(each) for each in keys]}
    return SystemEvent(event=OVER, severity="info", message=f"does not hold: {names}", details=details, ts=now_ms)


STANDING: Mapping[str, Bounds] = MappingProxyType(
    {
        STREAM_FILLING: Bounds("critical", 0.7, 0.6),
        DISK_FILLING: Bounds("critical", 0.9, 0.87),
        CERTIFICATE_ENDING: Bounds("warning", -30.0, -31.0),
        REJECTIONS_MANY: Bounds("warning", 0.05, 0.02),
        STORE_PAUSED: Bounds("critical", 60.0, 1.0),
    }
)
"""Shares from 0 to 1; of STORE_PAUSED the seconds since when nothing could be stored, of CERTIFICATE_ENDING the days
since its end: below 0 while it is valid."""
