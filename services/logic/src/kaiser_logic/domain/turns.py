"""Keeps an older firing from acting on an actuator or an alarm after a newer one; pure.

Executions run at the same time, try a command again, and are continued after a restart. So an execution may come to an
action when a rule that fired later has acted on the same actuator already: the value it fired by is out of date then,
and the action is left out.
"""

from collections import OrderedDict
from collections.abc import Iterable

Target = tuple[str, int] | str
"""An actuator (esp_id and gpio), or the name of an alarm of rules."""

_REMEMBERED = 50_000


class NewestFirings:
    """The newest firing that acted on each target; of more than 50,000 targets the one acted on first is forgotten."""

    def __init__(self) -> None:
        self._last: OrderedDict[Target, int] = OrderedDict()

    def note(self, targets: Iterable[Target], order: int) -> None:
        """A firing has acted on these, or may have: it was in progress when the process before this one ended."""
        for target in targets if order else ():
            self._last[target] = max(order, self._last.pop(target, 0))
        while len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)

    def take(self, target: Target, order: int) -> bool:
        """Whether a firing may act on a target now; if so, it has acted on it."""
        if order < self._last.get(target, 0):
            return False
        self.note((target,), order)
        return True
