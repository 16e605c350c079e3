"""The journal at work on a real database and bus: what messages, time and a new start do to open commands."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import psycopg
import pytest
from kaiser_common.bus.connection import connect
from kaiser_common.bus.consumer import ConsumerPosition
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.schemas.factory import FactoryEnvironment, FactoryReceipt
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from kaiser_factory.consumers.command_news import CommandNews
from kaiser_factory.consumers.journal import LATE_WITHIN_MS, STEP_WITHIN_MS, Journal
from kaiser_factory.consumers.messages import MessageStore
from kaiser_factory.store import commands
from kaiser_factory.store.commands import Command, JournalStale
from kaiser_factory_dialect import journal as entries
from kaiser_factory_dialect import wire
from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.commands import FactoryCommand
from kaiser_factory_dialect.messages import ActionState, MachineState
from pydantic import SecretStr
from waiting import WITHIN_S

ENVIRONMENT = FactoryEnvironment(env="live", kind="live", epoch=3)
TEN_MINUTES_MS = 600_000
THE_END = ConsumerPosition(pending=0, unacknowledged=0, delivered=9, acknowledged=9)
BEHIND = replace(THE_END, pending=1)


def pick(queued_at: int) -> Command:
    """A command that a module accepted; it has 60 s to finish it."""
    command = FactoryCommand(
        what="module.order", serial="S1", order_id="o", order_update_id=1, action_id="a", action_ids=("a",),
        command="PICK",
    )  # fmt: skip
    entry = entries.sent(entries.queue(command, queued_at), queued_at)
    return made("pick", command, entries.settle(entry, state("RUNNING", queued_at)))


def lamp(queued_at: int) -> Command:
    """A command of which nothing answers: "sent" is its end."""
    command = FactoryCommand(what="module.instant", serial="S1", name="setStatusLED")
    return made("lamp", command, entries.sent(entries.queue(command, queued_at), queued_at))


def drop(queued_at: int) -> Command:
    """The step that goes once the pick is finished."""
    command = FactoryCommand(
        what="module.order", serial="S1", order_id="o", order_update_id=2, action_id="b", action_ids=("b",),
        command="DROP",
    )  # fmt: skip
    step = made("drop", command, entries.queue(command, queued_at))
    return replace(step, entry=None, after="a", sequence_id="sequence", step=1)


def in_sequence(command: Command) -> Command:
    return replace(command, sequence_id="sequence")


def made(name: str, command: FactoryCommand, entry: entries.JournalEntry) -> Command:
    return Command(
        command_id=name, env="live", epoch=3, request_key=name, step=0, user="someone", request={"do": "command"},
        topic="module/v1/ff/S1/order", payload=b"{}", command=command, queued_at=entry.queued_at, entry=entry,
    )  # fmt: skip


def state(word: str, ts: int) -> MachineState:
    action = ActionState("a", "PICK", word)  # type: ignore[arg-type]
    topic = "module/v1/ff/S1/state"
    kind = FactoryKind.MODULE_STATE
    return MachineState(kind=kind, topic=topic, ts=ts, epoch=3, serial="S1", source="device", action=action)


def delivered(message: MachineState) -> Delivery:
    return Delivery(
        "factory.live.module.state.S1", "$JS.ACK.FACTORY.factory-store.1.1.1.1.0", wire.encode(message), None
    )


async def position(found: ConsumerPosition | None) -> ConsumerPosition | None:
    return found


@pytest.fixture
def stored(database: str):
    """`stored(command_id)`: state and version of its row."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE factory.commands, factory.transitions, factory.steps")
        yield lambda command_id: connection.execute(
            "SELECT state, xmin::text FROM factory.commands WHERE command_id = %s", (command_id,)
        ).fetchone()


@asynccontextmanager
async def at_work(settings: CommonSettings, database: str, *open_ones: Command) -> AsyncIterator[MessageStore]:
    """The store with a journal that has taken these commands up."""
    with_database = settings.model_copy(update={"database_url": SecretStr(database)})
    async with connect(settings, "tests") as bus, open_pool(with_database, "factory", timeout_s=60.0) as pool:
        journal = Journal(bus, ENVIRONMENT)
        async with pool.connection() as connection:
            await commands.insert(connection, open_ones)
            await journal.load(connection)
        yield MessageStore(pool, journal)


@pytest.mark.parametrize(
    ("before", "outcome", "after", "code"),
    [
        ("queued", "sent", "sent", None),
        ("queued", "unconfirmed", "unconfirmed", None),
        ("unconfirmed", "sent", "sent", None),
        ("unconfirmed", "expired", "expired", 5101),
        ("unconfirmed", "refused", "refused", 5405),
        ("queued", "expired", "expired", 5101),
        ("queued", "refused", "refused", 5405),
        ("sent", "refused", "refused", 5405),
        ("sent", "expired", "sent", None),
        ("accepted", "unconfirmed", "accepted", None),
        ("accepted", "expired", "accepted", None),
    ],
)
def test_a_receipt_of_ingest_moves_a_command(before: str, outcome: str, after: str, code: int | None) -> None:
    queued = entries.queue(pick(1000).command, 1000)
    entry = {
        "queued": queued,
        "sent": entries.sent(queued, 1001),
        "unconfirmed": entries.lost(queued, 1001),
        "accepted": entries.settle(entries.sent(queued, 1001), state("RUNNING", 1002)),
    }[before]
    journal = Journal(None, ENVIRONMENT)  # type: ignore[arg-type]
    journal.add([made("pick", entry.command, entry)])
    receipt = FactoryReceipt(outcome=outcome, at=2000, detail="why")  # type: ignore[arg-type]
    moved = journal.settled([], [("pick", receipt), ("unknown", receipt)], None)
    found = moved[0].entry if moved else entry
    assert found is not None
    assert (found.state, found.code) == (after, code)


@pytest.mark.parametrize("unsaid", [BEHIND, replace(THE_END, unacknowledged=1), None])
async def test_the_clock_ends_nothing_while_a_message_that_may_have_ended_it_waits(
    bus_settings: CommonSettings, database: str, stored, unsaid: ConsumerPosition | None
) -> None:
    began = now_ms() - TEN_MINUTES_MS
    async with at_work(bus_settings, database, pick(began)) as store:
        await store.expire(lambda: position(unsaid))  # nothing was stored yet since the start
        assert stored("pick")[0] == "accepted"
        await store.on_messages([delivered(state("FINISHED", began + 5000))])
        assert stored("pick")[0] == "finished"
        await store.expire(lambda: position(THE_END))
        assert stored("pick")[0] == "finished"


async def test_while_messages_wait_time_goes_as_far_as_they_were_stored(
    bus_settings: CommonSettings, database: str, stored
) -> None:
    began = now_ms() - TEN_MINUTES_MS
    async with at_work(bus_settings, database, pick(began)) as store:
        for after_ms, expected in ((59_000, "accepted"), (61_000, "timed_out")):
            await store.on_messages([delivered(state("RUNNING", began + after_ms))])
            await store.expire(lambda: position(BEHIND))
            assert stored("pick")[0] == expected


@pytest.mark.parametrize(("after_ms", "is_noted"), [(LATE_WITHIN_MS, True), (LATE_WITHIN_MS + 60_001, False)])
async def test_a_late_finish_is_noted_within_an_hour(
    bus_settings: CommonSettings, database: str, stored, after_ms: int, is_noted: bool
) -> None:
    began = now_ms() - 2 * LATE_WITHIN_MS
    async with at_work(bus_settings, database, pick(began)) as store:
        await store.expire(lambda: position(THE_END))
        ended = stored("pick")
        assert ended[0] == "timed_out"
        await store.on_messages([delivered(state("FINISHED", began + after_ms))])
        assert (stored("pick") != ended) is is_noted


async def test_time_and_a_message_do_not_decide_on_the_same_command_at_once(
    bus_settings: CommonSettings, database: str, stored, until
) -> None:
    began = now_ms() - TEN_MINUTES_MS
    async with at_work(bus_settings, database, pick(began)) as store:
        with psycopg.connect(database) as another:
            another.execute("SELECT FROM factory.commands FOR UPDATE")  # the batch waits at its last statement
            storing = asyncio.create_task(store.on_messages([delivered(state("FINISHED", began + 5000))]))
            await until(lambda: another.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0])
            expiring = asyncio.create_task(store.expire(lambda: position(THE_END)))
            await asyncio.wait([expiring], timeout=0.5)
        await asyncio.gather(storing, expiring)
        assert stored("pick")[0] == "finished"


async def test_a_command_that_ended_when_it_was_sent_is_not_taken_up_again(
    bus_settings: CommonSettings, database: str, stored
) -> None:
    of_before = [replace(each(now_ms()), epoch=2) for each in (lamp, pick)]
    async with at_work(bus_settings, database, *of_before):
        assert stored("pick")[0] == "abandoned"
        ended = stored("lamp")
    async with at_work(bus_settings, database):
        assert stored("lamp") == ended
    assert ended[0] == "sent"


@pytest.mark.parametrize(("ago_ms", "expected"), [(1_000, "queued"), (STEP_WITHIN_MS + 60_000, "abandoned")])
async def test_a_step_follows_soon_or_never(
    bus_settings: CommonSettings, database: str, stored, ago_ms: int, expected: str
) -> None:
    finished = now_ms() - ago_ms
    began = finished - 5_000
    async with at_work(bus_settings, database, in_sequence(pick(began)), drop(began)) as store:
        await store.on_messages([delivered(state("FINISHED", finished))])
        assert (stored("pick")[0], stored("drop")[0]) == ("finished", expected)


async def test_a_process_that_another_has_replaced_sends_no_step_again(
    bus_settings: CommonSettings, database: str, stored
) -> None:
    began = now_ms() - 5_000
    finished = delivered(state("FINISHED", began + 1_000))
    async with at_work(bus_settings, database, in_sequence(pick(began)), drop(began)) as frozen:
        async with at_work(bus_settings, database) as holder:
            await holder.on_messages([finished])
        queued = stored("drop")
        with pytest.raises(JournalStale):  # so it is delivered again
            await frozen.on_messages([finished])
        await frozen.on_messages([finished])
        await frozen.expire(lambda: position(THE_END))
        assert stored("drop") == queued
        assert queued[0] == "queued"


async def test_steps_that_were_loaded_before_their_commit_was_confirmed_are_followed_once(
    bus_settings: CommonSettings, database: str, stored
) -> None:
    began = now_ms()
    first = made("pick", pick(began).command, entries.queue(pick(began).command, began))
    steps = [replace(each, request_key="one") for each in (in_sequence(first), drop(began))]
    with_database = bus_settings.model_copy(update={"database_url": SecretStr(database)})
    async with connect(bus_settings, "tests") as bus, open_pool(with_database, "factory", timeout_s=60.0) as pool:
        journal = Journal(bus, ENVIRONMENT)
        journal.begin("one", began)
        async with pool.connection() as connection:
            await commands.insert(connection, steps)
        async with pool.connection() as connection:
            await journal.load(connection)
        assert journal.confirm("one", steps) == steps  # to be sent
        moved = journal.settled([], [], began + 10_000)
        assert [(each.command_id, each.state) for each in moved] == [("pick", "expired"), ("drop", "abandoned")]


async def test_a_change_is_told_by_the_next_process_where_the_one_before_ended_with_the_commit(
    bus_settings: CommonSettings, database: str, stored
) -> None:
    """Killed there: the table has the finish, and nobody else will publish it."""
    with_database = bus_settings.model_copy(update={"database_url": SecretStr(database)})
    began = now_ms()
    async with connect(bus_settings, "tests") as bus, open_pool(with_database, "factory", timeout_s=60.0) as pool:
        async with pool.connection() as connection:
            await commands.insert(connection, [pick(began), lamp(began)])
            await connection.execute("UPDATE factory.commands SET changed_at = now() - interval '1 hour'")
        killed = Journal(bus, ENVIRONMENT)
        async with pool.connection() as connection:
            await killed.load(connection)
            await commands.move(connection, killed.settled([state("FINISHED", began + 1)], [], None))
        subscription = await bus.client.subscribe("event.factory_command.*")
        await bus.client.flush()
        journal = Journal(bus, ENVIRONMENT)
        async with pool.connection() as connection:
            assert await journal.load(connection) == []
        await journal.publish()
        event = json.loads((await subscription.next_msg(timeout=WITHIN_S)).data)
        assert (event["command_id"], event["state"]) == ("pick", "finished")
        await bus.client.publish("event.factory_command.end", b"")  # nothing of the lamp before: it has not changed
        assert (await subscription.next_msg(timeout=WITHIN_S)).data == b""


async def test_an_abandonment_is_told_though_its_journal_ends_with_the_commit(
    bus_settings: CommonSettings, database: str, stored
) -> None:
    """Another switch of the environment follows at once: the next journal finds the command abandoned already."""
    with_database = bus_settings.model_copy(update={"database_url": SecretStr(database)})
    async with connect(bus_settings, "tests") as bus, open_pool(with_database, "factory", timeout_s=60.0) as pool:
        subscription = await bus.client.subscribe("event.factory_command.*")
        await bus.client.flush()
        async with pool.connection() as connection:
            await commands.insert(connection, [pick(now_ms())])
        news = CommandNews(bus)
        for epoch in (4, 5):
            journal = Journal(bus, ENVIRONMENT.model_copy(update={"epoch": epoch}), news)
            async with pool.connection() as connection:
                left = await journal.load(connection)
            assert [each.command_id for each in left] == (["pick"] if epoch == 4 else [])
        await journal.publish()
        event = json.loads((await subscription.next_msg(timeout=WITHIN_S)).data)
        assert (event["command_id"], event["state"]) == ("pick", "abandoned")
