"""Keeps an older firing from acting on an actuator or an alarm after a newer one; pure.

Executions run at the same time, try a command again, and are continued after a restart. So an execution may come to an
action after a rule that fired later has acted on the same actuator. The value that it fired by is out of date then, and
the action is left out. A newer firing counts from its first try, even if that is refused. An action that must not be
lost, such as an OFF, waits for the end of that try, and is left out only if the try was accepted.
"""

from collections import OrderedDict
from collections.abc import Iterable

Target = tuple[str, int] | str
"""An actuator (esp_id and gpio), or the name of an alarm of rules."""

_REMEMBERED = 50_000


class NewestFirings:
    """The newest firing that tried to act on each target, and the newest that did; of more than 50,000 targets the one
    acted on first is forgotten. `_trying`: those under way, until `settle` or `end`; as many as executions run."""

    def __init__(self) -> None:
        self._tried: OrderedDict[Target, int] = OrderedDict()
        self._acted: OrderedDict[Target, int] = OrderedDict()
        self._trying: dict[Target, set[int]] = {}

    def note(self, targets: Iterable[Target], order: int, *, acted: bool = True) -> None:
        """A firing has acted on these, or only tried to."""
        for target in targets if order else ():
            _put(self._tried, target, order)
            if acted:
                _put(self._acted, target, order)

    def expect(self, target: Target, order: int) -> None:
        """A firing tries to act on a target: now, or before the process before this one ended, and goes on."""
        self.note((target,), order, acted=False)
        self._trying.setdefault(target, set()).add(order)

    def take(self, target: Target, order: int, *, is_vital: bool = False) -> bool:
        """Whether a firing may act on a target now; if so, it tries to. is_vital: a newer one that was refused does not
        count."""
        if is_vital:
            newest = max((self._acted.get(target, 0), *self._trying.get(target, ())))
        else:
            newest = self._tried.get(target, 0)
        if order < newest:
            return False
        self.expect(target, order)
        return True

    def is_overtaken(self, target: Target, order: int) -> bool:
        """Whether a newer firing has acted on a target."""
        return order < self._acted.get(target, 0)

    def settle(self, target: Target, order: int, *, acted: bool) -> None:
        """Note how a firing's attempt ended: it acted on the target, or was refused."""
        if acted:
            self.note((target,), order)
        self.end((target,), order)

    def end(self, targets: Iterable[Target], order: int) -> None:
        """A firing that may act on these has ended, whatever it tried."""
        for target in targets:
            trying = self._trying.get(target, set())
            trying.discard(order)
            if not trying:
                self._trying.pop(target, None)


def _put(newest: OrderedDict[Target, int], target: Target, order: int) -> None:
    newest[target] = max(order, newest.pop(target, 0))
    while len(newest) > _REMEMBERED:
        newest.popitem(last=False)
