"""Messages that were rejected and are replayed change nothing of now."""

from actuator_world import ADA, TOPIC, refusal
from kaiser_common.contract.schemas.api.actuators import (
    ActuatorsQuery,
    ClearEmergency,
    EmergenciesQuery,
    EmergencyStop,
)


async def test_an_alert_that_was_rejected_and_is_replayed_stops_nothing_now(life):
    await life.pump()
    await life.say(life.message("alert", alert_type="emergency_stop", message="float switch", replayed=True))
    assert (await life.emergency.list_stops(EmergenciesQuery(), ADA)).items == []
    assert (await life.send("ON")).state == "queued"
    [event] = await life.events("actuator_alert")
    assert (event["alert_type"], event["replayed"]) == ("emergency_stop", True)


async def test_a_status_that_was_rejected_and_is_replayed_does_not_say_that_a_pump_is_off_now(life):
    await life.pump()
    await life.pump(gpio=6, interlocks=[5])
    on = await life.send("ON")
    await life.say(life.sent(on), life.response(on), life.status(True))
    life.wait(1)
    await life.say(life.status(False, replayed=True))
    [pump, _] = (await life.registry.list_actuators(ActuatorsQuery(), ADA)).items
    assert pump.state is True
    assert await refusal(life.send("ON", gpio=6)) == (409, 5412)
    frames = [(event["state"], event.get("replayed")) for event in await life.events("actuator_status")]
    assert frames == [(True, None), (False, True)]
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    urgent = [(lane, payload["command"]) for lane, payload in await life.outbox() if lane.startswith("urgent")]
    assert (f"urgent {TOPIC}5/command", "OFF") in urgent


async def test_a_replayed_answer_without_an_id_ends_no_command_of_now(life):
    await life.pump()
    command = await life.send("ON")
    await life.say(life.sent(command), life.message("response", command="ON", success=True, replayed=True))
    assert (await life.how(command)).state == "sent"
    await life.say(life.response(command, replayed=True))
    assert (await life.how(command)).state == "acknowledged"


async def test_a_replayed_message_confirms_no_clear(life):
    await life.pump()
    await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="leak"), ADA)
    await life.emergency.clear(ClearEmergency(esp_id="ESP_A"), ADA)
    life.wait(6)
    await life.look()
    assert (await life.emergencies())[-1] == "clear_emergency"
    life.wait(1)
    await life.say(
        life.status(False, emergency="normal", replayed=True),
        life.answer("response", status="emergency_cleared", replayed=True),
    )
    assert await refusal(life.send("ON")) == (423, 5411)
    await life.say(life.answer("response", status="emergency_cleared"))
    assert (await life.send("ON")).state == "queued"
