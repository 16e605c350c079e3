"""Commands from their request to their end, on a real NATS and PostgreSQL, with devices made of messages."""

import asyncio
import json

import pytest
from actuator_world import (
    ADA,
    START,
    TOPIC,
    another_waits_for_a_lock,
    device,
    refusal,
)
from kaiser_actuator.store import actuators
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.schemas.api.actuators import (
    ActuatorsQuery,
    CommandRequest,
    HistoryQuery,
    SendCommand,
)


async def test_a_command_goes_out_in_the_words_of_the_contract_and_ends_acknowledged(life):
    await life.pump()
    command = await life.send("ON", duration_s=60, reason="watering")
    assert command.state == "queued"
    assert await life.outbox() == [
        (
            f"out {TOPIC}5/command",
            {
                "command": "ON",
                "value": 1.0,
                "duration": 60,
                "timestamp": int(START.timestamp()),
                "correlation_id": command.command_id,
                "issued_by": "ada",
            },
        )
    ]
    life.wait(1)
    await life.say(life.sent(command))
    assert (await life.how(command)).state == "sent"
    life.wait(1)
    await life.say(life.response(command, message="done"), life.status(True))
    done = await life.how(command)
    assert (done.state, done.message, done.issued_by) == ("acknowledged", "done", "ada")
    assert (done.sent_at - done.queued_at, done.ended_at - done.queued_at) == (1000, 2000)
    assert [
        (event["state"], event["success"], event["command_id"]) for event in await life.events("actuator_response")
    ] == [("acknowledged", True, command.command_id)]
    [pump] = (await life.registry.list_actuators(ActuatorsQuery(), ADA)).items
    assert (pump.state, pump.value, pump.emergency) == (True, 1.0, "normal")


async def test_failure_silence_late_and_duplicate_answers(life):
    await life.pump()
    failing = await life.send("ON")
    await life.say(life.sent(failing), life.response(failing, success=False, message="no water"))
    failed = await life.how(failing)
    assert (failed.state, failed.state_reason) == ("failed", "no water")
    silent = await life.send("ON")
    await life.say(life.sent(silent))
    life.wait(9.9)
    await life.sweep.once()
    assert (await life.how(silent)).state == "sent"
    life.wait(0.1)
    await life.sweep.once()
    expired = await life.how(silent)
    assert (expired.state, expired.state_reason) == ("expired", "no answer within 10 s")
    late = life.response(silent)
    await life.say(late)
    await life.say(late, life.response(failing))
    assert await life.how(silent) == expired
    assert await life.how(failing) == failed
    history = (await life.registry.history(HistoryQuery(esp_id="ESP_A", gpio=5), ADA)).items
    assert [item.kind for item in history].count("response") == 3, "a late answer is kept, a repeated one once"


async def test_a_command_whose_answer_came_in_time_and_is_unread_does_not_expire(life):
    await life.pump()
    answered, silent = await life.send(), await life.send("OFF")
    await life.say(life.sent(answered), life.sent(silent))
    answer = life.response(answered)
    life.heard_up_to = life.now
    life.wait(60)
    await life.sweep.once()
    assert (await life.how(answered)).state == (await life.how(silent)).state == "sent", "nobody has read what came"
    await life.say(answer)
    life.heard_up_to = None
    await life.sweep.once()
    assert (await life.how(answered)).state == "acknowledged"
    assert (await life.how(silent)).state == "expired"


async def test_answers_without_an_id_end_the_commands_of_that_name_in_order(life):
    await life.pump()
    first, second = await life.send("ON"), await life.send("ON")
    anonymous = life.message("response", command="ON", success=True)
    await life.say(life.sent(first), life.sent(second), anonymous)
    assert [(await life.how(each)).state for each in (first, second)] == ["acknowledged", "sent"]


async def test_an_answer_before_the_receipt_ends_the_command_all_the_same(life):
    await life.pump()
    command = await life.send("ON", duration_s=60)
    await life.say(life.response(command))
    await life.say(life.sent(command))
    assert (await life.how(command)).state == "acknowledged"


async def test_a_receipt_that_is_faster_than_the_command_s_own_commit_is_not_lost(life, monkeypatch):
    await life.pump()
    published, may_commit = asyncio.Event(), asyncio.Event()
    publish_batch = Bus.publish_batch

    async def slow(bus, messages, **options):
        await publish_batch(bus, messages, **options)
        published.set()
        await may_commit.wait()

    monkeypatch.setattr(Bus, "publish_batch", slow)
    sending = asyncio.create_task(life.send("ON", duration_s=60))
    await asyncio.wait_for(published.wait(), 60)
    monkeypatch.setattr(Bus, "publish_batch", publish_batch)
    [(subject, _)] = await life.published("OUTBOX")
    receipt = (await life.bus.jetstream.get_last_msg("OUTBOX", subject)).data
    command_id = json.loads(json.loads(receipt)["payload"])["correlation_id"]
    body = json.dumps({"sent_at": life.now_ms()}).encode()
    told = Delivery(f"esp.actuator.sent.god.ESP_A.5.{command_id}", "$JS.ACK.DEVICES.actuator.1.1.1.1.0", body, None)
    saying = asyncio.create_task(life.say(told))
    assert (await asyncio.wait([saying], timeout=0.3))[1], "it waits for the commit"
    may_commit.set()
    await asyncio.wait_for(saying, 60)
    assert (await life.how(await sending)).state == "sent"


async def test_an_idempotency_key_answers_with_the_first_command(life):
    await life.pump()
    first = await life.send("ON", key="rule1:0")
    assert await life.send("ON", key="rule1:0") == first
    assert len(await life.outbox()) == 1
    assert await refusal(life.send("OFF", key="rule1:0")) == (409, 5208)


async def test_a_device_that_is_offline_refuses_or_gets_its_commands_in_order_once_it_is_back(life):
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=False)
    assert await refusal(life.send("ON")) == (409, 5007)
    waiting = [await life.send(name, queue=True, expires_s=60) for name in ("OFF", "ON")]
    brief = await life.send("ON", queue=True, expires_s=20)
    await life.sweep.once()
    early = [payload["correlation_id"] for _, payload in await life.outbox()]
    assert early == [waiting[0].command_id], "OFF does not wait: the device may listen all the same"
    life.wait(30)
    await life.sweep.once()
    assert (await life.how(brief)).state == "expired"
    life.devices["ESP_A"] = device("ESP_A")
    await life.sweep.once()
    sent = [payload["correlation_id"] for _, payload in await life.outbox()]
    assert sent == [*early, *(each.command_id for each in waiting)]
    await life.sweep.once()
    assert len(await life.outbox()) == 3, "once"


async def test_off_is_sent_to_a_device_that_is_offline_and_its_answer_says_that_it_is_not_confirmed(life):
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=False)
    waiting = await life.send("OFF", queue=True, expires_s=60)
    now = await life.send("OFF")
    assert now.state_reason == (
        "the device is offline: OFF is sent all the same, and is confirmed once the device answers"
    )
    sent = [payload["correlation_id"] for _, payload in await life.outbox()]
    assert sent == [waiting.command_id, now.command_id]
    for command in (waiting, now):
        assert (await life.how(command)).state == "queued", "it is sent once more when the device is back"
    life.wait(10)
    await life.sweep.once()
    ended = await life.how(now)
    assert (ended.state, ended.state_reason) == ("expired", "the device did not come online in time")


async def test_off_to_a_device_that_was_just_booting_is_sent_again_once_it_had_time_to_subscribe(life):
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=False)
    off = await life.send("OFF")
    life.devices["ESP_A"] = device("ESP_A")
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    await life.sweep.once()
    life.wait(2)
    await life.sweep.once()
    assert [payload["correlation_id"] for _, payload in await life.outbox()] == [off.command_id, off.command_id]


async def test_a_command_that_waited_for_a_device_is_sent_once_the_device_had_time_to_subscribe(life):
    """Firmware A subscribes after its first heartbeat; what comes in between is lost."""
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=False)
    await life.send("ON", queue=True, expires_s=60)
    life.devices["ESP_A"] = device("ESP_A")
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    await life.sweep.once()
    life.wait(1.9)
    await life.sweep.once()
    assert await life.outbox() == []
    life.wait(0.1)
    await life.sweep.once()
    assert [payload["command"] for _, payload in await life.outbox()] == ["ON"]


async def test_what_waited_for_a_device_does_not_switch_on_another_one_that_is_let_in_under_its_id(life):
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=False)
    before = await life.send("ON", queue=True, expires_s=3600)
    life.wait(60)
    life.devices["ESP_A"] = device("ESP_A", online=False, approved_at=life.now_ms())
    life.wait(60)
    since = await life.send("ON", queue=True, expires_s=3600)
    life.devices["ESP_A"] = device("ESP_A", approved_at=life.now_ms() - 60_000)
    await life.sweep.once()
    assert [payload["correlation_id"] for _, payload in await life.outbox()] == [since.command_id]
    assert ((await life.how(before)).state, (await life.how(since)).state) == ("cancelled", "queued")
    assert (await life.how(before)).state_reason == "the device was approved again after this command"


async def test_a_new_command_does_not_take_along_what_waited_for_another_device_of_that_id(life):
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=False)
    before = await life.send("ON", queue=True, expires_s=3600)
    life.wait(60)
    life.devices["ESP_A"] = device("ESP_A", approved_at=life.now_ms())
    off = await life.send("OFF")
    assert [payload["correlation_id"] for _, payload in await life.outbox()] == [off.command_id]
    assert (await life.how(before)).state == "cancelled"


async def test_a_command_to_a_device_that_came_online_just_now_waits_until_it_has_subscribed(life):
    await life.pump()
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    command = await life.send("ON")
    await life.sweep.once()
    assert await life.outbox() == []
    life.wait(2)
    await life.sweep.once()
    assert [payload["correlation_id"] for _, payload in await life.outbox()] == [command.command_id]


@pytest.mark.parametrize(("answers", "sent"), [(True, 1), (False, 2)])
async def test_off_to_a_device_that_came_online_just_now_is_sent_at_once_and_again_unless_it_answers(
    life, answers, sent
):
    await life.pump()
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    await life.sweep.once()
    off = await life.send("OFF")
    assert [payload["command"] for _, payload in await life.outbox()] == ["OFF"]
    if answers:
        await life.say(life.response(off), life.status(False))
    life.wait(2)
    await life.sweep.once()
    assert [payload["correlation_id"] for _, payload in await life.outbox()] == [off.command_id] * sent


@pytest.mark.parametrize("is_queued", [False, True])
@pytest.mark.parametrize("answers", [True, False])
async def test_what_waits_to_switch_on_never_goes_out_after_an_off_that_came_later(life, is_queued, answers):
    """Whether the device answers the OFF, which is sent to it at once, or it is sent again after the two seconds."""
    await life.pump()
    if is_queued:
        life.devices["ESP_A"] = device("ESP_A", online=False)
        on = await life.send("ON", queue=True, expires_s=60)
        life.devices["ESP_A"] = device("ESP_A")
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    await life.sweep.once()
    if not is_queued:
        on = await life.send("ON")
    life.wait(0.3)
    off = await life.send("OFF")
    if answers:
        await life.say(life.response(off), life.status(False))
    life.wait(2)
    await life.sweep.once()
    assert {payload["command"] for _, payload in await life.outbox()} == {"OFF"}
    cancelled = await life.how(on)
    assert (cancelled.state, cancelled.state_reason) == ("cancelled", "OFF came after it")
    [event, *_] = await life.events("actuator_response")
    assert (event["state"], event["message"]) == ("cancelled", "OFF came after it")


async def test_an_off_that_waits_for_its_device_ends_what_waits_before_it_though_it_expires_first(life):
    await life.pump()
    life.devices["ESP_A"] = device("ESP_A", online=False)
    await life.send("ON", queue=True, expires_s=600)
    await life.send("OFF", queue=True, expires_s=60)
    life.wait(100)
    await life.sweep.once()
    life.devices["ESP_A"] = device("ESP_A")
    await life.sweep.once()
    assert [payload["command"] for _, payload in await life.outbox()] == ["OFF"], "the one that was sent at once"


async def test_a_device_that_was_let_in_a_moment_ago_takes_a_pump_and_a_command(life):
    approved = life.devices.pop("ESP_A")
    life.devices["ESP_A"] = approved.model_copy(update={"state": "pending"})
    asyncio.get_running_loop().call_later(0.05, life.devices.pop, "ESP_A")
    asyncio.get_running_loop().call_later(0.1, life.devices.__setitem__, "ESP_A", approved)
    await life.pump()
    del life.devices["ESP_A"]
    asyncio.get_running_loop().call_later(0.05, life.devices.__setitem__, "ESP_A", approved)
    assert (await life.send("ON")).state == "queued"


async def test_commands_that_must_not_be_sent_are_refused(life):
    assert await refusal(life.send("ON", esp_id="ESP_NOBODY")) == (404, 5001)
    assert await refusal(life.send("ON")) == (404, 5202)
    await life.pump(max_value=0.5, max_runtime_s=100)
    await life.pump(gpio=6, interlocks=[5])
    assert await refusal(life.send("PWM", value=0.6)) == (422, 5207)
    assert await refusal(life.send("ON", duration_s=101)) == (422, 5207)
    first = await life.send("ON")
    assert first.duration_s == 100, "never longer than the longest runtime"
    assert await refusal(life.send("ON", gpio=6)) == (409, 5412)
    for _ in range(59):
        await life.send("ON")
    assert await refusal(life.send("ON")) == (429, 5404)
    assert (await life.send("OFF")).state == "queued", "switching off is never limited"
    assert len(await life.outbox()) == 61


async def test_a_command_that_waited_for_longer_than_its_caller_is_not_sent(life):
    """Another transaction holds the device; the caller had 5 s."""
    await life.pump()
    deadline_ms = life.now_ms() + 5_000
    caller = ADA.model_copy(update={"deadline_ms": deadline_ms})
    on = SendCommand(esp_id="ESP_A", gpio=5, request=CommandRequest(command="ON"), idempotency_key="k")
    off = SendCommand(esp_id="ESP_A", gpio=5, request=CommandRequest(command="OFF"))
    async with life.pool.connection() as other, asyncio.timeout(60):
        await actuators.lock_device(other, "ESP_A")
        sending = asyncio.create_task(life.commands.send(on, caller))
        await another_waits_for_a_lock(other)
        life.wait(5)
    assert await refusal(sending) == (504, 5403)
    assert await life.outbox() == []
    assert (await life.commands.send(off, caller)).state == "queued"
    assert [payload["command"] for _, payload in await life.outbox()] == ["OFF"]
    again = await life.commands.send(on, ADA.model_copy(update={"deadline_ms": life.now_ms() + 5_000}))
    assert again.state == "queued"  # the key of a refused command is free
    message = (await life.published("OUTBOX"))[-1][1]
    assert message["expires_at"] == again.expires_at == life.now_ms() + 5_000


def intent(life, command_id: str, esp_id: str = "ESP_A", **fields) -> Delivery:
    """The message of generation B in place of an answer if it did not even begin."""
    body = {"kaiser_id": "god", "esp_id": esp_id, "ts": life.now_ms(), "received_at": life.now_ms()}
    body |= {"flow": "command", "outcome": "rejected", "correlation_id": command_id, "code": "QUEUE_FULL"}
    payload = json.dumps(body | {"reason": "queue is full"} | fields).encode()
    return Delivery(f"esp.system.intent.god.{esp_id}", "$JS.ACK.DEVICES.actuator.1.9.1.1.0", payload, None)


@pytest.mark.parametrize("outcome", ["rejected", "failed", "expired"])
async def test_a_command_that_its_device_rejects_by_an_intent_has_failed(life, outcome):
    await life.pump()
    command = await life.send("ON")
    await life.say(life.sent(command))
    assert await life.say(intent(life, command.command_id, outcome=outcome)) == []
    after = await life.how(command)
    assert (after.state, after.message) == ("failed", "QUEUE_FULL: queue is full")


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": "accepted"},
        {"outcome": "rejected", "esp_id": "ESP_B"},
        {"outcome": "rejected", "command_id": "unknown"},
        {"outcome": "failed", "lifecycle": True},
        {"outcome": "failed", "replayed": True},
    ],
)
async def test_an_intent_about_something_else_ends_no_command(life, fields):
    await life.pump()
    command = await life.send("ON")
    await life.say(life.sent(command))
    named = {"command_id": command.command_id, **fields}
    assert await life.say(intent(life, named.pop("command_id"), **named)) == []
    assert (await life.how(command)).state == "sent"


async def test_an_idempotency_key_with_another_body_is_refused(life):
    await life.pump()
    await life.send("ON", key="k1", duration_s=5)
    assert await refusal(life.send("ON", key="k1", duration_s=500)) == (409, 5208)
