"""The recorded session over MQTT gives the expected end, also with ingest and factory killed in the middle."""

import json
import secrets
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from kaiser_common.bus.connection import Outgoing, connect
from kaiser_common.contract.schemas.api.factory import (
    FactoryCoverage,
    FactoryFigures,
    FactoryModules,
    FactoryOrderId,
    FactoryOrdersPage,
    FactoryOrdersQuery,
    FactoryStores,
    FactoryTimeline,
    QualityPage,
    QualityQuery,
    WindowQuery,
    Workpiece,
    WorkpieceId,
)
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.subjects import FACTORY, factory_pack_subject
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.loops import beside
from kaiser_common.runtime.settings import CommonSettings
from kaiser_factory.consumers import live
from kaiser_factory.consumers.live import LiveReader
from kaiser_factory.domain.live import FactoryState
from kaiser_factory_dialect import wire
from kaiser_factory_dialect.kept_messages import headers_of, quoted_topic
from kaiser_factory_dialect.reading import Arrival, read
from kaiser_factory_dialect.recordings import parse_file
from kaiser_factory_dialect.subjects import factory_subject, topic_subject
from nats.js.errors import NotFoundError

GOLDEN = Path(__file__).parents[3] / "tests/golden"
EXPECTED = json.loads((GOLDEN / "factory-session.expected.json").read_text())
MESSAGES = parse_file("factory-session.jsonl", (GOLDEN / "factory-session.jsonl").read_bytes()).messages
TIMED = {"silent", "last_seen_ms", "skew_ms", "availability", "stale"}
"""Columns that follow from when a message came, which is now and not as recorded."""


def row_of(module: dict[str, Any]) -> dict[str, Any]:
    """A row as the expectation writes it."""
    return {
        **module,
        "loads": [[each["position"], each["type"], each["id"]] for each in module["loads"]],
        "errors": [[each["type"], each["level"]] for each in module["errors"]],
    }


async def test_the_session_over_mqtt_gives_the_expected_end_though_ingest_and_factory_are_killed(
    plant: Any, until: Callable[..., Any]
) -> None:
    await until(lambda: plant.answers("modules", None, FactoryModules))
    play_while_processes_are_killed(plant)
    await until(lambda: orders_are_at_their_end(plant))
    await check_modules(plant, until)
    await check_stock(plant)
    quality = await plant.ask("quality", QualityQuery(), QualityPage)
    assert [[each.result, each.classification] for each in quality.items] == EXPECTED["quality"]
    for order in EXPECTED["orders"]:
        await check_timeline(plant, order["order_id"])
    await check_workpiece(plant)
    coverage = await plant.ask("coverage", None, FactoryCoverage)
    assert coverage.kinds["ccu.stock"] > 0
    figures = await plant.ask("figures", WindowQuery(from_ms=0, to_ms=30 * 86_400_000), FactoryFigures)
    assert figures.orders == 0


def play_while_processes_are_killed(plant: Any) -> None:
    for number, message in enumerate(MESSAGES):
        # What came retained is what the broker held: it says here the same once more.
        plant.publish(message.topic, message.payload, retain=False)
        if number == len(MESSAGES) // 3:
            plant.factory.kill()
            plant.factory.start()
        if number == len(MESSAGES) // 2:
            plant.ingest.kill()
            plant.ingest.start()


async def orders_are_at_their_end(plant: Any) -> bool:
    found = await plant.answers("orders", FactoryOrdersQuery(), FactoryOrdersPage)
    states = {} if found is None else {each.order_id: each.state for each in found.items}
    return states == {each["order_id"]: each["state"] for each in EXPECTED["orders"]}


async def check_modules(plant: Any, until: Callable[..., Any]) -> None:
    modules = await until(lambda: plant.answers("modules", None, FactoryModules))
    found = {each.serial: row_of(each.model_dump()) for each in modules.items}
    for wanted in EXPECTED["modules"]:
        shown = {name: found[wanted["serial"]][name] for name in wanted.keys() - TIMED}
        if shown["action"] is not None:
            shown["action"] = {name: shown["action"][name] for name in ("id", "command", "state", "result")}
        assert shown == {name: wanted[name] for name in shown}, wanted["serial"]


async def check_stock(plant: Any) -> None:
    stock = await plant.ask("stock", None, FactoryStores)
    bays = {
        one.hbw: {bay.location: None if bay.type is None else [bay.type, bay.id, bay.state] for bay in one.bays}
        for one in stock.items
    }
    assert bays == EXPECTED["stock"]


async def check_timeline(plant: Any, order_id: str) -> None:
    """The steps of the order that has the expected ones; their times count from the first."""
    steps = EXPECTED["timeline"]
    timeline = await plant.ask("timeline", FactoryOrderId(order_id=order_id), FactoryTimeline)
    if not steps or all(step.id != steps[0]["id"] for step in timeline.steps):
        return
    assert [(step.id, step.state, step.serial, step.result) for step in timeline.steps] == [
        (step["id"], step["state"], step["serial"], step["result"]) for step in steps
    ]
    durations = [None if step.started is None else step.started - timeline.steps[0].started for step in timeline.steps]
    first = steps[0]["started_ms"]
    assert durations == [None if step["started_ms"] is None else step["started_ms"] - first for step in steps]


async def check_workpiece(plant: Any) -> None:
    [workpiece_id] = {each["workpiece_id"] for each in EXPECTED["orders"]}
    workpiece = await plant.ask("workpiece", WorkpieceId(workpiece_id=workpiece_id), Workpiece)
    assert [each.code for each in workpiece.stations] == [100, 300, 400, 700, 600, 200, 800]
    assert [[each.result, each.classification] for each in workpiece.quality] == EXPECTED["quality"]


async def test_what_was_sent_is_on_factory_or_rejected_or_ignored(plant: Any, until: Callable[..., Any]) -> None:
    await until(lambda: plant.answers("modules", None, FactoryModules))
    for message in MESSAGES:
        plant.publish(message.topic, message.payload)
    sent = len(MESSAGES) - 1  # ingest does not subscribe to omf/#

    async def verdicts() -> Counter[str]:
        found: Counter[str] = Counter()
        subscription = await plant.bus.jetstream.subscribe("topic.>", stream="TOPICS", ordered_consumer=True)
        while True:
            message = await subscription.next_msg(timeout=60.0)
            found[message.headers["Kaiser-Verdict"]] += 1
            if message.metadata.num_pending == 0:
                await subscription.unsubscribe()
                return found

    async def all_there() -> bool:
        info = await plant.bus.jetstream.stream_info("TOPICS")
        return info.state.messages == sent

    await until(all_there)
    found = await verdicts()
    assert {code: number for code, number in found.items() if code.isdigit()} == EXPECTED["rejected"]
    # The broker stores nothing here: what repeats a retained message, and a retained command, is read too.
    read_here = {"ccu.set": 2, "ccu.layout": 1, "ccu.config": 1, "ccu.flows": 1, "ccu.completed": 1}
    ignored = {"observed": 42, "uncatalogued": 2}
    expected = Counter(EXPECTED["accepted"]) + Counter(read_here) + Counter(ignored)
    assert Counter({word: number for word, number in found.items() if not word.isdigit()}) == expected

    async def all_stored() -> bool:
        store = await plant.bus.jetstream.consumer_info("FACTORY", "factory-store")
        return store.num_pending == store.num_ack_pending == 0

    await until(all_stored)


async def test_a_start_reads_the_last_values_of_more_topics_than_topics_has_consumers(
    plant: Any, until: Callable[..., Any]
) -> None:
    await until(lambda: plant.answers("modules", None, FactoryModules))
    serials = {f"SVR3QA1{number:03}" for number in range(40)}
    for serial in sorted(serials):
        plant.publish(f"module/v1/ff/{serial}/state", {"serialNumber": serial, "actionState": None, "errors": []})
        plant.publish(f"module/v1/ff/{serial}/state", b"no JSON")

    async def all_rejected() -> bool:
        info = await plant.bus.jetstream.stream_info("TOPICS", subjects_filter="topic.>")
        kept = info.state.subjects or {}
        return sum(count == 2 for subject, count in kept.items() if any(each in subject for each in serials)) == 40

    await until(all_rejected)
    plant.factory.kill()
    plant.factory.start()

    async def all_known() -> bool:
        found = await plant.answers("modules", None, FactoryModules)
        return found is not None and serials <= {each.serial for each in found.items}

    await until(all_known)


async def test_what_factory_alone_has_is_in_a_state_that_is_built_and_in_the_one_after_a_gap(
    bus_settings: CommonSettings, until: Callable[..., Any]
) -> None:
    environment = FactoryEnvironment(env=f"live-{secrets.token_hex(4)}", kind="live", epoch=1)
    states: list[FactoryState] = []

    def shows(order_id: str, after: int = 0) -> bool:
        return len(states) > after and [each.order_id for each in states[-1].rows(now_ms())] == [order_id]

    async with connect(bus_settings, "tests") as bus:
        await bus.publish_batch([on_topics(environment, "before", bus.message_id())])
        await bus.publish_batch([on_factory(environment, ["before", "first", "last"], bus.message_id())])
        async with beside(live=LiveReader(bus, environment, (), states.append).run()):
            await until(lambda: shows("last"))
            await bus.publish_batch([on_factory(environment, ["next"], bus.message_id())])
            await until(lambda: shows("next"))
            for each in await bus.jetstream.consumers_info("FACTORY"):
                if each.name.startswith("tests-"):
                    await bus.jetstream.delete_consumer("FACTORY", each.name)
            await bus.publish_batch([on_factory(environment, ["newest"], bus.message_id())])
            await until(lambda: shows("newest", after=1))


async def test_a_start_looks_behind_what_was_rejected_alone_without_a_consumer_for_each_topic(
    bus_settings: CommonSettings, until: Callable[..., Any]
) -> None:
    """A topic that is only kept has no value, and TOPICS has 32 consumers at most, for all services together."""
    environment = FactoryEnvironment(env=f"live-{secrets.token_hex(4)}", kind="live", epoch=1)
    states: list[FactoryState] = []
    consumers: list[str] = []
    looked_up: Counter[str] = Counter()
    serials = [f"S{number:03}" for number in range(300)]
    words = dict(zip(serials, cycle(["5209", "cleared", "retained_command"]), strict=False))

    async def note_consumer(message: Any) -> None:
        consumers.append(json.loads(message.data)["config"].get("filter_subject", ""))

    async def note_look_up(message: Any) -> None:
        looked_up[json.loads(message.data)["next_by_subj"]] += 1

    async with connect(bus_settings, "tests") as bus:
        await bus.publish_batch(
            [on_topics(environment, "o1", bus.message_id(), serial=each) for each in serials]
            + [on_topics(environment, "", bus.message_id(), word=word, serial=each) for each, word in words.items()]
            + [kept_only(environment, f"osf/{number}", bus.message_id()) for number in range(1100)]
        )
        await bus.client.subscribe("$JS.API.CONSUMER.CREATE.TOPICS.>", cb=note_consumer)
        await bus.client.subscribe("$JS.API.DIRECT.GET.TOPICS", cb=note_look_up)
        await bus.client.flush()
        async with beside(live=LiveReader(bus, environment, (), states.append).run()):
            await until(lambda: states)
            assert {each.serial: each.order_id for each in states[0].rows(now_ms())} == dict.fromkeys(serials, "o1")
    assert [each for each in consumers if environment.env in each] == [f"topic.{environment.env}.>"]
    assert looked_up == Counter(topic_subject(environment.env, f"module/v1/ff/{each}/state") for each in serials)


async def test_a_start_does_not_hold_the_payloads_of_topics_that_are_only_kept(
    bus_settings: CommonSettings, until: Callable[..., Any]
) -> None:
    environment = FactoryEnvironment(env=f"live-{secrets.token_hex(4)}", kind="live", epoch=1)
    states: list[FactoryState] = []
    large = b"x" * 60_000
    async with connect(bus_settings, "tests") as bus:
        await bus.publish_batch([on_topics(environment, "o1", bus.message_id())])
        for first in range(0, 800, 50):
            topics = [f"osf/{number}" for number in range(first, first + 50)]
            await bus.publish_batch([kept_only(environment, each, bus.message_id(), large) for each in topics])
        tracemalloc.start()
        try:
            async with beside(live=LiveReader(bus, environment, (), states.append).run()):
                await until(lambda: states)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert [each.order_id for each in states[0].rows(now_ms())] == ["o1"]
    assert most < 24 * 1024 * 1024  # half of the payloads


async def test_a_start_whose_look_ups_are_refused_begins_again_and_has_the_value_in_the_end(
    bus_settings: CommonSettings, until: Callable[..., Any]
) -> None:
    environment = FactoryEnvironment(env=f"live-{secrets.token_hex(4)}", kind="live", epoch=1)
    states: list[FactoryState] = []
    refused: list[str] = []

    async with connect(bus_settings, "tests") as bus:

        async def refuse(message: Any) -> None:
            refused.append(json.loads(message.data)["next_by_subj"])
            await bus.client.publish(message.reply, headers={"Status": "503"})

        await bus.publish_batch([on_topics(environment, "o1", bus.message_id())])
        await bus.publish_batch([on_topics(environment, "", bus.message_id(), word="5209")])
        config = (await bus.jetstream.stream_info("TOPICS")).config
        await bus.jetstream.update_stream(replace(config, allow_direct=False))
        try:
            refusing = await bus.client.subscribe("$JS.API.DIRECT.GET.TOPICS", cb=refuse)
            async with beside(live=LiveReader(bus, environment, (), states.append).run()):
                await until(lambda: len(refused) > 1)
                assert not states
                await refusing.unsubscribe()
                await bus.jetstream.update_stream(config)
                await until(lambda: states)
        finally:
            await bus.jetstream.update_stream(config)
    assert [each.order_id for each in states[0].rows(now_ms())] == ["o1"]


async def test_what_cannot_be_looked_up_in_time_is_left_out_of_a_start(
    bus_settings: CommonSettings, until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FACTORY keeps for 150 s what came meanwhile: a start that took longer would lack some of it."""
    monkeypatch.setattr(live, "_LOOK_UPS_S", 0.0)
    environment = FactoryEnvironment(env=f"live-{secrets.token_hex(4)}", kind="live", epoch=1)
    states: list[FactoryState] = []
    async with connect(bus_settings, "tests") as bus:
        await bus.publish_batch(
            [
                on_topics(environment, "o1", bus.message_id(), serial="S1"),
                on_topics(environment, "", bus.message_id(), serial="S1", word="5209"),
                on_topics(environment, "o2", bus.message_id(), serial="S2"),
            ]
        )
        async with beside(live=LiveReader(bus, environment, (), states.append).run()):
            await until(lambda: states)
    assert {each.serial: each.order_id for each in states[0].rows(now_ms())} == {"S2": "o2"}


def arrival(environment: FactoryEnvironment, order_id: str, serial: str = "S1") -> Arrival:
    payload = {"serialNumber": serial, "orderId": order_id, "actionState": None, "errors": []}
    at = now_ms()
    return Arrival(f"module/v1/ff/{serial}/state", json.dumps(payload).encode(), at, 1, False, environment.env, 1)


def on_topics(
    environment: FactoryEnvironment, order_id: str, msg_id: str, *, word: str = "module.state", serial: str = "S1"
) -> Outgoing:
    """The message as ingest keeps it. word: its verdict."""
    found = arrival(environment, order_id, serial)
    headers = headers_of(found, quoted_topic(found.topic), word)
    return Outgoing(topic_subject(environment.env, found.topic), found.payload, msg_id, headers=headers)


def kept_only(environment: FactoryEnvironment, topic: str, msg_id: str, payload: bytes = b"x") -> Outgoing:
    """A message of a topic that is kept and never read."""
    found = Arrival(topic, payload, now_ms(), 1, False, environment.env, 1)
    headers = headers_of(found, quoted_topic(topic), "observed")
    return Outgoing(topic_subject(environment.env, topic), found.payload, msg_id, headers=headers)


def on_factory(environment: FactoryEnvironment, order_ids: list[str], msg_id: str) -> Outgoing:
    """The messages as ingest publishes them, together as a pack."""
    accepted = [read(arrival(environment, order_id), ()) for order_id in order_ids]
    bodies = [wire.encode(each.message, each.oddities, each.unknown) for each in accepted]
    if len(bodies) == 1:
        return Outgoing(factory_subject(environment.env, accepted[0].message.kind, "S1"), bodies[0], msg_id)
    lines = [wire.to_line(body, f"1f.{number}") for number, body in enumerate(bodies)]
    return Outgoing(factory_pack_subject(environment.env), b"\n".join(lines), msg_id)


async def test_what_factory_alone_has_is_shown_and_comes_on_topics_once_though_ingest_and_factory_are_killed(
    plant: Any, until: Callable[..., Any]
) -> None:
    """ingest is killed between the two: NATS takes no message for TOPICS, as if none had been written yet."""
    await until(lambda: plant.answers("modules", None, FactoryModules))
    topic = "module/v1/ff/SVR3QA0022/state"
    say_state(plant, topic, "before")
    await until(lambda: order_is(plant, "before"))
    await until(lambda: is_kept(plant, "TOPICS", f"topic.{plant.env}.>", "orderId", ["before"]))
    begun = time.monotonic()
    config = (await plant.bus.jetstream.stream_info("TOPICS")).config
    await plant.bus.jetstream.update_stream(replace(config, max_msg_size=1))
    try:
        for order_id in ("first", "last"):
            say_state(plant, topic, order_id)
            await until(lambda order_id=order_id: order_is(plant, order_id))
        plant.ingest.kill()
        plant.factory.kill()
        plant.factory.start()
        await until(lambda: order_is(plant, "last"))
        assert await kept(plant, "TOPICS", f"topic.{plant.env}.>", "orderId") == ["before"]
    finally:
        await plant.bus.jetstream.update_stream(config)
    plant.ingest.start()
    expected = ["before", "first", "last"]
    await until(lambda: is_kept(plant, "TOPICS", f"topic.{plant.env}.>", "orderId", expected))
    on_factory = await kept(plant, "FACTORY", "factory.>", "order_id")
    if time.monotonic() - begun < FACTORY.duplicate_window_s:
        assert on_factory == expected
    else:  # a machine so slow that ids were forgotten: then they come on FACTORY again, in their order
        assert list(dict.fromkeys(on_factory)) == expected
    assert await order_is(plant, "last")


def say_state(plant: Any, topic: str, order_id: str) -> None:
    plant.publish(topic, {"serialNumber": topic.split("/")[3], "orderId": order_id, "actionState": None, "errors": []})


async def order_is(plant: Any, order_id: str) -> bool:
    """Whether the one module has this order."""
    found = await plant.answers("modules", None, FactoryModules)
    return found is not None and [each.order_id for each in found.items] == [order_id]


async def is_kept(plant: Any, stream: str, subject: str, field: str, expected: list[str]) -> bool:
    return await kept(plant, stream, subject, field) == expected


async def kept(plant: Any, stream: str, subject: str, field: str) -> list[str]:
    """A field of each message on a stream, in order, and of each line."""
    info = await plant.bus.jetstream.stream_info(stream, subjects_filter=subject)
    found: list[str] = []
    for sequence in range(max(1, info.state.first_seq), info.state.last_seq + 1):
        try:
            message = await plant.bus.jetstream.get_msg(stream, sequence)
        except NotFoundError:
            continue
        found += [json.loads(line)[field] for line in message.data.split(b"\n") if plant.env in message.subject]
    return found
