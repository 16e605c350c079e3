"""The database goes away while notifications are sent: an outage, which the loop waits for, and not a bug. Several
messages to a channel fail at once: one alarm of the channel."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from kaiser_alarm.domain.board import Board
from kaiser_alarm.domain.life import Key, Raise
from kaiser_alarm.domain.names import nobody_called
from kaiser_alarm.jobs import notify
from kaiser_alarm.jobs.notify import Notifying
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings


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
    job = Notifying(pool, Board(), None, None, lambda _: None, nobody_called, lambda: None, lambda: 0, 300.0, "en")  # type: ignore[arg-type]
    with pytest.raises(psycopg.OperationalError):
        await job.look()
    assert pool.asked == 3, "the second message was tried too"


async def test_several_messages_that_fail_at_once_are_one_alarm_of_their_channel(make_database):
    async with open_pool(CommonSettings(database_url=make_database()), "test") as pool:
        board = Board()
        job = Notifying(pool, board, None, None, lambda _: None, nobody_called, lambda: None, lambda: 0, 300.0, "en")  # type: ignore[arg-type]
        key = Key("delivery_failed", "hook")
        await asyncio.gather(*(job._find(Raise(key, "critical", "no answer", at)) for at in range(1, 5)))
        async with pool.connection() as connection:
            cursor = await connection.execute("SELECT kind, source, times FROM alarm.alarms")
            assert await cursor.fetchall() == [("delivery_failed", "hook", 1)]
    assert set(board.alarms) == {key}
