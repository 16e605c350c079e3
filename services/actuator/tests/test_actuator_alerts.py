"""Alerts of devices: which are stops, and which are echoes of one."""

import pytest
from actuator_world import ADA, TOPIC, refusal
from kaiser_common.contract.schemas.api.actuators import (
    ActuatorsQuery,
    ClearEmergency,
    EmergenciesQuery,
    EmergencyStop,
)


@pytest.mark.parametrize("alert_type", ["emergency_stop", "safety_violation", "hardware_error"])
async def test_a_critical_alert_stops_its_actuator_until_a_person_clears_it(life, alert_type):
    await life.pump()
    command = await life.send("ON")
    alert = life.message("alert", alert_type=alert_type, message="motor stuck")
    await life.say(alert)
    assert (await life.how(command)).state == "cancelled"
    assert await refusal(life.send("ON")) == (423, 5411)
    [event] = await life.events("actuator_alert")
    assert (event["alert_type"], event["severity"], event["topic"]) == (alert_type, "critical", f"{TOPIC}5/alert")
    life.wait(5)
    await life.clear("ESP_A", 5)
    await life.say(alert)
    assert (await life.send("ON")).state == "queued", "the same alert, come again, stops nothing anew"


async def test_a_new_alert_after_a_clear_stops_again_though_its_clock_is_behind(life):
    await life.pump()
    await life.say(life.message("alert", alert_type="hardware_error"))
    life.wait(5)
    await life.clear_at_once("ESP_A", 5)
    five_seconds_ago = life.now_ms() - 5_000 - 1
    await life.say(life.message("alert", alert_type="hardware_error", received_at=five_seconds_ago))
    assert await refusal(life.send("ON")) == (423, 5411)


async def test_a_device_that_stopped_by_itself_is_sent_a_clear_once_it_takes_one(life):
    await life.pump()
    await life.say(life.message("alert", alert_type="emergency_stop", message="button"))
    life.wait(1)
    await life.clear_at_once("ESP_A", 5)
    assert await life.emergencies() == [], "the device would refuse it"
    life.wait(4)
    await life.look()
    assert await life.emergencies() == ["clear_emergency"]
    await life.say(life.answer("response", status="clear_failed"))
    life.wait(5)
    await life.look()
    assert await life.emergencies() == ["clear_emergency", "clear_emergency"]
    await life.say(life.answer("response", status="emergency_cleared"))
    life.wait(5)
    await life.look()
    assert len(await life.emergencies()) == 2, "it has confirmed"


async def test_a_device_that_reports_an_emergency_can_be_cleared_though_its_alert_was_lost(life):
    await life.pump()
    await life.say(life.status(False, emergency="normal"))
    assert await refusal(life.clear_at_once("ESP_A", 5)) == (404, 5415)
    await life.say(life.status(False, emergency="active"))
    await life.clear_at_once("ESP_A", 5)
    life.wait(5)
    await life.look()
    assert await life.emergencies() == ["clear_emergency"]
    assert (await life.emergency.list_stops(EmergenciesQuery(), ADA)).items == []
    async with life.pool.connection() as connection:
        noted = await connection.execute("SELECT actor FROM actuator.history WHERE kind = 'emergency'")
        assert await noted.fetchall() == [("ada",)]


async def test_an_alert_of_the_whole_device_stops_all_its_actuators(life):
    await life.pump()
    await life.pump(gpio=6)
    await life.say(life.message("alert", 255, alert_type="emergency_stop"))
    assert await refusal(life.send("ON")) == (423, 5411)
    assert await refusal(life.send("ON", gpio=6)) == (423, 5411)
    assert len((await life.registry.list_actuators(ActuatorsQuery(esp_id="ESP_A"), ADA)).items) == 2


async def test_the_echo_of_our_own_stop_raises_no_second_one(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    echo = life.message("alert", alert_type="emergency_stop", message="stopped")
    await life.say(echo)
    assert len((await life.emergency.list_stops(EmergenciesQuery(), ADA)).items) == 1
    life.wait(5)
    await life.clear("ESP_A")
    await life.say(echo)
    assert (await life.send("ON")).state == "queued"


@pytest.mark.parametrize(("gpio", "in_force"), [(5, ["ESP_A.5"]), (255, ["ESP_A"])])
@pytest.mark.parametrize("after_s", [1, 6])
async def test_an_alert_during_a_clear_is_a_stop_that_the_clear_does_not_end(life, gpio, after_s, in_force):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(after_s)
    await life.look()
    await life.say(life.message("alert", gpio, alert_type="hardware_error", message="dry"))
    life.wait(6)
    await life.look()
    await life.say(life.answer("response", status="emergency_cleared"))
    assert sorted(life.stops) == in_force
    assert await refusal(life.send("ON")) == (423, 5411)
    assert life.stops[in_force[0]].raised_by == "device ESP_A"


async def test_alerts_of_an_actuator_that_is_locked_already_lock_it_no_second_time_while_its_device_is_cleared(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    await life.say(life.message("alert", alert_type="hardware_error", message="dry"))
    first = life.stops["ESP_A.5"].emergency_id
    for _ in range(3):
        life.wait(1)
        await life.say(life.message("alert", alert_type="hardware_error", message="dry"))
    assert life.stops["ESP_A.5"].emergency_id == first
    assert await refusal(life.send("ON")) == (423, 5411)


@pytest.mark.parametrize("presses", [0, 1])
async def test_a_press_at_the_device_while_its_stop_is_cleared_is_told_from_the_answers_to_the_stop(life, presses):
    """A stop goes to a device twice, and the device alerts each time; all of these alerts read the same."""
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    for _ in range(2 + presses):
        await life.say(life.message("alert", alert_type="emergency_stop", message="Actuator stopped"))
    life.wait(6)
    await life.look()
    await life.say(life.answer("response", status="emergency_cleared"))
    assert sorted(life.stops) == ["ESP_A.5"] * presses


async def test_a_warning_alert_is_told_and_stops_nothing(life):
    await life.pump()
    await life.say(life.message("alert", alert_type="runtime_protection"))
    assert [event["severity"] for event in await life.events("actuator_alert")] == ["warning"]
    assert (await life.send("ON")).state == "queued"


async def test_alerts_that_repeat_a_stop_or_refuse_a_clear_make_no_stop(life):
    await life.pump()
    text = "Actuator in emergency stop state. Clear emergency first."
    await life.say(
        life.message("alert", alert_type="emergency_stop", message=text),
        life.message("alert", 255, alert_type="verification_failed", message="too early"),
    )
    assert (await life.emergency.list_stops(EmergenciesQuery(), ADA)).items == []
