"""A sequence of commands: the states of the earlier steps decide which step is sent next."""

from collections.abc import Mapping, Sequence

from kaiser_factory_dialect.journal import OPEN_STATES
from kaiser_factory_dialect.steering import PlannedMessage


def due_step(steps: Sequence[PlannedMessage], states: Mapping[str, str]) -> PlannedMessage | None:
    """The step that is to be sent; None: one has not ended, all are sent, or the sequence is stopped.

    states: by action id the journal's state of each step that was queued.
    """
    if is_stopped(steps, states):
        return None
    waiting = next((one for one in steps if one.command.action_id not in states), None)
    if waiting is None or (waiting.after is not None and states.get(waiting.after) != "finished"):
        return None
    return waiting


def is_stopped(steps: Sequence[PlannedMessage], states: Mapping[str, str]) -> bool:
    """Whether a step ended otherwise than finished: what follows is abandoned."""
    ended = (states.get(one.command.action_id or "", "queued") for one in steps)
    return any(state != "finished" and state not in OPEN_STATES for state in ended)
