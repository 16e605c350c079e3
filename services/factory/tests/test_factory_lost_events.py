"""Events that NATS did not take in time are published again, also where nothing changes any more."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from kaiser_common.bus.connection import BusUnavailable, Outgoing
from kaiser_common.contract.pack import split
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_factory import publish
from kaiser_factory.consumers.command_news import CommandNews
from kaiser_factory.consumers.journal import Journal
from kaiser_factory.consumers.live import LiveReader
from kaiser_factory.domain.live import Changes, FactoryState
from kaiser_factory.jobs.samples import Sampling
from kaiser_factory.store.commands import Command
from kaiser_factory_dialect import journal as entries
from kaiser_factory_dialect.commands import FactoryCommand
from kaiser_factory_dialect.reading import Arrival, read
from waiting import until

NOW = 1_771_000_000_000
ENVIRONMENT = FactoryEnvironment(env="live", kind="live", epoch=1)
STATE = ("module/v1/ff/S1/state", {"serialNumber": "S1", "errors": [], "actionState": None}, "module.state")
OTHER = ("module/v1/ff/S2/state", {"serialNumber": "S2", "errors": [], "actionState": None}, "module.state")
ORDER = (
    "ccu/order/active",
    [{"orderId": "o1", "orderType": "PRODUCTION", "type": "WHITE", "state": "IN_PROGRESS", "productionSteps": []}],
    "ccu.active",
)
STOCK = (
    "ccu/state/stock",
    {"stockItems": [{"hbw": "H1", "location": "A1", "workpiece": {"type": "RED", "id": "04", "state": "RAW"}}]},
    "ccu.stock",
)


class Away:
    """A bus that takes nothing until NATS is back. taken: the type and key of each event."""

    def __init__(self) -> None:
        self.is_away = True
        self.tried = 0
        self.taken: list[tuple[str, str]] = []
        self.on_event: Callable[[Any], None] = lambda _: None

    def message_id(self) -> str:
        return "m"

    async def publish_batch(self, messages: Sequence[Outgoing], *, deadline_s: float, ordered: bool) -> None:
        self.tried += 1
        if self.is_away:
            raise BusUnavailable("away")
        for one in messages:
            for line in split(one.body) if "factory_module" in one.subject else [one.body]:
                event = json.loads(line)
                self.on_event(event)
                self.taken.append((one.subject.split(".")[1], _key(one, event)))


def _key(message: Outgoing, event: Any) -> str:
    """The serial in a pack, else the key in the subject."""
    return str(event["serial"] if "factory_module" in message.subject else message.subject.split(".")[2])


def heard(live: FactoryState, *messages: tuple[str, Any, str]) -> Changes:
    """The changes that messages make in the state."""
    changes = Changes()
    for topic, payload, verdict in messages:
        found = read(Arrival(topic, json.dumps(payload).encode(), NOW), ())
        assert found.message.kind.value == verdict
        live.take(found.message, found.oddities, found.unknown, changes)
    return changes


async def test_what_nats_did_not_take_is_told_within_a_second_though_nothing_comes_any_more():
    bus, live = Away(), FactoryState(ENVIRONMENT, ())
    reader = LiveReader(bus, ENVIRONMENT, (), lambda _: None)
    await reader._publish(live, heard(live, STATE, ORDER, STOCK))
    sampling = Sampling(bus, None, lambda: live)
    await sampling._look(live, NOW)  # still away
    bus.is_away = False
    await sampling._look(live, NOW)
    told = [("factory_module", "S1"), ("factory_order", "o1"), ("factory_stock", "H1")]
    assert sorted(bus.taken) == told
    await sampling._look(live, NOW)
    await reader._publish(live, Changes())
    assert sorted(bus.taken) == told


async def test_a_row_that_time_changed_is_told_though_nats_was_away_then():
    bus, live = Away(), FactoryState(ENVIRONMENT, ())
    bus.is_away = False
    await publish.news(bus, live, heard(live, STATE), NOW)
    bus.taken.clear()
    bus.is_away = True
    later = NOW + 600_000
    live.factory.machines["S1"].last_seen = later - 6_000
    await Sampling(bus, None, lambda: live)._look(live, later)
    bus.is_away = False
    await Sampling(bus, None, lambda: live)._look(live, later)
    assert bus.taken == [("factory_module", "S1")]


async def test_the_next_message_brings_lost_orders_and_stores_too():
    bus, live = Away(), FactoryState(ENVIRONMENT, ())
    reader = LiveReader(bus, ENVIRONMENT, (), lambda _: None)
    await reader._publish(live, heard(live, ORDER, STOCK))
    bus.is_away = False
    await reader._publish(live, heard(live, OTHER))
    assert sorted(bus.taken) == [("factory_module", "S2"), ("factory_order", "o1"), ("factory_stock", "H1")]


async def test_the_environment_in_force_is_told_once_nats_is_back():
    bus = Away()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publish.entered(bus, ENVIRONMENT, retry_s=0.01))
        await until(lambda: bus.tried >= 3, "it is tried again")
        assert bus.taken == []
        bus.is_away = False
    assert bus.taken == [("factory_environment", "live")]


async def test_a_factory_of_many_machines_waits_for_nats_once_in_a_round():
    bus, live = Away(), FactoryState(ENVIRONMENT, ())
    for number in range(100):
        topic, payload, verdict = STATE
        heard(live, (topic.replace("S1", f"S{number}"), payload | {"serialNumber": f"S{number}"}, verdict))
    rows = await Sampling(bus, None, lambda: live)._look(live, NOW)
    assert (len(rows), bus.tried) == (100, 1)
    bus.is_away = False
    await Sampling(bus, None, lambda: live)._look(live, NOW)
    assert len(bus.taken) == 100


def command(name: str, state_of: Callable[[entries.JournalEntry], entries.JournalEntry]) -> Command:
    """A command as `state_of` leaves it."""
    sent_to = FactoryCommand(what="module.order", serial="S1", order_id="o", order_update_id=1, action_id=name)
    entry = state_of(entries.queue(sent_to, NOW))
    return Command(
        command_id=name, env="live", epoch=1, request_key=name, step=0, user="someone", request={"do": "command"},
        topic="module/v1/ff/S1/order", payload=b"{}", command=sent_to, queued_at=NOW, entry=entry,
    )  # fmt: skip


async def test_the_newest_state_of_a_command_is_told_once_nats_takes_events():
    bus, said = Away(), []
    journal = Journal(bus, ENVIRONMENT)
    queued, sent = command("a", lambda entry: entry), command("a", lambda entry: entries.sent(entry, NOW + 1))
    other = command("b", lambda entry: entry)
    for each in (queued, other, sent):
        await journal.publish([each])
    bus.is_away = False
    bus.on_event = said.append
    await journal.publish()
    assert [(each["command_id"], each["state"]) for each in said] == [("b", "queued"), ("a", "sent")]
    await journal.publish()
    assert len(said) == 2


async def test_of_many_commands_that_nats_did_not_take_the_newest_are_told():
    bus = Away()
    journal = Journal(bus, ENVIRONMENT)
    for first in (0, 200, 400):
        await journal.publish([command(f"c{number}", lambda entry: entry) for number in range(first, first + 200)])
    bus.is_away = False
    await journal.publish()
    assert bus.taken == [("factory_command", f"c{number}") for number in range(100, 600)]


async def test_what_a_switch_interrupted_is_told_in_the_next_environment():
    bus = Away()
    news = CommandNews(bus)
    abandoned = command("a", lambda entry: entries.abandon(entry, NOW + 1))
    await Journal(bus, ENVIRONMENT, news).publish([abandoned])
    bus.is_away = False
    next_one = Journal(bus, ENVIRONMENT.model_copy(update={"epoch": 2}), news)
    await next_one.publish()
    assert bus.taken == [("factory_command", "a")]
    bus.is_away = True
    await next_one.publish([abandoned])
    next_one.news.drop()
    bus.is_away = False
    await next_one.publish()
    assert len(bus.taken) == 1


async def test_what_this_process_has_published_is_not_published_again_by_its_next_journal():
    bus = Away()
    bus.is_away = False
    news = CommandNews(bus)
    queued, sent = command("a", lambda entry: entry), command("a", lambda entry: entries.sent(entry, NOW + 1))
    other = command("b", lambda entry: entry)
    await Journal(bus, ENVIRONMENT, news).publish([queued, other])
    news.owe_if_untold([sent, other])
    await news.publish()
    assert bus.taken == [("factory_command", "a"), ("factory_command", "b"), ("factory_command", "a")]
