"""Rejected messages through the API: listed newest first, replayed as if newly received."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from kaiser_common.bus.connection import connect
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.schemas.api.messages import CheckedMessage
from kaiser_common.contract.schemas.api.rejected import (
    CauseReplay,
    CausesPage,
    CausesQuery,
    FixedMessage,
    FixRejected,
    MessageFix,
    RejectedItem,
    RejectedKey,
    RejectedPage,
    RejectedQuery,
    ReplayAnswer,
    ReplayedCause,
    ReplayRequest,
)
from kaiser_common.runtime.clock import now_ms
from kaiser_ingest.api import rejected_causes
from kaiser_ingest.api.rejected import RejectedMessages
from kaiser_ingest.api.rejected_causes import RejectedCauses

ADA = Caller(user="ada", role="admin")
ESP, NEW = "ESP_0001", "ESP_0002"


async def test_rejected_messages_are_listed_newest_first_and_replayed_once_their_device_is_known(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    await world.approve([ESP])
    ingest = world.ingest()
    await until(ingest.connected)
    device = await world.device()
    await device.publish(0, world.topic(NEW, "sensor/34/data"), make_reading(NEW, 7))
    for number in range(30):
        await device.publish(1, world.topic(ESP, "sensor/34/data"), b"\xff%d" % number)
    await until(lambda: ingest.total("kaiser_ingest_messages_total") == 31)
    async with connect(world.bus, "tests") as bus:

        async def page(**query: Any) -> RejectedPage:
            return await call(bus, "ingest", "rejected_list", RejectedQuery(**query), RejectedPage, caller=ADA)

        first = await page(limit=20)
        assert [each.encoding for each in first.items] == ["base64"] * 20
        assert [base64.b64decode(each.payload) for each in first.items] == [b"\xff%d" % n for n in range(29, 9, -1)]
        assert (first.items[0].code, first.items[0].esp_id) == (5209, ESP)
        second = await page(limit=20, before=int(first.next_cursor or 0))
        assert len(second.items) == 11
        assert second.next_cursor is None
        seqs = [each.seq for each in (*first.items, *second.items)]
        assert seqs == sorted(set(seqs), reverse=True)
        (unknown,) = (await page(esp_id=NEW, code=5001)).items
        assert (unknown.payload, unknown.encoding) == (make_reading(NEW, 7).decode(), "text")
        assert (await page(code=5210)).items == []

        async def replay(seq: int) -> ReplayAnswer:
            return await call(bus, "ingest", "rejected_replay", ReplayRequest(seq=seq), ReplayAnswer, caller=ADA)

        with pytest.raises(RpcError) as caught:
            await replay(unknown.seq)
        assert (caught.value.problem.status, caught.value.problem.code) == (422, 5001)
        await world.approve([NEW])
        await until(lambda: _replayed(replay, unknown.seq))
        assert [body["raw"] for _, body in await world.stored("SENSORS")] == [7]
        for seq, status in ((seqs[0], 422), (seqs[0] + 1, 404), (4711 * 4096, 404), (4711, 404)):
            with pytest.raises(RpcError) as caught:
                await replay(seq)
            assert caught.value.problem.status == status


async def test_a_message_is_corrected_and_taken_in_with_the_time_at_which_it_came(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    await world.approve([ESP])
    ingest = world.ingest()
    await until(ingest.connected)
    device = await world.device()
    sent = json.loads(make_reading(ESP, 7))
    await device.publish(0, world.topic(ESP, "sensor/34/data"), json.dumps({**sent, "raw": "7", "ts": 0}).encode())
    await until(lambda: ingest.total("kaiser_ingest_messages_total") == 1)
    async with connect(world.bus, "tests") as bus:
        page = await call(bus, "ingest", "rejected_list", RejectedQuery(), RejectedPage, caller=ADA)
        [bad] = page.items

        async def ask(method: str, answer: Any, **fix: Any) -> Any:
            request = FixRejected(seq=bad.seq, fix=MessageFix(**fix))
            return await call(bus, "ingest", method, request, answer, caller=ADA)

        good = json.dumps({**sent, "raw": 7, "ts": 0})
        assert (await ask("rejected_check", CheckedMessage, payload="{")).code == 5209
        assert (await ask("rejected_check", CheckedMessage, payload=good)).verdict == "accept"
        assert await world.stored("SENSORS") == []
        for wrong, code in (
            ({"payload": "{"}, 5209),
            ({"payload": good, "topic": world.topic(NEW, "sensor/34/data")}, 5211),
            ({"payload": good, "topic": world.topic("MOCK_A", "actuator/5/command")}, 5212),
            ({"payload": good, "topic": "kaiser/x"}, 5212),
        ):
            with pytest.raises(RpcError) as caught:
                await ask("rejected_fix", FixedMessage, **wrong)
            assert (caught.value.problem.status, caught.value.problem.code) == (422, code), wrong
        for _ in range(2):
            fixed = await ask("rejected_fix", FixedMessage, payload=good)
            assert (fixed.published, fixed.rejected, fixed.received_at) == (1, 0, bad.received_at)
        [(_, stored)] = await world.stored("SENSORS")
        assert (stored["raw"], stored["ts"], stored["received_at"]) == (7, bad.received_at, bad.received_at)
        assert stored["replayed"] is True
        one = await call(bus, "ingest", "rejected_item", RejectedKey(seq=bad.seq), RejectedItem, caller=ADA)
        assert one == bad


async def test_an_alert_of_a_device_that_is_not_approved_is_rejected_and_becomes_one_critical_event(
    world: Any, until: Callable[..., Any]
) -> None:
    ingest = world.ingest()
    await until(ingest.connected)
    device = await world.device()
    alert = json.dumps({"alert_type": "emergency_stop", "gpio": 25, "ts": 0}).encode()
    for number, esp_id in enumerate((NEW, NEW, "ESP_lower", "ESP_0003")):
        await device.publish(number + 1, world.topic(esp_id, "actuator/25/alert"), alert)
    await until(lambda: ingest.total("kaiser_ingest_messages_total") == 4)
    events = [body for subject, body in await world.stored("EVENTS") if subject.startswith("event.system_event")]
    told = [(each["esp_id"], each["severity"]) for each in events if each["event"] == "alert_of_unknown_device"]
    assert told == [(NEW, "critical"), ("ESP_0003", "critical")]
    assert sorted(body["code"] for _, body in await world.stored("REJECTED")) == [5001, 5001, 5001, 5201]


async def test_pages_are_bounded_in_bytes_and_miss_nothing(world: Any, until: Callable[..., Any]) -> None:
    await world.approve([ESP])
    ingest = world.ingest()
    await until(ingest.connected)
    device = await world.device()
    payloads = [b"\x01" * 16_000, b"\xff" * 60_000, b"{"]  # one grows sixfold in JSON, one is cut at 16 KiB
    for number in range(180):
        await device.publish(number, world.topic(ESP, "sensor/34/data"), payloads[number % 3] + b"%d" % number)
    await until(lambda: ingest.total("kaiser_ingest_messages_total") == 180)
    async with connect(world.bus, "tests") as bus:
        for encoding in ("text", "base64"):
            found: list[int] = []
            before, pages = None, 0
            while pages == 0 or before is not None:
                query = RejectedQuery(limit=1000, before=before, encoding=encoding)  # type: ignore[arg-type]
                page = await call(bus, "ingest", "rejected_list", query, RejectedPage, caller=ADA)
                assert len(page.model_dump_json()) < 1_200_000
                found += [each.seq for each in page.items]
                before = None if page.next_cursor is None else int(page.next_cursor)
                pages += 1
            assert len(found) == 180, encoding
            assert found == sorted(set(found), reverse=True)
            assert pages > 1


async def test_a_flood_is_kept_in_packs_and_each_rejection_is_listed_under_its_device(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    crowd = [f"ESP_C{number:03}" for number in range(60)]
    await world.approve([ESP, *crowd])
    before_the_flood = world.ingest()
    await until(before_the_flood.connected)
    assert before_the_flood.stop() == 0
    device = await world.device()
    for number in range(600):
        esp_id = ESP if number % 2 else crowd[number // 2 % len(crowd)]
        await device.publish(number, world.topic(esp_id, "sensor/34/data"), b'{"n":%d' % number)
    ingest = world.ingest()  # what waited at the broker comes together
    await until(lambda: ingest.total("kaiser_ingest_messages_total") == 600)
    async with world.client() as client:
        assert (await client.jetstream().stream_info("REJECTED")).state.messages < 600
    async with connect(world.bus, "tests") as bus:
        for esp_id, expected in ((ESP, range(1, 600, 2)), (crowd[7], range(14, 600, 120)), (NEW, [])):
            found: list[str] = []
            before: int | None = None
            while not found or before is not None:
                query = RejectedQuery(esp_id=esp_id, code=5209, limit=70, before=before)
                page = await call(bus, "ingest", "rejected_list", query, RejectedPage, caller=ADA)
                assert {each.esp_id for each in page.items} <= {esp_id}
                found += [each.payload for each in page.items]
                before = None if page.next_cursor is None else int(page.next_cursor)
                if not page.items:
                    break
            assert found == [f'{{"n":{number}' for number in reversed(expected)], esp_id


async def test_all_of_a_cause_is_counted_and_replayed_step_by_step_and_a_step_may_be_repeated(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    await world.approve([ESP])
    ingest = world.ingest()
    await until(ingest.connected)
    device = await world.device()
    for number in range(25):
        await device.publish(number, world.topic(NEW, "sensor/34/data"), make_reading(NEW, number))
    for number in range(3):
        await device.publish(25 + number, world.topic(ESP, "sensor/34/data"), b"{%d" % number)
    await until(lambda: ingest.total("kaiser_ingest_messages_total") == 28)
    async with connect(world.bus, "tests") as bus:
        page = await call(bus, "ingest", "rejected_causes", CausesQuery(), CausesPage, caller=ADA)
        assert [(one.code, one.field, one.esp_id, one.count) for one in page.items] == [
            (5001, "esp_id", NEW, 25),
            (5209, "", ESP, 3),
        ]
        assert (page.looked_at, page.is_complete, page.left_out) == (28, True, 0)

        async def replay(**step: Any) -> ReplayedCause:
            request = CauseReplay(**step)
            return await call(
                bus, "ingest", "rejected_replay_cause", request, ReplayedCause, caller=ADA, timeout_s=60.0
            )

        of_new = {"code": 5001, "esp_id": NEW, "limit": 10}
        refused = await replay(**of_new)
        assert (refused.replayed, refused.published, refused.refused, refused.left) == (0, 0, 10, 15)
        assert [one.code for one in refused.refusals] == [5001] * 10
        assert await world.stored("SENSORS") == []

        await world.approve([NEW])
        first = await replay(**of_new)
        while first.refused:
            first = await replay(**of_new)
        assert (first.replayed, first.published, first.left, first.is_left_exact) == (10, 10, 15, True)
        assert await replay(**of_new) == first
        assert [body["raw"] for _, body in await world.stored("SENSORS")] == list(range(10))

        await device.publish(30, world.topic("ESP_0003", "sensor/34/data"), make_reading("ESP_0003", 1))
        await until(lambda: ingest.total("kaiser_ingest_messages_total") == 29)
        counts, step = [], first
        while step.next_cursor is not None:
            step = await replay(**of_new, after=int(step.next_cursor), through=first.through)
            counts.append((step.replayed, step.refused, step.left))
        assert counts == [(10, 0, 5), (5, 0, 0)]
        assert [body["raw"] for _, body in await world.stored("SENSORS")] == list(range(25))

        every = await replay(code=5209)
        assert (every.replayed, every.refused, every.left, every.next_cursor) == (0, 3, 0, None)
        assert (await replay(code=5209, field="raw")).refused == 0
        assert (await replay(topic="kaiser/none")).refused == 0
    async with world.client() as client:
        of_audit = (await client.jetstream().stream_info("AUDIT")).state
    assert of_audit.messages == 0, "a caller without an address is a service"


async def test_a_device_that_was_registered_just_now_is_waited_for_before_its_messages_are_replayed(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    ingest = world.ingest()
    await until(ingest.connected)
    device = await world.device()
    await device.publish(0, world.topic(NEW, "sensor/34/data"), make_reading(NEW, 7))
    await until(lambda: ingest.total("kaiser_ingest_messages_total") == 1)
    ada = Caller(user="ada", role="admin", address="192.0.2.7")
    async with connect(world.bus, "tests") as bus:
        request = CauseReplay(code=5001, esp_id=NEW)

        async def replayed() -> ReplayedCause:
            return await call(
                bus, "ingest", "rejected_replay_cause", request, ReplayedCause, caller=ada, timeout_s=60.0
            )

        await world.approve([NEW])
        answer = await replayed()
        while answer.refused:  # on a machine that needs longer than 2 s for it
            answer = await replayed()
        assert (answer.replayed, answer.left) == (1, 0)

    async with world.client() as client:
        last = await client.jetstream().get_last_msg("AUDIT", "audit.ingest")
    record = json.loads(last.data)
    assert (record["outcome"], record["action"], record["actor"]) == ("done", "replay_cause", "ada")
    assert record["target"] == f"5001/{NEW}"
    assert (record["before"]["count"], record["after"]["replayed"]) == (1, 1)


async def test_a_step_whose_time_is_over_leaves_the_rest_to_the_next_and_all_are_replayed_once(
    world: Any, make_reading: Callable[..., bytes], until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejected_causes, "_STEP_S", 0.0)
    monkeypatch.setattr(rejected_causes, "_COUNT_S", 0.0)
    ingest = world.ingest()
    await until(ingest.connected)
    device = await world.device()
    for number in range(12):
        esp_id = NEW if number % 4 == 3 else ESP
        await device.publish(number, world.topic(esp_id, "sensor/34/data"), make_reading(esp_id, number))
    await until(lambda: ingest.total("kaiser_ingest_messages_total") == 12)
    ada = Caller(user="ada", role="admin")
    async with connect(world.bus, "tests") as bus:
        registered = {NEW: None}
        causes = RejectedCauses(bus, registered, RejectedMessages(bus, registered, 36_500 * 86_400_000, now_ms))
        step: CauseReplay | None = CauseReplay(code=5001, topic=None, field="esp_id")
        replayed = refused = steps = 0
        while step is not None:
            done = await causes.replay(step, ada)
            replayed, refused, steps = replayed + done.replayed, refused + done.refused, steps + 1
            assert steps < 50
            cursor = done.next_cursor
            step = None if cursor is None else step.model_copy(update={"after": int(cursor), "through": done.through})
        assert (replayed, refused, steps > 1) == (3, 9, True)
        assert (await causes.causes(CausesQuery(), ada)).is_complete is False
    assert [body["raw"] for _, body in await world.stored("SENSORS")] == [3, 7, 11]


async def _replayed(replay: Callable[..., Any], seq: int) -> bool:
    """Whether the replay went through; ingest learns of the new device a moment later."""
    try:
        return (await replay(seq)) == ReplayAnswer(seq=seq, published=1, rejected=0)
    except RpcError:
        return False
