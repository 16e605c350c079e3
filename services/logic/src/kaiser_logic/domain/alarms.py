"""The open alarms of the kinds that rules name; pure.

A kind is known once its alarms were listed; until then a condition on it is neither true nor false. Events before and
after the list are distinguished by the number of an alarm's newest step, so they may come in any order, and twice.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from kaiser_common.contract.schemas.api.rules import AlarmCondition
from kaiser_common.contract.schemas.event import AlarmSeverity, AlarmState

_RANK: Mapping[str, int] = MappingProxyType({"info": 0, "warning": 1, "critical": 2})
_STATES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "standing": frozenset({"raised", "acknowledged"}),
        "raised": frozenset({"raised"}),
        "acknowledged": frozenset({"acknowledged"}),
        "cleared": frozenset({"cleared"}),
    }
)
_CLOSED_REMEMBERED = 10_000


class AlarmInput(NamedTuple):
    """An alarm after a step, as rules see it."""

    alarm_id: str
    step: int
    kind: str
    source: str
    severity: AlarmSeverity
    state: AlarmState
    esp_id: str | None = None


class Alarms:
    """The open alarms of each watched kind, by source: of a condition at most one is open."""

    def __init__(self) -> None:
        self._open: dict[str, dict[str, AlarmInput]] = {}
        self._counts: dict[str, Counter[tuple[str, str]]] = {}
        self._of_device: dict[tuple[str, str], dict[str, AlarmInput]] = {}
        self._closed: OrderedDict[str, int] = OrderedDict()
        """The last step of alarms that were closed: what comes of them later is older."""
        self._known: set[str] = set()
        self._touched: dict[str, set[str]] = {}
        """By a kind that is being listed: the sources of the events that came since."""
        self.unlisted: set[str] = set()
        """Kinds whose alarms are to be listed."""

    def watch(self, kind: str) -> None:
        """Keep the alarms of a kind from now on."""
        if kind not in self._open:
            self._open[kind], self._counts[kind] = {}, Counter()
            self.unlisted.add(kind)

    def unwatch(self, kind: str) -> None:
        """Forget a kind."""
        for alarm in list(self._open.pop(kind, {}).values()):
            self._of_device.pop((kind, alarm.esp_id or ""), None)
        self._counts.pop(kind, None)
        self._touched.pop(kind, None)
        self._known.discard(kind)
        self.unlisted.discard(kind)

    def list_again(self) -> None:
        """Events may be missing: what is known stays in force until the alarms were listed again."""
        self.unlisted |= self._open.keys()

    def begin_list(self, kind: str) -> None:
        """The alarms of a kind are asked for now."""
        self._touched[kind] = set()

    def listed(self, kind: str, alarms: Iterable[AlarmInput]) -> None:
        """Take the open alarms of a kind. Events received since `begin_list` are newer and stay."""
        touched = self._touched.pop(kind, None)
        if touched is None or kind not in self._open:
            return  # no rule names it any more
        there = {alarm.source: alarm for alarm in alarms}
        for source in [source for source in self._open[kind] if source not in there and source not in touched]:
            self._put(kind, source, None)
        for source, alarm in there.items():
            if source not in touched:
                self._put(kind, source, alarm)
        self._known.add(kind)
        self.unlisted.discard(kind)

    def note(self, alarm: AlarmInput) -> bool:
        """Take a step of an alarm; whether it changed what a condition may see."""
        of_kind = self._open.get(alarm.kind)
        if of_kind is None or alarm.step <= self._closed.get(alarm.alarm_id, 0):
            return False
        before = of_kind.get(alarm.source)
        if before is not None and before.alarm_id == alarm.alarm_id and alarm.step <= before.step:
            return False
        if alarm.kind in self._touched:
            self._touched[alarm.kind].add(alarm.source)
        if alarm.state == "closed":
            self._closed[alarm.alarm_id] = alarm.step
            if len(self._closed) > _CLOSED_REMEMBERED:
                self._closed.popitem(last=False)
            if before is not None and before.alarm_id != alarm.alarm_id:
                return False  # a newer alarm of the condition is open
            self._put(alarm.kind, alarm.source, None)
            return before is not None
        self._put(alarm.kind, alarm.source, alarm)
        return before is None or (before.state, before.severity) != (alarm.state, alarm.severity)

    def holds(self, condition: AlarmCondition) -> bool | None:
        """Whether at least one alarm is as a condition says; None while its kind is not known."""
        if condition.kind not in self._known:
            return None
        least = _RANK[condition.severity or "info"]
        states = _STATES[condition.state]
        if condition.source is None and condition.esp_id is None:
            counts = self._counts[condition.kind]
            return any(
                count > 0 and state in states and _RANK[severity] >= least
                for (severity, state), count in counts.items()
            )
        return any(
            alarm.state in states and _RANK[alarm.severity] >= least and condition.esp_id in (None, alarm.esp_id)
            for alarm in self._candidates(condition)
        )

    def _candidates(self, condition: AlarmCondition) -> Iterable[AlarmInput]:
        if condition.source is not None:
            found = self._open[condition.kind].get(condition.source)
            return () if found is None else (found,)
        return self._of_device.get((condition.kind, condition.esp_id or ""), {}).values()

    def _put(self, kind: str, source: str, alarm: AlarmInput | None) -> None:
        before = self._open[kind].pop(source, None)
        if before is not None:
            self._counts[kind][before.severity, before.state] -= 1
            of_device = self._of_device.get((kind, before.esp_id or ""), {})
            of_device.pop(source, None)
            if not of_device:
                self._of_device.pop((kind, before.esp_id or ""), None)
        if alarm is not None:
            self._open[kind][source] = alarm
            self._counts[kind][alarm.severity, alarm.state] += 1
            self._of_device.setdefault((kind, alarm.esp_id or ""), {})[source] = alarm
