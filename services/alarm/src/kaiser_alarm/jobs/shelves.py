"""Ends the shelving of alarms whose time is over, and sets the gauges of open and active alarms."""

from collections import Counter
from collections.abc import Callable

from kaiser_common.contract.times import time_of
from kaiser_common.runtime.database import DatabasePool

from kaiser_alarm import metrics
from kaiser_alarm.domain import life
from kaiser_alarm.domain.board import Board
from kaiser_alarm.store import alarms

_AT_ONCE = 500
_MOST_KINDS = 100


async def look_at_shelves(
    pool: DatabasePool, board: Board, on_steps: Callable[[], None], clock_ms: Callable[[], int]
) -> None:
    """Take off what is due. Killed before the commit: the next look does it."""
    now = clock_ms()
    async with pool.connection() as connection:
        due = await alarms.shelves_over(connection, time_of(now), _AT_ONCE)
        steps = [step for alarm in due if (step := life.unshelved(alarm, now, None)) is not None]
        await alarms.note_steps(connection, steps)
    board.take(steps)
    if steps:
        on_steps()
    count_open(board)


def count_open(board: Board) -> None:
    """Set the gauges of open and active alarms."""
    found = Counter((alarm.severity, alarm.state) for alarm in board.alarms.values())
    for severity in ("critical", "warning", "info"):
        for state in ("raised", "acknowledged", "cleared"):
            metrics.OPEN.labels(severity, state).set(found[severity, state])
    kinds = Counter(alarm.kind for alarm in board.alarms.values() if life.is_active(alarm))
    named = dict(kinds.most_common(_MOST_KINDS))
    metrics.ACTIVE.clear()
    for kind, number in named.items():
        metrics.ACTIVE.labels(kind).set(number)
    if len(kinds) > len(named):
        metrics.ACTIVE.labels("other").set(kinds.total() - sum(named.values()))
