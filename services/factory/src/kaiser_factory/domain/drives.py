"""Splits the drives of AGVs into parts (pass, turn, dock) by the state changes of their actions; pure."""

from collections.abc import Iterable
from typing import NamedTuple

from kaiser_common.contract.schemas.api.factory import DrivePart

PARTS = frozenset({"PASS", "TURN", "DOCK"})
"""The actions of an AGV at a node; DOCK ends its drive, and has the id of the order's step."""
_ENDS = frozenset({"FINISHED", "FAILED"})


class DriveTransition(NamedTuple):
    """A state of an AGV's action. at: ms of receipt."""

    serial: str
    at: int
    state: str
    action_id: str
    command: str


def parts_of(transitions: Iterable[DriveTransition]) -> dict[str, list[DrivePart]]:
    """The parts of each way by the id of its DOCK, from the transitions of each AGV in their order.

    A part begins where the one before ended, so it holds the road to its node. A way that was not watched from its
    first report on begins with the first report that there is.
    """
    found: dict[str, list[DrivePart]] = {}
    ways: dict[str, _Way] = {}
    for one in transitions:
        way = ways.get(one.serial)
        if way is None:
            way = ways[one.serial] = _Way(one.at, [], set())
        if one.state not in _ENDS or one.action_id in way.done:
            continue
        way.done.add(one.action_id)
        started = way.parts[-1].stopped if way.parts else way.began_at
        way.parts.append(DrivePart(command=one.command, started=started, stopped=one.at))
        if one.command == "DOCK":
            found[one.action_id] = way.parts
            del ways[one.serial]
    return found


class _Way(NamedTuple):
    began_at: int
    parts: list[DrivePart]
    done: set[str]
