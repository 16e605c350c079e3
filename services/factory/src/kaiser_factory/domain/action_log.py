"""Finds the new reports of an action's state: a module sends each several times, on two topics; pure."""

from collections import deque
from dataclasses import dataclass, field

from kaiser_factory_dialect.messages import ActionState

RANKS = {"UNKNOWN": 0, "WAITING": 1, "INITIALIZING": 2, "RUNNING": 3, "PAUSED": 3, "FINISHED": 4, "FAILED": 4}
_REPEATS = 8


@dataclass(slots=True)
class _Last:
    states: dict[str, str] = field(default_factory=dict)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=_REPEATS))


class ActionLog:
    """The last states of the last eight actions of each serial."""

    def __init__(self) -> None:
        self._serials: dict[str, _Last] = {}

    def is_new(self, serial: str, action: ActionState) -> bool:
        """Note a state; False for a repetition, and for one that a later state has overtaken."""
        last = self._serials.setdefault(serial, _Last())
        before = last.states.get(action.id)
        if before == action.state or (before is not None and RANKS[action.state] < RANKS[before]):
            return False
        if before is not None and RANKS[before] == RANKS["FINISHED"]:
            return False
        if before is None:
            if len(last.recent) == _REPEATS:
                last.states.pop(last.recent[0], None)
            last.recent.append(action.id)
        last.states[action.id] = action.state
        return True

    def recall(self, serial: str, action_id: str, state: str) -> None:
        """Take a state as noted: it was stored before. Oldest first."""
        self.is_new(serial, ActionState(action_id, None, state if state in RANKS else "UNKNOWN"))  # type: ignore[arg-type]
