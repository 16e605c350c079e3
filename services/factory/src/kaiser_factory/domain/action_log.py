"""Finds the new reports of an action's state: a module sends each several times, on two topics; pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from kaiser_factory_dialect.messages import ActionState

RANKS = {"UNKNOWN": 0, "WAITING": 1, "INITIALIZING": 2, "RUNNING": 3, "PAUSED": 3, "FINISHED": 4, "FAILED": 4}
_REPEATS = 8


@dataclass(slots=True)
class _Last:
    states: dict[str, str] = field(default_factory=dict)
    """By the id of the action, in the order in which they were first reported."""
    listed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The actions in the newest state of each source."""


class ActionLog:
    """The last states of the last eight actions of each serial, and of every action in its newest states: a VDA 5050
    vehicle repeats all actions of its order in each of them."""

    def __init__(self) -> None:
        self._serials: dict[str, _Last] = {}

    def new_of(self, serial: str, source: str, actions: Iterable[ActionState]) -> list[ActionState]:
        """Note the actions of a state; those whose state is neither a repetition nor overtaken by a later one."""
        last = self._serials.setdefault(serial, _Last())
        listed = tuple(actions)
        found = [action for action in listed if _is_new(last, action)]
        last.listed[source] = tuple(action.id for action in listed)
        if found and len(last.states) > _REPEATS:
            kept = {*list(last.states)[-_REPEATS:], *(each for ids in last.listed.values() for each in ids)}
            last.states = {each: state for each, state in last.states.items() if each in kept}
        return found

    def recall(self, serial: str, action_id: str, state: str) -> None:
        """Take a state as noted: it was stored before. Oldest first; the next state says which of them are kept."""
        word = state if state in RANKS else "UNKNOWN"
        _is_new(self._serials.setdefault(serial, _Last()), ActionState(action_id, None, word))  # type: ignore[arg-type]


def _is_new(last: _Last, action: ActionState) -> bool:
    before = last.states.get(action.id)
    if before is not None and (
        before == action.state or RANKS[action.state] < RANKS[before] or RANKS[before] == RANKS["FINISHED"]
    ):
        return False
    last.states[action.id] = action.state
    return True
