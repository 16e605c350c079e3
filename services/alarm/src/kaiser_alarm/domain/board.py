"""The alarms that are not closed, in memory, so that most events need no database query; pure.

The table decides. The board lets through the findings that may change an alarm; these are applied to the locked rows,
and the board takes over the steps after the commit. A board that is out of date lets too much through, or is loaded
again (ReadElsewhere).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from kaiser_common.contract.schemas.api.alarms import Alarm

from kaiser_alarm.domain.active import ActiveList
from kaiser_alarm.domain.conditions import is_of_left_environment
from kaiser_alarm.domain.life import Finding, Key, LifeStep, Raise, is_active, raised

_OF_SENSORS = ("sensor_", "limit_")

Found = tuple[Finding, str]
"""A finding, and the event that it comes from."""


class Board:
    """The open alarms by condition."""

    def __init__(self) -> None:
        self.alarms: dict[Key, Alarm] = {}
        self._watched: Counter[str] = Counter()
        self._active = ActiveList()

    @property
    def watched(self) -> Mapping[str, int]:
        """The devices with an active alarm of one of their sensors."""
        return self._watched

    def load(self, alarms: Iterable[Alarm]) -> None:
        """Begin with what the table has."""
        self.alarms, self._watched, self._active = {}, Counter(), ActiveList()
        for alarm in alarms:
            self._put(Key(alarm.kind, alarm.source), alarm)

    def take(self, steps: Sequence[LifeStep]) -> None:
        """Take steps that are committed."""
        for step in steps:
            alarm = step.alarm
            self._put(Key(alarm.kind, alarm.source), None if alarm.state == "closed" else alarm)

    def active(self, now: int, most: int) -> list[Alarm]:
        """The alarms whose condition holds and that are not shelved, the worst first, then the newest; at most so many
        of them, however many there are."""
        return self._active.worst(now, most)

    def active_kinds(self, now: int) -> Counter[str]:
        """How many alarms whose condition holds and that are not shelved there are of each kind."""
        return self._active.kinds(now)

    def relevant(self, findings: Iterable[Found]) -> list[Found]:
        """The findings that may change an alarm, in order."""
        touched: set[Key] = set()
        kept: list[Found] = []
        for finding, origin in findings:
            if finding.key not in touched and not self._changes(finding):
                continue
            touched.add(finding.key)
            kept.append((finding, origin))
        return kept

    def _changes(self, finding: Finding) -> bool:
        alarm = self.alarms.get(finding.key)
        if isinstance(finding, Raise):
            return not is_of_left_environment(finding) and raised(alarm, finding, "") is not None
        return alarm is not None and is_active(alarm)

    def _put(self, key: Key, alarm: Alarm | None) -> None:
        before = self.alarms.pop(key, None)
        self._active.replace(before, alarm)
        for one, change in ((before, -1), (alarm, 1)):
            if one is not None and one.esp_id is not None and is_active(one) and key.kind.startswith(_OF_SENSORS):
                self._watched[one.esp_id] += change
                if not self._watched[one.esp_id]:
                    del self._watched[one.esp_id]
        if alarm is not None:
            self.alarms[key] = alarm


def at_time(finding: Finding, at: int) -> Finding:
    """A finding at another time, with a source that the table takes."""
    key = Key(finding.key.kind, finding.key.source.replace("\0", "")[:200])
    return replace(finding, at=at, key=key)
