"""Lists of actuators, commands and stops, their histories and pages."""

import pytest
from actuator_world import ADA, refusal
from kaiser_common.bus.connection import BusUnavailable
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.schemas.api.actuators import (
    ActuatorKey,
    ActuatorsQuery,
    EmergenciesQuery,
    EmergencyStop,
    HistoryQuery,
)
from kaiser_common.contract.schemas.api.devices import DeviceId


async def test_what_an_unknown_actuator_says_is_kept_and_told_once(life):
    for seconds in range(3):
        life.wait(seconds)
        await life.say(life.status(True, gpio=9), life.message("response", 9, command="ON", success=True))
    events = [event for event in await life.events("system_event") if event["event"] == "actuator_unknown"]
    assert len(events) == 1
    found = await life.registry.read(ActuatorKey(esp_id="ESP_A", gpio=9), ADA)
    assert (found.registered, found.actuator_type, found.state) == (False, "pump", True)
    history = (await life.registry.history(HistoryQuery(esp_id="ESP_A", gpio=9), ADA)).items
    assert len(history) == 6
    assert await refusal(life.send("ON", gpio=9)) == (404, 5202)
    await life.pump(gpio=9)
    assert (await life.send("ON", gpio=9)).state == "queued"


async def test_a_batch_that_failed_at_its_commit_tells_each_once_when_it_comes_again(life, monkeypatch):
    await life.pump()
    command = await life.send("ON")
    batch = [life.sent(command), life.response(command), life.status(True), life.message("alert", alert_type="fault")]
    batch[3] = life.message("alert", alert_type="runtime_protection")
    publish = life.bus.publish_batch

    async def refuse_after(messages, **options):
        await publish(messages, **options)
        if messages and messages[0].subject.startswith("event."):
            raise BusUnavailable("no acknowledgement")

    with monkeypatch.context() as broken:
        broken.setattr(life.bus, "publish_batch", refuse_after)
        with pytest.raises(BusUnavailable):
            await life.say(*batch)
    assert (await life.how(command)).state == "queued", "nothing was committed"
    await life.say(*batch)
    await life.say(*batch)
    assert (await life.how(command)).state == "acknowledged"
    assert len(await life.events("actuator_status")) == 1
    assert len(await life.events("actuator_alert")) == 1
    assert [event["state"] for event in await life.events("actuator_response") if "state" in event] == ["acknowledged"]


async def test_messages_that_cannot_be_read_are_put_aside_and_the_rest_is_noted(life):
    await life.pump()
    broken = Delivery("esp.actuator.status.god.ESP_A.5", "$JS.ACK.DEVICES.actuator.1.77.1.1.0", b'{"esp_id": 1}', None)
    strange = Delivery("esp.actuator.dance.god.ESP_A.5", "$JS.ACK.DEVICES.actuator.1.78.1.1.0", b"{}", None)
    assert await life.say(broken, life.status(True), strange) == [broken, strange]
    assert (await life.registry.read(ActuatorKey(esp_id="ESP_A", gpio=5), ADA)).state is True


async def test_history_comes_in_pages_newest_first(life):
    await life.pump()
    for number in range(7):
        life.wait(1)
        await life.say(life.status(number % 2 == 0))
    first = await life.registry.history(HistoryQuery(esp_id="ESP_A", gpio=5, limit=4), ADA)
    rest = await life.registry.history(HistoryQuery(esp_id="ESP_A", gpio=5, limit=4, cursor=first.next_cursor), ADA)
    times = [item.ts for item in (*first.items, *rest.items)]
    assert times == sorted(times, reverse=True)
    assert len(times) == 7
    assert rest.next_cursor is None


async def test_an_actuator_can_be_changed_and_removed_and_is_part_of_the_configuration_push(life):
    await life.pump(name="Pump 1", critical=True, max_runtime_s=600)
    config = await life.registry.config_items(DeviceId(esp_id="ESP_A"), ADA)
    [item] = config.actuators
    assert (item.gpio, item.actuator_type, item.actuator_name, item.critical) == (5, "pump", "Pump 1", True)
    assert item.max_runtime_ms == 600_000, "the device switches off by itself, also when it hears nothing"
    command = await life.send("ON")
    key = ActuatorKey(esp_id="ESP_A", gpio=5)
    assert await refusal(life.registry.delete(key, ADA)) == (409, 5414)
    await life.say(life.response(command))
    await life.registry.delete(key, ADA)
    assert await refusal(life.registry.read(key, ADA)) == (404, 5202)
    assert await refusal(life.registry.delete(key, ADA)) == (404, 5202)
    assert (await life.how(command)).state == "acknowledged", "what happened stays known"


async def test_an_answer_has_the_stops_it_is_about_and_how_many_there_are(life):
    for number in range(120):
        await life.emergency.stop(EmergencyStop(esp_id=f"ESP_B{number}", reason="leak"), ADA)
    answer = await life.emergency.stop(EmergencyStop(esp_id="ESP_A", reason="hand in pump"), ADA)
    assert (len(answer.items), answer.total) == (100, 121)
    assert [stop.reason for stop in answer.items if stop.esp_id == "ESP_A"] == ["hand in pump"]
    first = await life.emergency.list_stops(EmergenciesQuery(limit=100), ADA)
    second = await life.emergency.list_stops(EmergenciesQuery(limit=100, cursor=first.next_cursor), ADA)
    assert (first.total, len(first.items), len(second.items), second.next_cursor) == (121, 100, 21, None)
    assert await refusal(life.emergency.list_stops(EmergenciesQuery(cursor="x"), ADA)) == (422, 5207)


async def test_on_and_off_within_one_second_of_the_devices_clock_are_both_in_the_history(life):
    await life.pump()
    await life.say(life.status(True), life.status(False), life.status(True))
    history = (await life.registry.history(HistoryQuery(esp_id="ESP_A", gpio=5), ADA)).items
    assert [item.state for item in history if item.kind == "status"] == [True, False, True]


async def test_the_longest_texts_of_a_response_are_kept_in_the_history(life):
    texts = {"correlation_id": "x" * 128, "message": "x" * 512}
    await life.say(life.message("response", command="ON", success=True, **texts))
    history = (await life.registry.history(HistoryQuery(esp_id="ESP_A", gpio=5), ADA)).items
    assert [item.kind for item in history] == ["response"]


async def test_the_list_of_actuators_reads_whatever_is_stored(life):
    await life.say(life.message("status", 12, actuator_type="relay.1", state=True, value=1.0))
    await life.say(life.message("status", 13, actuator_type="päd !", state=True, value=1.0))
    async with life.pool.connection() as connection:
        await connection.execute(
            """INSERT INTO actuator.actuators (esp_id, gpio, kaiser_id, registered, settings)
            VALUES ('ESP_A', 14, 'god', true, '{"actuator_type": "?", "min_value": 2, "max_runtime_s": -1}')"""
        )
    items = (await life.registry.list_actuators(ActuatorsQuery(), ADA)).items
    assert [(each.gpio, each.actuator_type) for each in items] == [(12, "relay.1"), (13, "other"), (14, "other")]
