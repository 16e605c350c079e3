"""Two that evaluate at once, whatever the lease says: a rule fires once."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from kaiser_common.bucket import BucketWriter
from kaiser_common.bus import connect, end_if_cancelled
from kaiser_common.settings import CommonSettings
from kaiser_common.subjects import LOGIC_RULES_BUCKET
from kaiser_logic.book import RuleBook
from kaiser_logic.evaluator import Evaluator
from kaiser_logic.settings import LogicSettings
from kaiser_logic.state import RuleState, from_json, to_json
from kaiser_logic.state_store import Fenced, StateStore
from kaiser_logic.telling import Telling
from kaiser_logic.webhooks import Webhooks
from logic_world import until


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


async def test_two_evaluators_without_a_lease_fire_each_edge_once(world, make_rule):
    edges = 12
    rule = make_rule("water")
    fenced: list[int] = []

    async def evaluate(stack: AsyncExitStack) -> None:
        settings = LogicSettings(nats_url=world.nats_url)
        bus = await stack.enter_async_context(connect(settings, "logic"))
        webhooks = await stack.enter_async_context(Webhooks.open([], 1.0))
        book, telling = RuleBook(bus), Telling(bus)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(book.keep())
            tasks.create_task(telling.run())
            await book.ready()
            while True:
                end_if_cancelled()
                try:
                    await Evaluator(bus, book, telling, webhooks, settings).run(await StateStore.open(bus))
                except* Fenced:
                    fenced.append(1)

    bucket = await BucketWriter.open(world.bus, LOGIC_RULES_BUCKET)
    await bucket.put(rule.rule_id, rule.model_dump_json().encode())
    async with AsyncExitStack() as stack:
        both = [asyncio.create_task(evaluate(stack)) for _ in range(2)]
        try:
            await world.read(40)
            await asyncio.sleep(2)
            for edge in range(1, edges + 1):
                await world.read(20)
                await asyncio.sleep(0.3)
                assert len(world.commands) <= edge
                await world.read(40)
                await asyncio.sleep(0.3)
            await until(lambda: len(world.commands) >= edges // 2, "edges fire although the two are at odds")
            assert len(world.commands) <= edges
            assert fenced, "the two never met: this proves nothing"
        finally:
            for task in both:
                task.cancel()
            await asyncio.wait(both)
