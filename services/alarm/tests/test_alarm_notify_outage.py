"""The database goes away while notifications are sent: an outage, which the loop waits for, and not a bug."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from kaiser_alarm.domain.board import Board
from kaiser_alarm.jobs import notify
from kaiser_alarm.jobs.notify import Notifying


class LeavingPool:
    """Gives one connection, then none."""

    def __init__(self) -> None:
        self.asked = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        self.asked += 1
        if self.asked > 1:
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        yield


async def test_a_database_that_goes_away_between_messages_is_an_outage(monkeypatch: pytest.MonkeyPatch):
    pool = LeavingPool()

    async def no_plan(_: Notifying) -> None: ...

    async def two(*_: object) -> list[object]:
        return [object(), object()]

    monkeypatch.setattr(Notifying, "_plan", no_plan)
    monkeypatch.setattr(notify.notifications, "waiting", two)
    job = Notifying(pool, Board(), None, None, lambda _: None, lambda: None, lambda: 0)  # type: ignore[arg-type]
    with pytest.raises(psycopg.OperationalError):
        await job.look()
    assert pool.asked == 3, "the second message was tried too"
