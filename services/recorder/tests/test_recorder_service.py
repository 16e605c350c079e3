"""The service on real servers: TOPICS and files in, files out; killed, and without its database."""

import base64
import json
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.schemas.api.recordings import (
    BeginImport,
    ExportPage,
    ExportQuery,
    ImportKey,
    ImportPart,
    RecordingDetails,
    RecordingKey,
    RecordingsPage,
    RecordingsQuery,
    SavedRecording,
    StartRecording,
)
from kaiser_common.contract.subjects import TOPICS
from kaiser_factory_dialect.recordings import parse_lines

GOLDEN = Path(__file__).parents[3] / "tests/golden"
SESSION = (GOLDEN / "factory-session.jsonl").read_bytes()
EXPECTED = json.loads((GOLDEN / "factory-session.expected.json").read_text())
STATE = "module/v1/ff/S1/state"


async def begun(world: Any, **fields: Any) -> SavedRecording:
    """A recording of everything, unless the fields say otherwise; waits until the recorder answers."""
    request = StartRecording.model_validate({"name": "all", "priority": 6} | fields)
    return await world.until(lambda: world.ask("start", request, SavedRecording))


async def read(world: Any, recording: SavedRecording) -> SavedRecording:
    key = RecordingKey(recording_id=recording.recording_id)
    return (await world.ask("read", key, RecordingDetails)).recording


async def stopped(world: Any, recording: SavedRecording) -> SavedRecording:
    return await world.ask("stop", RecordingKey(recording_id=recording.recording_id), SavedRecording)


async def exported(world: Any, recording: SavedRecording) -> bytes:
    found, after = b"", 0
    while after is not None:
        query = ExportQuery(recording_id=recording.recording_id, after=after)
        page = await world.ask("export", query, ExportPage)
        found, after = found + zlib.decompress(base64.b64decode(page.data_base64)), page.next_after
    return found


async def imported(world: Any, filename: str, content: bytes, **fields: Any) -> SavedRecording:
    """A file sent in parts, at least three of them, once it is read."""
    size = min(400_000, len(content) // 3 + 1)
    begin = BeginImport.model_validate({"filename": filename, "bytes": len(content)} | fields)
    key = await world.until(lambda: world.ask("begin_import", begin, ImportKey))
    for offset in range(0, len(content), size):
        data = base64.b64encode(content[offset : offset + size]).decode()
        await world.ask("import_part", ImportPart(import_id=key.import_id, offset=offset, data_base64=data))
    recording = await world.ask("end_import", key, SavedRecording)
    assert recording.state == "importing"

    async def done() -> SavedRecording | None:
        found = await read(world, recording)
        return found if found.state != "importing" else None

    return await world.until(done)


def messages_of(lines: bytes) -> list[tuple[str, bytes]]:
    return [(each.topic, each.payload) for each in parse_lines(lines.splitlines()).messages]


async def test_what_comes_is_recorded_from_the_request_to_the_stop(start: Any, world: Any) -> None:
    await world.say(STATE, b"before")
    start()
    recording = await begun(world, priority=1, note="why")
    await world.say(STATE, b'{"a": 1}', Kaiser_Received_At="1771000000000123456")
    await world.say("ccu/order/active", b"not at this level")
    await world.say(STATE, b"\xff\x00")
    await world.say(STATE, b"elsewhere", env="mock")
    done = await stopped(world, recording)
    assert (done.state, done.messages, done.missing, done.env, done.created_by) == ("ready", 2, 0, "live", "ada")
    await world.say(STATE, b"after")
    lines = await exported(world, recording)
    assert messages_of(lines) == [(STATE, b'{"a": 1}'), (STATE, b"\xff\x00")]
    meta, first, _ = (json.loads(line) for line in lines.splitlines())
    assert (meta["format"], meta["sessionName"], meta["env"]) == ("kaiser-session/1", "all", "live")
    assert (first["timestamp"], first["qos"], first["retain"]) == ("2026-02-13T16:26:40.000123Z", 1, False)
    with pytest.raises(RpcError) as refused:
        await stopped(world, recording)
    assert (refused.value.problem.status, refused.value.problem.code) == (409, 5414)


async def test_the_flight_recorder_has_what_is_in_the_buffers(start: Any, world: Any) -> None:
    await world.say_all([(STATE, b"%d" % number) for number in range(30)])
    start()
    recording = await begun(world, **{"from": "-10m"})
    await world.say(STATE, b"30")
    done = await stopped(world, recording)
    assert [payload for _, payload in messages_of(await exported(world, done))] == [b"%d" % n for n in range(31)]


async def test_killed_while_it_records_it_goes_on_and_writes_nothing_twice(start: Any, world: Any) -> None:
    process = start()
    recording = await begun(world)
    sent: list[tuple[str, bytes]] = []
    for turn in range(3):
        more = [(f"ccu/x/{number % 7}", b"%d-%d" % (turn, number)) for number in range(100)]
        await world.say_all(more)
        sent += more
        process.kill()
        process.wait(60)
        process = start()

        async def some(least: int = 100 * turn) -> bool:
            return (await read(world, recording)).messages >= least

        await world.until(some)
    done = await world.until(lambda: stopped(world, recording))
    assert (done.messages, done.missing) == (300, 0)
    assert messages_of(await exported(world, recording)) == sent


async def test_what_the_stream_has_lost_is_counted_in_the_recording(start: Any, world: Any) -> None:
    process = start()
    recording = await begun(world)
    await world.say(STATE, b"first")

    async def has_one() -> bool:
        return (await read(world, recording)).messages == 1

    await world.until(has_one)
    process.kill()
    process.wait(60)
    await world.say_all([(STATE, b"%d" % number) for number in range(1000)])
    await world.say_all([(STATE, b"%d" % number) for number in range(1000, 1040)])
    assert (await world.bus.jetstream.stream_info(TOPICS.name)).state.messages == 1000
    start()
    done = await world.until(lambda: stopped(world, recording))
    assert (done.messages, done.missing) == (1001, 40)
    payloads = [payload for _, payload in messages_of(await exported(world, recording))]
    assert payloads == [b"first", *(b"%d" % number for number in range(40, 1040))]


async def test_a_recording_goes_on_when_the_database_comes_back(start: Any, world: Any, postgres_factory: Any) -> None:
    from kaiser_common.migrate.command import migrate_database
    from kaiser_common.runtime.settings import CommonSettings

    server = postgres_factory()
    migrate_database(CommonSettings(database_url=server.url))
    start(KAISER_DATABASE_URL=server.url)
    recording = await begun(world)
    await world.say(STATE, b"before")

    async def has(count: int) -> bool:
        return (await read(world, recording)).messages == count

    await world.until(lambda: has(1))
    server.stop()
    await world.say_all([(STATE, b"%d" % number) for number in range(50)])
    with pytest.raises(RpcError) as refused:
        await stopped(world, recording)
    assert refused.value.problem.status == 503
    server.start()
    await world.until(lambda: has(51))
    done = await stopped(world, recording)
    assert (done.state, done.messages, done.missing) == ("ready", 51, 0)


async def test_the_session_is_imported_with_its_bad_lines_listed(start: Any, world: Any) -> None:
    start()
    done = await imported(world, "factory-session.jsonl", SESSION, note="of the model factory")
    assert (done.state, done.source, done.name) == ("ready", "import", "factory-session.jsonl")
    assert (done.messages, done.bad_lines) == (EXPECTED["messages"], len(EXPECTED["skipped"]))
    key = RecordingKey(recording_id=done.recording_id)
    details = await world.ask("read", key, RecordingDetails)
    assert [each.line for each in details.skipped] == [line for line, _ in EXPECTED["skipped"]]
    assert all(each.reason.startswith(why) for each, (_, why) in zip(details.skipped, EXPECTED["skipped"], strict=True))


async def test_a_recording_comes_back_from_its_file(start: Any, world: Any) -> None:
    start()
    first = await imported(world, "factory-session.jsonl", SESSION)
    lines = await exported(world, first)
    again = await imported(world, "again.jsonl", lines)
    assert (again.messages, again.bad_lines, again.naive) == (first.messages, 0, False)
    other = await exported(world, again)
    assert parse_lines(other.splitlines()).messages == parse_lines(lines.splitlines()).messages
    assert messages_of(lines) == messages_of(SESSION)


async def test_a_file_without_a_message_fails_by_name_and_leaves_nothing(start: Any, world: Any) -> None:
    start()
    done = await imported(world, "nothing.log", b"nothing\nof it\n")
    assert (done.state, done.reason, done.bad_lines) == ("failed", "the file has no message", 2)
    done = await imported(world, "nothing.db", b"no database")
    assert done.state == "failed"
    assert "the database cannot be read" in (done.reason or "")


async def test_what_is_more_than_may_be_is_refused_and_deleting_makes_room(start: Any, world: Any) -> None:
    start(KAISER_RECORDER_BYTES="2000")
    recording = await begun(world)
    await world.say(STATE, b"x" * 1500)

    async def has_one() -> bool:
        return (await read(world, recording)).messages == 1

    await world.until(has_one)
    await world.say(STATE, b"y" * 1500)

    async def ended() -> SavedRecording | None:
        found = await read(world, recording)
        return found if found.state == "ready" else None

    done = await world.until(ended)
    assert done.messages == 1
    assert "KAISER_RECORDER_BYTES" in (done.reason or "")
    failed = await imported(world, "many.log", b'{"topic": "a", "payload": "%s"}\n' % (b"z" * 900) * 2, bytes=None)
    assert failed.state == "failed"
    assert "KAISER_RECORDER_BYTES" in (failed.reason or "")
    with pytest.raises(RpcError) as refused:
        await world.ask("begin_import", BeginImport(filename="x.log", bytes=2001), ImportKey)
    assert refused.value.problem.status == 409
    with pytest.raises(RpcError) as refused:
        await world.ask("begin_import", BeginImport(filename="x.log", bytes=512 * 1024 * 1024 + 1), ImportKey)
    assert (refused.value.problem.status, refused.value.problem.code) == (413, 5207)
    await world.ask("delete", RecordingKey(recording_id=recording.recording_id))

    async def has_room() -> bool:
        return (await world.ask("list", RecordingsQuery(), RecordingsPage)).bytes == 0

    await world.until(has_room)
    with pytest.raises(RpcError) as refused:
        await read(world, recording)
    assert refused.value.problem.status == 404


async def test_a_filter_with_a_star_an_unknown_recording_and_too_many_are_refused(start: Any, world: Any) -> None:
    start()
    running = [await begun(world) for _ in range(8)]
    for fields, status, field in (
        ({"filters": ["module/v1/ff/*/state"], "priority": None}, 422, "filters"),
        ({"from": "-8d"}, 422, "from"),
        ({}, 409, None),
    ):
        request = StartRecording.model_validate({"name": "x", "priority": 6} | fields)
        with pytest.raises(RpcError) as refused:
            await world.ask("start", request, SavedRecording)
        assert (refused.value.problem.status, refused.value.problem.field) == (status, field)
    with pytest.raises(RpcError) as refused:
        await world.ask("delete", RecordingKey(recording_id=running[0].recording_id))
    assert refused.value.problem.status == 409
    for method, answer in (("read", RecordingDetails), ("stop", SavedRecording), ("delete", SavedRecording)):
        with pytest.raises(RpcError) as refused:
            await world.ask(method, RecordingKey(recording_id="0" * 16), answer)
        assert refused.value.problem.status == 404
    with pytest.raises(RpcError) as refused:
        await world.ask("start", StartRecording(name="x", priority=6), SavedRecording, role="viewer")
    assert refused.value.problem.status == 403


async def test_a_part_that_does_not_follow_is_refused(start: Any, world: Any) -> None:
    start()
    key = await world.until(lambda: world.ask("begin_import", BeginImport(filename="x.log"), ImportKey))
    data = base64.b64encode(b"abc").decode()
    await world.ask("import_part", ImportPart(import_id=key.import_id, offset=0, data_base64=data))
    with pytest.raises(RpcError) as refused:
        await world.ask("import_part", ImportPart(import_id=key.import_id, offset=0, data_base64=data))
    assert (refused.value.problem.status, refused.value.problem.field) == (409, "offset")
    await world.ask("drop_import", key)
    with pytest.raises(RpcError) as refused:
        await world.ask("end_import", key, SavedRecording)
    assert refused.value.problem.status == 404


@pytest.mark.speed
async def test_100_000_messages_are_imported_within_30_s(start: Any, world: Any) -> None:
    start()
    state = {"serialNumber": "S1", "actionState": None, "errors": [], "loads": [], "metadata": "x" * 500}
    row = {"topic": STATE, "payload": json.dumps(state), "timestamp": "2026-02-13T16:27:26.000Z", "qos": 1}
    line = json.dumps(row).encode() + b"\n"
    await imported(world, "warm.log", line)
    began = time.monotonic()
    done = await imported(world, "many.log", line * 100_000)
    took = time.monotonic() - began
    print(f"100,000 messages ({done.bytes / 1e6:.0f} MB) imported in {took:.1f} s")
    assert done.messages == 100_000
    assert took < 30
