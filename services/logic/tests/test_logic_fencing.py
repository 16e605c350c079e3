"""Two that evaluate at once, whatever the lease says: a rule fires once."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial

import pytest
from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.rpc import RpcError
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from kaiser_logic.consumers.evaluation import EvaluationHolder
from kaiser_logic.domain.state import RuleState, from_json, to_json
from kaiser_logic.handlers import answer
from kaiser_logic.publish.events import EventPublisher
from kaiser_logic.publish.webhooks import Webhooks
from kaiser_logic.settings import LogicSettings
from kaiser_logic.store.rule_cache import RuleCache
from kaiser_logic.store.states import Fenced, StateStore
from logic_world import World, until_async
from prometheus_client import REGISTRY


@pytest.fixture
async def bus(bus_settings):
    async with connect(CommonSettings(nats_url=bus_settings.nats_address), "test") as bus:
        yield bus


async def test_of_two_writers_of_a_state_the_second_is_refused(bus):
    first, second = await StateStore.open(bus), await StateStore.open(bus)
    await first.save("r", to_json(RuleState(version=1)))
    with pytest.raises(Fenced):
        await second.save("r", to_json(RuleState(version=2)))
    states, _ = await second.load()
    assert states["r"].version == 1
    await second.save("r", to_json(RuleState(version=3)))
    with pytest.raises(Fenced):
        await first.save("r", to_json(RuleState(version=4)))


async def test_a_write_whose_answer_was_lost_may_be_repeated(bus):
    store = await StateStore.open(bus)
    body = to_json(RuleState(version=1))
    await store.save("r", body)
    store._revisions.clear()  # as if the first answer had not come
    await store.save("r", body)
    await store.save("r", to_json(RuleState(version=2)))
    assert (await store.load())[0]["r"].version == 2


async def test_states_go_up_to_the_checkpoint_and_begin_anew_with_the_stream(bus):
    store = await StateStore.open(bus)
    await store.save("r", to_json(RuleState(version=1, seq=7)))
    for number in range(9):
        await bus.publish("event.sensor_data.ESP_A", b"{}", f"m{number}")
    await store.save_checkpoint(8)
    states, seq = await store.load()
    assert (states["r"].seq, seq) == (7, 8)
    await store.save_checkpoint(10)  # of a stream that was there before
    states, seq = await store.load()
    assert (states["r"].seq, seq) == (0, None)


def test_a_state_survives_its_way_through_json():
    state = RuleState(version=3, seq=9, armed=False, fired_at=[1, 2], failures=2, backoff_until=7, told="x")
    assert from_json(to_json(state)) == state
    assert from_json(b'{"version":3,"later":1}') == RuleState(version=3)
    before_packs = from_json(b'{"version":3,"seq":9,"armed":false}')
    assert before_packs == RuleState(version=3, seq=9 * 4096 + 4095, armed=False)
    assert from_json(to_json(before_packs)) == before_packs


async def test_two_evaluators_without_a_lease_fire_each_edge_once(world):
    edges = 0

    async def edge() -> None:
        nonlocal edges
        edges += 1
        before = len(world.commands), fenced()
        await is_evaluated(world, 20)
        with suppress(AssertionError):  # neither: the rule's last execution has not ended, or both begin anew
            await until_async(lambda: (len(world.commands), fenced()) != before, within_s=1.0)
        assert len(world.commands) <= edges
        await is_evaluated(world, 40)

    async with AsyncExitStack() as stack:
        both = [asyncio.create_task(evaluate(stack, world)) for _ in range(2)]
        try:
            await until_async(lambda: is_served(world), "one answers")
            rule = await world.rule("water")
            await edges_until(edge, lambda: len(world.commands) > 0, "a rule fires")
            for _ in range(6):
                await edge()
            for _ in range(2):
                await refuse(edge, world.bus, rule.rule_id)
                commands = len(world.commands)
                await edges_until(edge, lambda commands=commands: len(world.commands) > commands, "a rule fires again")
            for _ in range(3):  # one that begins anew may count what it reads once more
                await until_async(lambda: is_evaluated(world, 40, times=2), "both evaluate")
            assert len(world.commands) <= edges
            assert not any(task.done() for task in both)
        finally:
            for _ in range(30):  # of Python 3.11's wait_for a cancellation may get lost: once more
                for task in both:
                    task.cancel()
                _, running = await asyncio.wait(both, timeout=1.0)
                if not running:
                    break


async def evaluate(stack: AsyncExitStack, world: World) -> None:
    """Evaluate as a replica does that believes the lease to be its own."""
    settings = LogicSettings(nats_url=world.nats_url, database_url=world.database, logic_loop_fires=1000)
    bus = await stack.enter_async_context(connect(settings, "logic"))
    pool = await stack.enter_async_context(open_pool(settings, "logic"))
    webhooks = await stack.enter_async_context(Webhooks.open([], 1.0))
    rule_cache, publisher = RuleCache(bus), EventPublisher(bus)
    service = Service("logic")
    new_broker = partial(Broker, bus, service, settings)
    holder = EvaluationHolder(service, bus, pool, rule_cache, publisher, webhooks, new_broker, answer, settings)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(rule_cache.keep())
        tasks.create_task(publisher.run())
        await rule_cache.ready()
        await holder.evaluate()


async def is_evaluated(world: World, value: float, times: int = 1) -> bool:
    """Publish a reading; whether so many evaluators have counted it within 2 s. One that begins anew may not."""
    before = evaluated()
    await world.read(value)
    try:
        return bool(await until_async(lambda: evaluated() >= before + times, within_s=2.0))
    except AssertionError:
        return False


def evaluated() -> float:
    """How many readings the evaluators of this process have taken."""
    [family] = [each for each in REGISTRY.collect() if each.name == "kaiser_logic_readings"]
    return sum(each.value for each in family.samples if each.name.endswith("_total"))


async def is_served(world: World) -> bool:
    """Whether an evaluator answers already."""
    try:
        await world.executions()
    except RpcError:
        return False
    return True


def fenced() -> float:
    """How often a write was refused in this process."""
    return REGISTRY.get_sample_value("kaiser_logic_fenced_total") or 0.0


async def edges_until(edge: Callable[[], Awaitable[None]], true: Callable[[], bool], what: str) -> None:
    for _ in range(30):
        await edge()
        if true():
            return
    pytest.fail(f"not within 30 edges: {what}")


async def refuse(edge: Callable[[], Awaitable[None]], bus: Bus, rule_id: str) -> None:
    """Write a rule's state behind an evaluator's back until one is refused; one that begins anew at that moment reads
    what was written, and goes on."""
    for attempt in range(10):
        before = fenced()
        await write_between(bus, rule_id, attempt + 1)
        for _ in range(3):
            await edge()
        if fenced() > before:
            return
    pytest.fail("ten writes behind their backs, and none was refused")


async def write_between(bus: Bus, rule_id: str, told_at: int) -> None:
    """Write a rule's state as a third evaluator would: two in one process may well write the same bytes each time, and
    what is the same is not refused."""
    for _ in range(20):
        store = await StateStore.open(bus)
        states, _seq = await store.load()
        states[rule_id].told_at = told_at
        try:
            return await store.save(rule_id, to_json(states[rule_id]))
        except Fenced:
            await asyncio.sleep(0.05)
    pytest.fail("the two write all the time")
