"""The messages of a stop: which, in which order, and when they are sent again."""

import asyncio

import pytest
from actuator_world import (
    ADA,
    TOPIC,
    device,
    nats_refuses,
    pressed,
    refusal,
)
from kaiser_common.bus.bucket import BucketWriter
from kaiser_common.bus.connection import BusUnavailable
from kaiser_common.contract.schemas.api.actuators import (
    ActuatorKey,
    ClearEmergency,
    EmergencyStop,
    HistoryQuery,
)
from nats.errors import Error as NatsError
from waiting import until as eventually


async def test_a_stop_goes_out_first_cancels_what_is_open_and_locks_until_it_is_cleared(life):
    await life.pump()
    await life.pump(gpio=6)
    command = await life.send("ON")
    other = await life.send("ON", gpio=6)
    answer = await life.emergency.stop(EmergencyStop(esp_id="ESP_A", gpio=5, reason="leak"), ADA)
    assert answer.cancelled == 1
    assert [(each.esp_id, each.gpio, each.raised_by) for each in answer.items] == [("ESP_A", 5, "ada")]
    lanes = [(lane, payload["command"]) for lane, payload in await life.outbox()]
    assert lanes == [
        (f"out {TOPIC}6/command", "ON"),
        (f"urgent {TOPIC}5/command", "OFF"),
        (f"out {TOPIC}5/command", "OFF"),
    ], "the stopped one's command is gone, OFF comes on the fast lane and behind what ingest may hold"
    assert (await life.how(command)).state == "cancelled"
    assert (await life.how(other)).state == "queued"
    assert await refusal(life.send("ON")) == (423, 5411)
    assert await refusal(life.send("PWM", value=0.1)) == (423, 5411)
    assert (await life.send("OFF")).state == "queued"
    assert (await life.send("ON", gpio=6)).state == "queued"
    pump = await life.registry.read(ActuatorKey(esp_id="ESP_A", gpio=5), ADA)
    assert (pump.state, pump.emergency, pump.emergency_reason) == (None, "active", "leak"), "unknown until it reports"
    life.wait(5)
    cleared = await life.clear("ESP_A", 5, reason="dry again")
    assert cleared.items == []
    assert (await life.send("ON")).state == "queued"
    history = (await life.registry.history(HistoryQuery(esp_id="ESP_A", gpio=5), ADA)).items
    assert [(each.message, each.actor) for each in history if each.kind == "emergency"] == [
        ("cleared: dry again", "ada"),
        ("raised: leak", "ada"),
    ]
    assert [event["event"] for event in await life.events("system_event")] == ["emergency_stop", "emergency_cleared"]


async def test_a_stop_of_everything_goes_to_all_by_broadcast_and_a_narrower_one_stays_behind_it(life):
    await life.pump()
    await life.pump(esp_id="ESP_B")
    await life.emergency.stop(EmergencyStop(esp_id="ESP_B", reason="smoke"), ADA)
    life.wait(1)
    answer = await life.emergency.stop(EmergencyStop(reason="fire"), ADA)
    assert len(answer.items) == 2
    broadcast = {"command": "emergency_stop", "reason": "fire", "issued_by": "ada"}
    assert ("urgent kaiser/broadcast/emergency", broadcast) in await life.outbox()
    own = ("urgent kaiser/god/esp/ESP_B/actuator/emergency", "emergency_stop")
    assert own in [(lane, payload["command"]) for lane, payload in await life.outbox()]
    assert await refusal(life.send("ON")) == (423, 5411)
    assert await refusal(life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)) == (409, 5414)
    await life.clear()
    assert (await life.emergencies())[-1] == "clear_emergency"
    assert (await life.emergencies("ESP_B"))[-1] == "emergency_stop"
    assert (await life.send("ON")).state == "queued"
    assert await refusal(life.send("ON", esp_id="ESP_B")) == (423, 5411)
    assert await refusal(life.emergency.clear(ClearEmergency(all=True), ADA)) == (404, 5415)


async def test_a_stop_of_everything_is_the_broadcast_each_own_emergency_and_off_to_what_is_on(life):
    life.devices["ESP_B"] = device("ESP_B").model_copy(update={"kaiser_id": "north", "emergency_token": "s3cret"})
    for gpio in (5, 6, 7):
        await life.pump(gpio)
    await life.say(life.status(True), life.status(False, 6), life.status(True, 7), life.status(False, 7))
    await life.emergency.stop(EmergencyStop(esp_id="ESP_B", reason="smoke"), ADA)
    life.wait(1)
    before = len(await life.outbox())
    [everything, _] = (await life.emergency.stop(EmergencyStop(reason="fire"), ADA)).items

    found = (await life.outbox())[before:]
    urgent = [(lane.removeprefix("urgent "), payload) for lane, payload in found if lane.startswith("urgent ")]
    behind = [(lane.removeprefix("out "), payload) for lane, payload in found if lane.startswith("out ")]
    assert urgent[0] == (
        "kaiser/broadcast/emergency",
        {"command": "emergency_stop", "reason": "fire", "issued_by": "ada"},
    ), "one message reaches all before the devices' own"
    own = {
        "kaiser/god/esp/ESP_A/actuator/emergency": "ESP_A",
        "kaiser/north/esp/ESP_B/actuator/emergency": "s3cret",
    }
    for each in (urgent[1:3], behind[1:]):
        assert {(topic, payload["command"], payload["auth_token"], payload["reason"]) for topic, payload in each} == {
            (topic, "emergency_stop", token, "fire") for topic, token in own.items()
        }
    assert [(topic, payload["command"], payload["value"]) for topic, payload in urgent[3:]] == [
        (f"{TOPIC}5/command", "OFF", 0.0)
    ], "to what reports on, alone"
    assert urgent[3][1]["correlation_id"] == f"stop-{everything.emergency_id}"[:40]
    assert behind[0] == urgent[0], "and all but OFF again behind what ingest may hold"
    assert len(found) == 7


async def test_a_stop_of_everything_is_packed_and_off_is_sent_once_to_each_actuator_that_is_on(life):
    for gpio in (5, 6):
        await life.pump(gpio)
    await life.say(life.status(True), life.status(True, 6))
    await life.emergency.stop(EmergencyStop(reason="fire"), ADA)
    found = [(subject, body["topic"].rpartition("/esp/")[2]) for subject, body in await life.published("OUTBOX")]
    own = [f"{esp_id}/actuator/emergency" for esp_id in ("ESP_A", "ESP_B")]
    broadcast = "kaiser/broadcast/emergency"
    assert found == [
        ("mqtt.urgent.broadcast.all", broadcast),
        *(("mqtt.urgent.god.=", topic) for topic in own),
        *(("mqtt.urgent.god.=", f"ESP_A/actuator/{gpio}/command") for gpio in (5, 6)),
        ("mqtt.out.broadcast.all.stop", broadcast),
        *(("mqtt.out.god.=.stop", topic) for topic in own),
    ]
    assert (await life.bus.jetstream.stream_info("OUTBOX")).state.messages == 5


async def test_an_actuator_that_is_on_although_it_is_stopped_is_told_again(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    before = len(await life.outbox())
    life.wait(1)
    await life.say(life.status(True))
    assert [(lane, payload["command"]) for lane, payload in (await life.outbox())[before:]] == [
        (f"urgent {TOPIC}5/command", "OFF")
    ]
    [alert] = await life.events("actuator_alert")
    assert (alert["alert_type"], alert["severity"]) == ("safety_violation", "critical")


async def test_a_stop_switches_off_what_a_command_switched_on_a_moment_ago(life):
    await life.pump()
    command = await life.send("ON")
    await life.say(life.sent(command))
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)

    async def is_switched_off() -> bool:
        lanes = [(lane, payload["command"]) for lane, payload in await life.outbox()]
        return (f"urgent {TOPIC}5/command", "OFF") in lanes

    await eventually(is_switched_off, "OFF overtakes the queue")


@pytest.mark.parametrize("by", ["a person", "the device"])
async def test_a_stop_is_sent_behind_all_that_waits_though_nats_refused_that_at_first(life, monkeypatch, by):
    await life.pump()
    alert = life.message("alert", 255, alert_type="hardware_error", message="flooded")

    async def stop() -> None:
        if by == "a person":
            await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
            return
        with pytest.raises(BusUnavailable):
            await life.say(alert)

    with monkeypatch.context() as broken:
        nats_refuses(life, broken, lambda batch: any(subject.startswith("mqtt.out.") for subject, _ in batch))
        await stop()
    if by == "the device":
        await life.say(alert)
    await life.sweep.once()
    behind = [payload["command"] for lane, payload in await life.outbox() if lane == f"out {TOPIC}emergency"]
    assert behind == ["emergency_stop"]


async def test_the_newer_of_two_stops_is_sent_behind_all_that_waits_though_nats_refused_the_older_last(
    life, monkeypatch
):
    publish, older_waits, newer_failed = life.bus.publish_batch, asyncio.Event(), asyncio.Event()

    async def refuse(messages, **options):
        behind = [each.msg_id for each in messages if each.subject.startswith("mqtt.out.")]
        if not behind:
            await publish(messages, **options)
            return
        if "-e1-" in behind[0]:
            older_waits.set()
            await asyncio.wait_for(newer_failed.wait(), 60)
        raise BusUnavailable("no acknowledgement")

    with monkeypatch.context() as broken:
        broken.setattr(life.bus, "publish_batch", refuse)
        older = await life.stops.raise_(pressed(life, "e1"))
        following = asyncio.create_task(life.stops.follow(older))
        await asyncio.wait_for(older_waits.wait(), 60)
        newer = await life.stops.raise_(pressed(life, "e2"))
        with pytest.raises(BusUnavailable):
            await life.stops.follow(newer)
        newer_failed.set()
        with pytest.raises(BusUnavailable):
            await following
    await life.stops.raise_again()
    behind = [payload["correlation_id"] for lane, payload in await life.outbox() if lane.startswith("out ")]
    assert [each.partition("-")[0] for each in behind] == ["e2"]


async def test_a_press_that_failed_is_stored_in_the_end_though_an_older_stop_could_not_be_sent_again(life, monkeypatch):
    older = await life.stops.raise_(pressed(life, "e1"))

    async def refuse(*_):
        raise NatsError

    with monkeypatch.context() as broken:
        nats_refuses(life, broken, lambda batch: any(subject.startswith("mqtt.") for subject, _ in batch))
        broken.setattr(BucketWriter, "put", refuse)
        for failing in (life.stops.raise_(pressed(life, "e2")), life.stops.tell_kept(older)):
            with pytest.raises(BusUnavailable):
                await failing
    await life.stops.raise_again()
    assert life.stops["ESP_A"].emergency_id == "e2"


@pytest.mark.parametrize("refused", ["the first", "another one in between"])
async def test_a_stop_that_is_sent_again_has_its_copy_two_seconds_later_though_nats_refused_it(
    life, monkeypatch, refused
):
    await life.stops.raise_(pressed(life, "e1"))
    if refused != "the first":
        await life.stops.send_again("ESP_A", "configured", twice=True)
        life.wait(1)
    before = len(await life.emergencies())
    with monkeypatch.context() as broken:
        nats_refuses(life, broken, lambda batch: any(subject.startswith("mqtt.") for subject, _ in batch))
        with pytest.raises(BusUnavailable):
            await life.stops.send_again("ESP_A", "online", twice=refused == "the first")
        life.wait(3 if refused == "the first" else 0.1)
    for seconds, sent in ((0, 1), (1.9, 1), (0.1, 2), (2, 2)):
        life.wait(seconds)
        await life.stops.send_once_more()
        assert len(await life.emergencies()) - before == sent, f"{seconds} s later"


async def test_a_device_that_refuses_a_stop_has_each_actuator_switched_off_and_is_told_of(life):
    await life.pump()
    await life.pump(gpio=6)
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    before = len(await life.outbox())
    await life.say(life.answer("error", error="unauthorized", message="Invalid auth_token"))
    assert sorted((lane, payload["command"]) for lane, payload in (await life.outbox())[before:]) == [
        (f"urgent {TOPIC}5/command", "OFF"),
        (f"urgent {TOPIC}6/command", "OFF"),
    ]
    event = (await life.events("system_event"))[-1]
    assert (event["event"], event["severity"], event["esp_id"]) == ("emergency_refused", "critical", "ESP_A")
    assert await refusal(life.send("ON")) == (423, 5411)


async def test_a_stop_switches_off_what_reports_on_and_reaches_a_device_in_no_registry(life):
    await life.pump()
    await life.say(life.status(True))
    life.devices.clear()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    lanes = [(lane, payload["command"]) for lane, payload in await life.outbox()]
    assert (f"urgent {TOPIC}emergency", "emergency_stop") in lanes
    assert lanes.count((f"urgent {TOPIC}5/command", "OFF")) == 1


async def test_an_actuator_whose_stop_nobody_heard_is_unknown_and_blocks_interlocks(life):
    await life.pump(25)
    await life.pump(26, interlocks=[25])
    await life.say(life.status(True, 25))
    life.sweep.on_device("ESP_A", device("ESP_A"))
    await life.sweep.once()
    life.sweep.on_device("ESP_A", device("ESP_A", online=False))
    await life.sweep.once()
    assert (await life.registry.read(ActuatorKey(esp_id="ESP_A", gpio=25), ADA)).state is None
    assert await refusal(life.send("ON", gpio=26)) == (409, 5412)
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)  # while it is away
    life.sweep.on_device("ESP_A", device("ESP_A", boot=1))
    await life.sweep.once()
    await life.clear("ESP_A")
    assert (await life.registry.read(ActuatorKey(esp_id="ESP_A", gpio=25), ADA)).emergency == "normal"
    assert await refusal(life.send("ON", gpio=26)) == (409, 5412), "it is back, and has not reported 25 yet"
    life.wait(1)
    await life.say(life.status(False, 25))
    assert (await life.send("ON", gpio=26)).state == "queued"
