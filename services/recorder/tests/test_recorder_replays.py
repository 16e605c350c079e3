"""Replays by the service on real servers, with ingest's exit played by the test: what comes out, once and in order;
paused, moved, killed and refused."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.schemas.api.recordings import (
    BeginImport,
    ImportKey,
    ImportPart,
    RecordingDetails,
    RecordingKey,
    SavedRecording,
)
from kaiser_common.contract.schemas.api.replays import (
    ControlledReplay,
    ReplayKey,
    ReplaysPage,
    ReplaysQuery,
    StartReplay,
)
from kaiser_common.contract.schemas.factory import FactoryEnvironment, FactoryOutbox, FactoryReplay
from kaiser_common.contract.subjects import INGEST_BUCKET, replay_rejected_subject
from kaiser_common.migrate.command import migrate_database
from kaiser_common.runtime.settings import CommonSettings
from kaiser_factory_dialect.recordings import parse_file
from kaiser_factory_dialect.snapshot import snapshot_at
from kaiser_factory_dialect.topics import parse
from nats.errors import Error as NatsError

GOLDEN = Path(__file__).parents[3] / "tests/golden"
SESSION = (GOLDEN / "factory-session.jsonl").read_bytes()
EXPECTED = json.loads((GOLDEN / "factory-session.expected.json").read_text())
MESSAGES = parse_file("session.jsonl", SESSION).messages


def is_command(topic: str) -> bool:
    found = parse(topic)
    return found is not None and found.row.direction in {"in", "both"}


def is_sent(topic: str) -> bool:
    """All but commands, and the topic with a space, which NATS as an MQTT broker does not take."""
    return not is_command(topic) and " " not in topic


SENT = [(each.topic, each.payload) for each in MESSAGES if is_sent(each.topic)]


class IngestStandIn:
    """Enters environments anew, and takes what is on the OUTBOX as ingest does: acknowledged once it is `open`."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.environment = FactoryEnvironment(env="replay", kind="replay", epoch=1, since=1)
        self.messages: list[FactoryOutbox] = []
        self.refused: set[str] = set()
        """Topics that the broker does not take."""
        self.open = asyncio.Event()
        self.open.set()
        self.most_waiting = 0
        self.is_disarmed = False

    async def put(self, **changes: Any) -> None:
        self.environment = self.environment.model_copy(update=changes)
        bucket = await self.world.bus.jetstream.key_value(INGEST_BUCKET.name)
        await bucket.put("environment", self.environment.model_dump_json().encode())

    def of_epoch(self, epoch: int) -> list[tuple[str, bytes]]:
        return [(each.topic, payload_of(each)) for each in self.messages if each.epoch == epoch]

    @property
    def last(self) -> list[tuple[str, bytes]]:
        """The last message of the epoch in force."""
        return self.of_epoch(self.environment.epoch)

    async def answer(self, message: Any) -> None:
        if message.subject.endswith("disarm_environment"):
            self.is_disarmed = True
            await self.put(armed=False)
            await message.respond(b"{}")
            return
        request = json.loads(message.data)
        await self.put(epoch=self.environment.epoch + 1, armed=request["arm"] is not None)
        await message.respond(self.environment.model_dump_json().encode())

    async def take(self) -> None:
        subscription = await self.world.bus.jetstream.pull_subscribe_bind("ingest-factory", stream="OUTBOX")
        while True:
            await self.open.wait()
            try:
                info = await self.world.bus.jetstream.stream_info("OUTBOX")
                batch = await subscription.fetch(50, timeout=1.0)
            except (NatsError, TimeoutError):
                continue
            self.most_waiting = max(self.most_waiting, info.state.messages)
            for each in batch:
                assert each.subject.startswith("mqtt.factory.replay.")
                message = FactoryOutbox.model_validate_json(each.data)
                if message.topic in self.refused:
                    assert message.replay_id is not None
                    await self.world.bus.jetstream.publish(replay_rejected_subject(5405, message.replay_id), b"{}")
                else:
                    self.messages.append(message)
                await each.ack()


def payload_of(message: FactoryOutbox) -> bytes:
    return base64.b64decode(message.payload_base64)


@pytest.fixture
async def exit_(world: Any) -> AsyncIterator[IngestStandIn]:
    """An environment of kind replay in force, and the exit open."""
    stand_in = IngestStandIn(world)
    await stand_in.put()
    await world.bus.client.subscribe("rpc.ingest-factory.*", cb=stand_in.answer)
    await world.bus.client.flush()
    taking = asyncio.create_task(stand_in.take())
    yield stand_in
    taking.cancel()
    assert not taking.done() or taking.exception() is None


async def imported(world: Any, content: bytes = SESSION) -> str:
    """The id of a recording that is ready."""
    key = await world.until(
        lambda: world.ask("begin_import", BeginImport(filename="s.jsonl", bytes=len(content)), ImportKey)
    )
    for offset in range(0, len(content), 300_000):
        data = base64.b64encode(content[offset : offset + 300_000]).decode()
        await world.ask("import_part", ImportPart(import_id=key.import_id, offset=offset, data_base64=data))
    recording = await world.ask("end_import", key, SavedRecording)

    async def ready() -> bool:
        found = await world.ask("read", RecordingKey(recording_id=recording.recording_id), RecordingDetails)
        return found.recording.state == "ready"

    await world.until(ready)
    return recording.recording_id


async def begun(world: Any, recorded: str, **fields: Any) -> FactoryReplay:
    request = StartReplay.model_validate({"recording": recorded, "speed": "max", "shift": "none"} | fields)
    return await world.ask("start_replay", request, FactoryReplay, role="operator")


async def read(world: Any, replay: FactoryReplay) -> FactoryReplay:
    return await world.ask("replay", ReplayKey(replay_id=replay.replay_id), FactoryReplay)


async def controlled(world: Any, replay: FactoryReplay, do: str, **fields: Any) -> FactoryReplay:
    control = {"do": do, **fields}
    request = ControlledReplay.model_validate({"replay_id": replay.replay_id, "control": control})
    return await world.ask("control_replay", request, FactoryReplay)


async def reached(world: Any, replay: FactoryReplay, **wanted: Any) -> FactoryReplay:
    """The replay once its fields are these."""

    async def is_there() -> FactoryReplay | None:
        found = await read(world, replay)
        return found if all(getattr(found, name) == value for name, value in wanted.items()) else None

    return await world.until(is_there)


async def test_a_replay_sends_all_but_the_commands_once_and_in_order(start: Any, world: Any, exit_: Any) -> None:
    start()
    recording = await imported(world)
    replay = await begun(world, recording)
    assert (replay.state, replay.total, replay.duration_ms) == ("running", 566, EXPECTED["end_ms"])
    done = await reached(world, replay, state="done")
    assert exit_.last == SENT
    assert (done.epoch, done.sent, done.left_out, done.failed, done.number) == (2, len(SENT), 131, 1, 566)
    kept = {each.topic for each in exit_.messages if each.retain}
    assert "ccu/order/active" in kept
    assert not any(is_command(topic) for topic in kept)
    assert exit_.most_waiting <= 500
    page = await world.ask("replays", ReplaysQuery(), ReplaysPage)
    assert [each.replay_id for each in page.items] == [replay.replay_id]


async def test_what_the_broker_refuses_has_failed_and_was_not_sent(start: Any, world: Any, exit_: Any) -> None:
    start()
    recording = await imported(world)
    exit_.refused = {"/j1/txt/1/i/bme680"}
    refused = sum(each.topic in exit_.refused for each in MESSAGES)
    assert refused > 1
    done = await reached(world, await begun(world, recording), state="done")
    assert exit_.last == [each for each in SENT if each[0] not in exit_.refused]
    assert (done.sent, done.failed) == (len(SENT) - refused, 1 + refused)
    assert done.sent + done.failed + done.left_out == len(MESSAGES)
    again = await reached(world, await begun(world, recording, filter=["ccu/#"]), state="done")
    assert again.failed == 0


async def test_killed_in_the_middle_it_goes_on_from_its_last_place(start: Any, world: Any, exit_: Any) -> None:
    process = start()
    recording = await imported(world)
    replay = await begun(world, recording, speed=100)
    for least in (20, 150, 300):

        async def has(count: int = least) -> bool:
            return len(exit_.last) >= count

        await world.until(has)
        process.kill()
        process.wait(60)
        process = start()
    await reached(world, replay, speed=100)
    await world.until(lambda: controlled(world, replay, "speed", speed="max"))
    done = await reached(world, replay, state="done")
    assert exit_.last == SENT
    assert (done.sent, done.left_out) == (len(SENT), 131)


async def test_after_a_long_time_away_it_goes_on_behind_what_nats_has_and_sends_nothing_twice(
    start: Any, world: Any, exit_: Any
) -> None:
    """The last commit of the place never came to the database, and NATS remembers no id any more."""
    await world.forget_ids()
    process = start()
    recording = await imported(world)
    replay = await begun(world, recording, paused=True)
    await controlled(world, replay, "step", count=40)
    await reached(world, replay, sent=40)
    before = await world.rows("SELECT number, sent, left_out FROM recorder.replays")
    await controlled(world, replay, "step", count=60)
    await reached(world, replay, sent=100)
    process.kill()
    process.wait(60)
    await world.rows("UPDATE recorder.replays SET number = %s, sent = %s, left_out = %s RETURNING 1", *before[0])
    await world.forgotten()
    start()
    await reached(world, replay, state="paused")
    await controlled(world, replay, "resume")
    done = await reached(world, replay, state="done")
    assert exit_.last == SENT
    assert (done.sent, done.left_out, done.failed) == (len(SENT), 131, 1)


async def test_a_paused_replay_is_paused_after_a_kill_and_steps_and_resumes(start: Any, world: Any, exit_: Any) -> None:
    process = start()
    recording = await imported(world)
    replay = await begun(world, recording, paused=True)
    await controlled(world, replay, "step", count=5)

    async def has_five() -> bool:
        return len(exit_.last) == 5 and (await read(world, replay)).sent == 5

    await world.until(has_five)
    process.kill()
    process.wait(60)
    start()
    found = await reached(world, replay, state="paused")
    assert (found.sent, exit_.last) == (5, SENT[:5])
    await controlled(world, replay, "step")
    await reached(world, replay, sent=6)
    await controlled(world, replay, "resume")
    await reached(world, replay, state="done")
    assert exit_.last == SENT


async def test_a_seek_begins_with_the_snapshot_of_that_place(start: Any, world: Any, exit_: Any) -> None:
    start()
    recording = await imported(world)
    replay = await begun(world, recording, paused=True)
    at_ms = EXPECTED["seek"]["to_ms"]
    await controlled(world, replay, "seek", to_ms=at_ms)
    topics = EXPECTED["seek"]["snapshot_topics"]

    async def has_snapshot() -> bool:
        return exit_.environment.epoch == 3 and len(exit_.last) == len(topics)

    await world.until(has_snapshot)
    at_us = MESSAGES[0].at_us + at_ms * 1000
    values = snapshot_at(MESSAGES, at_us)
    assert sorted(exit_.last) == sorted((topic, values[topic].payload) for topic in topics)
    found = await read(world, replay)
    assert (found.state, found.turn, found.position_ms) == ("paused", 2, at_ms)
    await controlled(world, replay, "resume")
    await reached(world, replay, state="done")
    rest = [(each.topic, each.payload) for each in MESSAGES if each.at_us >= at_us and is_sent(each.topic)]
    assert exit_.last[len(topics) :] == rest


async def test_from_to_filters_and_a_loop(start: Any, world: Any, exit_: Any) -> None:
    start()
    recording = await imported(world)
    first = MESSAGES[0].at_us
    wanted = [
        (each.topic, each.payload)
        for each in MESSAGES
        if first + 10_000_000 <= each.at_us < first + 60_000_000
        and each.topic.startswith("ccu/")
        and not each.topic.startswith("ccu/pairing/")
        and is_sent(each.topic)
    ]
    fields = {"from": 10_000, "to": 60_000, "filter": ["ccu/#"], "exclude": ["ccu/pairing/#"]}
    replay = await begun(world, recording, loop=True, **fields)

    async def third_turn() -> bool:
        return (await read(world, replay)).turn >= 3

    await world.until(third_turn)
    stopped = await controlled(world, replay, "stop")
    assert stopped.state == "stopped"
    for epoch in (2, 3):
        assert exit_.of_epoch(epoch)[-len(wanted) :] == wanted
    with pytest.raises(RpcError) as refused:
        await controlled(world, replay, "resume")
    assert (refused.value.problem.status, refused.value.problem.code) == (409, 5414)


async def test_the_first_message_is_of_now_and_the_differences_of_times_stay(
    start: Any, world: Any, exit_: Any
) -> None:
    start()
    recording = await imported(world)
    replay = await begun(world, recording, shift="now")
    done = await reached(world, replay, state="done")
    assert abs(done.created_at - MESSAGES[0].at_ms - done.shift_ms) < 60_000
    heartbeats = [json.loads(payload)["ts"] for topic, payload in exit_.last if topic == "/j1/txt/1/i/bme680"]
    recorded = [json.loads(payload)["ts"] for topic, payload in SENT if topic == "/j1/txt/1/i/bme680"]
    assert heartbeats != recorded
    assert len(heartbeats) == len(recorded)


async def test_while_the_broker_is_away_it_waits_with_few_messages_on_the_outbox(
    start: Any, world: Any, exit_: Any
) -> None:
    start()
    recording = await imported(world, SESSION * 3)
    exit_.open.clear()
    replay = await begun(world, recording)

    async def is_full() -> bool:
        return (await world.bus.jetstream.stream_info("OUTBOX")).state.messages >= 490

    await world.until(is_full)
    for _ in range(20):  # nothing more comes, which no event says
        assert (await world.bus.jetstream.stream_info("OUTBOX")).state.messages <= 500
        await asyncio.sleep(0.02)
    exit_.open.set()
    await reached(world, replay, state="done")
    assert exit_.last == SENT * 3


async def test_while_the_database_is_away_it_waits_at_its_place_and_sends_nothing_twice(
    start: Any, world: Any, exit_: Any, postgres_factory: Any
) -> None:
    server = postgres_factory()
    migrate_database(CommonSettings(database_url=server.url))
    start(KAISER_DATABASE_URL=server.url)
    recording = await imported(world)
    replay = await begun(world, recording, speed=100)

    async def has_begun() -> bool:
        return len(exit_.last) >= 50

    await world.until(has_begun)
    server.stop()
    with pytest.raises(RpcError) as refused:
        await controlled(world, replay, "pause")
    assert refused.value.problem.status == 503
    assert len(exit_.last) < len(SENT)
    server.start()
    await world.until(lambda: controlled(world, replay, "speed", speed="max"))
    done = await reached(world, replay, state="done")
    assert exit_.last == SENT
    assert (done.sent, done.left_out, done.failed) == (len(SENT), 131, 1)


async def test_a_switch_of_the_environment_ends_it(start: Any, world: Any, exit_: Any) -> None:
    start()
    recording = await imported(world)
    replay = await begun(world, recording, speed=1)

    async def has_begun() -> bool:
        return bool(exit_.last)

    await world.until(has_begun)
    await exit_.put(env="live", kind="live", epoch=3)
    failed = await reached(world, replay, state="failed")
    assert "switched to live" in (failed.reason or "")
    assert exit_.last == []


async def test_commands_go_out_in_an_armed_run_and_it_is_disarmed_at_its_end(
    start: Any, world: Any, exit_: Any
) -> None:
    start()
    recording = await imported(world)
    replay = await begun(world, recording, armed="replay")
    done = await reached(world, replay, state="done")
    assert exit_.last == [(each.topic, each.payload) for each in MESSAGES if " " not in each.topic]
    assert (done.sent, done.left_out, done.failed) == (565, 0, 1)
    assert exit_.is_disarmed
    assert not any(each.retain for each in exit_.messages if is_command(each.topic))


async def test_what_may_not_be_is_refused(start: Any, world: Any, exit_: Any) -> None:
    start()
    recording = await imported(world)
    for fields, status, code, field in (
        ({"recording": "0" * 16}, 404, 5415, "recording"),
        ({"filter": ["ccu/*"]}, 422, 5207, "filter"),
        ({"armed": "live"}, 422, 5207, "armed"),
        ({"expect": {"modules": 1}}, 422, 5206, "expect"),
        ({"from": 10**9}, 422, 5207, "from"),
    ):
        with pytest.raises(RpcError) as refused:
            await begun(world, recording, **fields)
        assert (refused.value.problem.status, refused.value.problem.code, refused.value.problem.field) == (
            status,
            code,
            field,
        )
    with pytest.raises(RpcError) as refused:
        await world.ask("start_replay", StartReplay(recording=recording), FactoryReplay, role="viewer")
    assert refused.value.problem.status == 403
    replay = await begun(world, recording, paused=True)
    with pytest.raises(RpcError) as refused:
        await begun(world, recording)
    assert (refused.value.problem.status, refused.value.problem.code) == (409, 5414)
    with pytest.raises(RpcError) as refused:
        await world.ask("delete", RecordingKey(recording_id=recording))
    assert refused.value.problem.status == 409
    await controlled(world, replay, "stop")
    await exit_.put(env="live", kind="live", epoch=9)

    async def is_refused() -> bool:
        try:
            again = await begun(world, recording)
        except RpcError as error:
            return (error.problem.status, error.problem.code) == (409, 5405)
        await controlled(world, again, "stop")
        return False

    await world.until(is_refused)
    assert exit_.last == []
