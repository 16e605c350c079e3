"""Durations, longest run times and pumps that are switched on by hand end with an OFF."""

import pytest
from actuator_world import ADA, TOPIC, device, refusal
from kaiser_common.bus.connection import BusUnavailable
from kaiser_common.bus.declare import apply
from kaiser_common.contract.schemas.api.actuators import (
    EmergencyStop,
)
from kaiser_common.contract.subjects import EMERGENCIES_BUCKET
from nats.errors import Error as NatsError
from structlog.testing import capture_logs


@pytest.mark.parametrize(("answers", "sent"), [(True, 1), (False, 2)])
async def test_off_at_the_end_of_a_duration_is_sent_again_to_a_device_that_had_not_subscribed(life, answers, sent):
    """The duration ended while the device was away, and a command waits for it."""
    await life.pump()
    command = await life.send("ON", duration_s=60)
    await life.say(life.sent(command), life.response(command), life.status(True))
    life.devices["ESP_A"] = device("ESP_A", online=False)
    waits = await life.send("ON", queue=True, expires_s=600)
    life.wait(100)
    await life.sweep.once()
    life.devices["ESP_A"] = device("ESP_A")
    life.sweep.on_device("ESP_A", life.devices["ESP_A"])
    life.wait(1)
    await life.sweep.once()
    given = (await life.outbox())[1:]
    assert [payload["command"] for _, payload in given] == ["OFF"]
    if answers:
        body = {"command": "OFF", "success": True, "correlation_id": given[0][1]["correlation_id"]}
        await life.say(life.message("response", **body), life.status(False))
    life.wait(2)
    await life.sweep.once()
    ids = [payload["correlation_id"] for _, payload in (await life.outbox())[1:]]
    assert ids == [given[0][1]["correlation_id"]] * sent
    assert (await life.how(waits)).state == "cancelled"


async def test_off_is_sent_and_an_alert_raised_when_a_duration_is_over_and_no_off_was_reported(life):
    await life.pump()
    command = await life.send("ON", duration_s=60)
    await life.say(life.sent(command), life.response(command), life.status(True))
    life.wait(64)
    await life.sweep.once()
    assert len(await life.outbox()) == 1
    life.wait(1)
    await life.sweep.once()
    assert [payload["command"] for _, payload in await life.outbox()] == ["ON", "OFF"]
    [alert] = await life.events("actuator_alert")
    assert (alert["alert_type"], alert["severity"], alert["gpio"]) == ("runtime_protection", "critical", 5)
    life.wait(1)
    await life.say(life.status(False))
    life.wait(600)
    await life.sweep.once()
    assert len(await life.outbox()) == 2


async def test_a_reported_off_needs_no_second_one(life):
    await life.pump()
    command = await life.send("ON", duration_s=60)
    await life.say(life.sent(command), life.response(command), life.status(True))
    life.wait(60)
    await life.say(life.status(False))
    life.wait(60)
    await life.sweep.once()
    assert len(await life.outbox()) == 1


async def test_a_pump_switched_on_by_hand_is_switched_off_after_its_longest_runtime(life):
    await life.pump(max_runtime_s=5)
    await life.say(life.status(True))
    life.wait(3)
    await life.say(life.status(True))
    life.wait(7)
    await life.sweep.once()
    assert [payload["command"] for _, payload in await life.outbox()] == ["OFF"]
    [alert] = await life.events("actuator_alert")
    assert (alert["alert_type"], alert["severity"], alert["gpio"]) == ("runtime_protection", "critical", 5)


async def test_off_is_due_at_once_when_a_device_comes_back_however_long_it_was_away(life):
    await life.pump(max_runtime_s=5)
    await life.say(life.status(True))
    life.devices["ESP_A"] = device("ESP_A", online=False)
    for _ in range(9):
        life.wait(11)
        await life.sweep.once()
    assert await life.outbox() == []
    life.devices["ESP_A"] = device("ESP_A")
    life.sweep.on_device("ESP_A", device("ESP_A"))
    await life.sweep.once()
    assert [payload["command"] for _, payload in await life.outbox()] == ["OFF"]


async def test_off_reaches_whatever_reports_inactive_and_unregistered(life):
    await life.say(life.status(True, gpio=9))
    assert (await life.send("OFF", gpio=9)).state == "queued"
    await life.pump(active=False)
    assert (await life.send("OFF")).state == "queued"
    assert await refusal(life.send("ON")) == (409, 5413)


async def test_off_at_the_end_of_a_duration_waits_for_no_press_that_the_bucket_does_not_take(life):
    for esp_id in ("ESP_A", "ESP_B"):
        await life.pump(esp_id=esp_id)
    command = await life.send("ON", duration_s=60)
    await life.say(life.sent(command), life.response(command), life.status(True))
    await life.bus.jetstream.delete_key_value(EMERGENCIES_BUCKET.name)
    try:
        with pytest.raises((BusUnavailable, NatsError)):
            await life.emergency.stop(EmergencyStop(esp_id="ESP_B", gpio=5, reason="a hand in the pump"), ADA)
        life.wait(65)
        with capture_logs() as logs:
            await life.sweep.once()
    finally:
        await apply(life.bus)
    to_pump = [payload["command"] for lane, payload in await life.outbox() if lane.endswith(f"{TOPIC}5/command")]
    assert to_pump == ["ON", "OFF"]
    postponed = [each["step"] for each in logs if each["event"] == "sweep_postponed"]
    assert postponed == ["presses", "comparison with the bucket"]
