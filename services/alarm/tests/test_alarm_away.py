"""PostgreSQL, which has the alarms, is away: an alarm too, on the bus, by channels, and stored once it is back."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import psycopg
import pytest
from kaiser_alarm.domain.board import Board
from kaiser_alarm.domain.routing import due
from kaiser_alarm.jobs.away import AWAY, DatabaseWatch
from kaiser_alarm.jobs.notify import Ways
from kaiser_alarm.publish.channels import ChannelSender
from kaiser_alarm.publish.events import publish_steps
from kaiser_alarm.publish.reach import guarded
from kaiser_alarm.store import alarms, notifications
from kaiser_alarm.store.sealing import Sealing
from kaiser_common.contract.schemas.api.notifications import Route
from kaiser_common.runtime.database import DatabasePool, open_pool
from kaiser_common.runtime.settings import CommonSettings
from receivers import HttpReceiver

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


class AwayPool:
    """A pool whose database can go away and come back."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool
        self.is_away = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        if self.is_away:
            raise psycopg.OperationalError("connection refused")
        async with self._pool.connection() as connection:
            yield connection


async def events(bus: Any) -> list[dict[str, Any]]:
    state = (await bus.jetstream.stream_info("EVENTS")).state
    numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
    return [json.loads((await bus.jetstream.get_msg("EVENTS", seq=number)).data) for number in numbers]


async def test_a_database_that_is_away_is_an_alarm_at_once_and_in_the_history_later(
    bus: Any, make_database: Any, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
):
    sealing = Sealing(KEY)
    route = Route(route_id="all", channels=["hook"], severities=["critical"], changed_at=1, changed_by="ada")
    ways = Ways([route], {"hook": sealing.seal(receiver.url)})
    sender, board, now = ChannelSender(60.0, guarded((ip_network("127.0.0.0/8"),))), Board(), 1_000_000
    async with open_pool(CommonSettings(database_url=make_database()), "test") as real:
        pool = AwayPool(real)
        watch = DatabaseWatch(pool, bus, board, ways, sender, lambda: sealing, lambda: None, lambda: now, "en")  # type: ignore[arg-type]
        await watch.look()
        pool.is_away = True
        for seconds in (0, 59):
            now = 1_000_000 + seconds * 1000
            await watch.look()
        assert (dict(board.alarms), receiver.taken) == ({}, [])
        for seconds in (60, 65, 70):
            now = 1_000_000 + seconds * 1000
            await watch.look()
        assert board.active(now, 1)[0].kind == "store_paused"
        assert [one["title"][:30] for one in receiver.taken] == ["critical: PostgreSQL has been "]
        assert [(one["kind"], one["what"], one["step"]) for one in await events(bus)] == [("store_paused", "raised", 1)]
        pool.is_away, now = False, 1_600_000
        await watch.look()
        await publish_steps(real, bus)
        async with real.connection() as connection:
            stored = (await alarms.locked(connection, {AWAY}))[AWAY]
            over = list(due(stored, None, [route], now))
            assert [one.channel_id for one in over] == ["hook"]
            assert await notifications.unknown(connection, over) == [], "the channel had it"
    sender.close()
    told = await events(bus)
    assert [(one["what"], one["alarm_id"]) for one in told] == [(one, stored.alarm_id) for one in ("raised", "cleared")]
    assert (stored.state, stored.raised_at, stored.cleared_at) == ("cleared", 1_000_000, 1_600_000)
    assert board.alarms[AWAY].state == "cleared"
    assert board.active(now, 1) == []
