"""The active alarms in order, so that the worst few of many are found without a look at the others; pure."""

from bisect import bisect_left, insort
from collections import Counter
from itertools import islice

from kaiser_common.contract.schemas.api.alarms import Alarm

from kaiser_alarm.domain.life import RANK, is_active, is_shelved

_Order = tuple[int, int, str]
"""The worst come first, then the newest; the id makes it the alarm's own."""


class ActiveList:
    """The alarms whose condition holds."""

    def __init__(self) -> None:
        self._orders: list[_Order] = []
        self._alarms: dict[_Order, Alarm] = {}
        self._kinds: Counter[str] = Counter()
        self._shelved: dict[_Order, Alarm] = {}

    def replace(self, before: Alarm | None, alarm: Alarm | None) -> None:
        """Take an alarm in the place of what it was before; None for an alarm that there is not."""
        if before is not None and is_active(before):
            self._remove(before)
        if alarm is not None and is_active(alarm):
            self._add(alarm)

    def worst(self, now: int, most: int) -> list[Alarm]:
        """At most so many of those that are not shelved, the worst first, then the newest. Those that are shelved are
        skipped, so the cost is `most` and their number."""
        alarms = (self._alarms[order] for order in self._orders)
        return list(islice((each for each in alarms if not is_shelved(each, now)), most))

    def kinds(self, now: int) -> Counter[str]:
        """How many of those that are not shelved there are of each kind."""
        return self._kinds - Counter(each.kind for each in self._shelved.values() if is_shelved(each, now))

    def _add(self, alarm: Alarm) -> None:
        order = _order_of(alarm)
        insort(self._orders, order)
        self._alarms[order] = alarm
        self._kinds[alarm.kind] += 1
        if alarm.shelved_until is not None:
            self._shelved[order] = alarm

    def _remove(self, alarm: Alarm) -> None:
        order = _order_of(alarm)
        del self._orders[bisect_left(self._orders, order)]
        del self._alarms[order]
        self._shelved.pop(order, None)
        self._kinds[alarm.kind] -= 1


def _order_of(alarm: Alarm) -> _Order:
    return (-RANK[alarm.severity], -alarm.last_raised_at, alarm.alarm_id)
