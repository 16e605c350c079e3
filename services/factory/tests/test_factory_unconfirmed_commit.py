"""A steering request whose commit is not confirmed: it is refused, nothing is sent, and the journal says so."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from kaiser_common.bus.connection import connect
from kaiser_common.bus.consumer import ConsumerPosition
from kaiser_common.bus.rpc import Caller
from kaiser_common.contract.schemas.api.factory import SteerRequest
from kaiser_common.contract.schemas.factory import FactoryEnvironment, FactoryReceipt
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.database import DatabasePool, open_pool
from kaiser_common.runtime.settings import CommonSettings
from kaiser_factory.api.steering import SteeringApi
from kaiser_factory.consumers.journal import Journal
from kaiser_factory.consumers.messages import MessageStore
from kaiser_factory.domain.live import FactoryState
from psycopg import AsyncConnection, OperationalError
from pydantic import SecretStr

ENVIRONMENT = FactoryEnvironment(env="live", kind="live", epoch=3)
PARK = SteerRequest(request={"do": "park"}, idempotency_key="once")
SOMEONE = Caller(user="someone", role="operator")
THE_END = ConsumerPosition(pending=0, unacknowledged=0, delivered=9, acknowledged=9)
A_MINUTE_MS = 60_000


class Unconfirmed:
    """A pool whose transactions end with a lost connection: after the commit, or instead of it."""

    def __init__(self, pool: DatabasePool, *, is_committed: bool) -> None:
        self._pool = pool
        self._is_committed = is_committed

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        async with self._pool.connection() as connection:
            yield connection
            if not self._is_committed:
                raise OperationalError("the connection was lost before the commit")
        raise OperationalError("the connection was lost after the commit")


class CommitsLate:
    """A pool whose connection is lost during the commit, which the server makes later: with `connection.commit()`."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        yield self._connection
        raise OperationalError("the connection was lost during the commit")


class ConfirmsLate:
    """A pool whose commit is made, and confirmed once `confirmed` is set."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool
        self.committed, self.confirmed = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        async with self._pool.connection() as connection:
            yield connection
        self.committed.set()
        await self.confirmed.wait()


@pytest.fixture
def journal_of(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the tables of an empty journal."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE factory.commands")
        yield connection


async def at_end() -> ConsumerPosition:
    return THE_END


@pytest.mark.parametrize("is_committed", [True, False])
async def test_a_command_whose_commit_was_not_confirmed_is_never_sent_and_expires_in_the_journal(
    bus_settings: CommonSettings, database: str, journal_of: psycopg.Connection[Any], is_committed: bool
) -> None:
    with_database = bus_settings.model_copy(update={"database_url": SecretStr(database)})
    sent: list[str] = []

    async def note(message: Any) -> None:
        sent.append(message.subject)

    async with connect(bus_settings, "tests") as bus, open_pool(with_database, "factory", timeout_s=60.0) as pool:
        await bus.client.subscribe("mqtt.factory.command.>", cb=note)
        journal, live = Journal(bus, ENVIRONMENT), FactoryState(ENVIRONMENT, ())
        lost: Any = Unconfirmed(pool, is_committed=is_committed)
        steering = SteeringApi(lost, journal, lambda: live, (), lambda: now_ms() - A_MINUTE_MS)
        with pytest.raises(OperationalError):
            await steering.steer(PARK, SOMEONE)
        await MessageStore(pool, journal).expire(at_end)
        await bus.round_trip()
        states = journal_of.execute("SELECT state FROM factory.commands").fetchall()
        assert (states, sent) == ([("expired",)] if is_committed else [], [])

        again = await SteeringApi(pool, journal, lambda: live, (), now_ms).steer(PARK, SOMEONE)
        assert [each.state for each in again.commands] == ["expired" if is_committed else "queued"]
        await bus.round_trip()
        assert len(sent) == (0 if is_committed else 1)


async def test_a_commit_that_takes_longer_than_the_look_for_it_is_found_later(
    bus_settings: CommonSettings, database: str, journal_of: psycopg.Connection[Any]
) -> None:
    with_database = bus_settings.model_copy(update={"database_url": SecretStr(database)})
    async with (
        connect(bus_settings, "tests") as bus,
        open_pool(with_database, "factory", timeout_s=60.0) as pool,
        await AsyncConnection.connect(database) as slow,
    ):
        journal, live = Journal(bus, ENVIRONMENT), FactoryState(ENVIRONMENT, ())
        late: Any = CommitsLate(slow)
        with pytest.raises(OperationalError):
            await SteeringApi(late, journal, lambda: live, (), lambda: now_ms() - A_MINUTE_MS).steer(PARK, SOMEONE)
        store = MessageStore(pool, journal)
        await store.expire(at_end)
        assert journal_of.execute("SELECT state FROM factory.commands").fetchall() == []
        await slow.commit()
        await store.expire(at_end)
        assert journal_of.execute("SELECT state FROM factory.commands").fetchall() == [("expired",)]


async def test_a_command_that_expired_before_its_commit_was_confirmed_stays_so_and_is_not_sent(
    bus_settings: CommonSettings, database: str, journal_of: psycopg.Connection[Any]
) -> None:
    with_database = bus_settings.model_copy(update={"database_url": SecretStr(database)})
    sent: list[str] = []
    states: list[str] = []

    async def note(message: Any) -> None:
        sent.append(message.subject)

    async def note_state(message: Any) -> None:
        states.append(json.loads(message.data)["state"])

    async with connect(bus_settings, "tests") as bus, open_pool(with_database, "factory", timeout_s=60.0) as pool:
        await bus.client.subscribe("mqtt.factory.command.>", cb=note)
        await bus.client.subscribe("event.factory_command.*", cb=note_state)
        journal, live = Journal(bus, ENVIRONMENT), FactoryState(ENVIRONMENT, ())
        slow: Any = ConfirmsLate(pool)
        steering = SteeringApi(slow, journal, lambda: live, (), lambda: now_ms() - A_MINUTE_MS)
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(steering.steer(PARK, SOMEONE))
            await slow.committed.wait()
            await MessageStore(pool, journal).expire(at_end)
            slow.confirmed.set()
        [command] = asking.result().commands
        await bus.round_trip()
        assert (states, sent) == (["expired"], [])
        receipt = FactoryReceipt(outcome="sent", at=now_ms())
        assert journal.settled([], [(command.command_id, receipt)], None) == []
