"""The overview puts three services' answers together, and does without one that is away."""

import json

import nats
import pytest
from kaiser_common.contract.schemas.api.actuators import Actuator, ActuatorsPage, Emergencies
from kaiser_common.contract.schemas.api.alarms import ActiveAlarms
from kaiser_common.contract.schemas.api.devices import Device, DevicesPage
from kaiser_common.contract.schemas.api.sensors import OverviewSensor, SensorsOverview
from kaiser_gateway.api.overview import to_overview

DEVICE = Device(esp_id="ESP_A", kaiser_id="god", hardware_type="ESP32", state="approved", online=True, created_at=1)
SENSOR = OverviewSensor(
    esp_id="ESP_A", gpio=4, sensor_type="ph", ts=1, quality="good", state="known", interval_s=5.0, value=7.0
)
PUMP = Actuator(esp_id="ESP_A", gpio=25, state=False)


def pages(devices=(DEVICE,), sensors=(SENSOR,), actuators=(PUMP,), kinds=None):
    return (
        DevicesPage(items=list(devices)),
        SensorsOverview(items=list(sensors), hours_from=5, total=len(sensors)),
        ActuatorsPage(items=list(actuators)),
        Emergencies(items=[]),
        ActiveAlarms(items=[], kinds=kinds or {}),
    )


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, {}),
        ({"devices": [DEVICE.model_copy(update={"online": False})]}, {"devices_offline": 1}),
        ({"devices": [DEVICE.model_copy(update={"online": False, "state": "rejected"})]}, {}),
        ({"devices": [DEVICE.model_copy(update={"state": "pending", "online": False})]}, {"devices_pending": 1}),
        ({"sensors": [SENSOR.model_copy(update={"state": "silent"})]}, {"sensors_silent": 1}),
        ({"sensors": [SENSOR.model_copy(update={"state": "silent", "watched": False})]}, {}),
        ({"sensors": [SENSOR.model_copy(update={"state": "offline", "quality": "bad"})]}, {}),
        ({"sensors": [SENSOR.model_copy(update={"quality": "bad"})]}, {"sensors_bad": 1}),
        ({"actuators": [PUMP.model_copy(update={"last_error": "refused"})]}, {"actuators_failed": 1}),
        ({"actuators": [PUMP.model_copy(update={"last_error": "refused", "known": False})]}, {}),
        ({"kinds": {"command_failed": 2, "sensor_silent": 3}}, {"commands_failed": 2}),
        ({"kinds": {"limit_hi": 2, "disk_filling": 1, "stop_in_force": 1}}, {"alarms": 3}),
    ],
)
def test_what_is_wrong_is_counted(changes, wrong):
    found = to_overview(1, *pages(**changes))
    assert {name: count for name, count in found.wrong.model_dump().items() if count} == wrong
    assert (found.missing, found.complete, found.hours_from) == ([], True, 5)


def test_more_than_fits_is_told():
    devices, sensors, *others = pages()
    of_actuators, stops, alarms = others
    more = stops.model_copy(update={"total": 2, "next_cursor": "x"})
    many = to_overview(1, devices, sensors, of_actuators, more, alarms)
    assert (many.wrong.stops, many.complete) == (2, False)
    assert not to_overview(1, devices, sensors.model_copy(update={"total": 2}), *others).complete
    assert not to_overview(1, devices.model_copy(update={"next_cursor": "x"}), sensors, *others).complete


async def test_a_service_that_is_away_is_named_and_the_others_are_shown(gateway, module_bus):
    client = await nats.connect(module_bus)
    devices, sensors, _, _, alarms = pages(kinds={"limit_hi": 1})
    answers = {"rpc.sensor.overview": sensors, "rpc.health.list": devices, "rpc.alarm.active": alarms}

    async def answer(message):
        await message.respond(json.dumps(answers[message.subject].model_dump(mode="json")).encode())

    for subject in answers:
        await client.subscribe(subject, cb=answer)
    await client.flush()
    async with gateway.http("viewer") as http:
        found = await http.get("/api/v1/overview")
    await client.close()
    assert found.status_code == 200, found.text
    body = found.json()
    assert (body["missing"], body["wrong"]["alarms"]) == (["actuator"], 1)
    assert [one["esp_id"] for one in body["devices"]] == ["ESP_A"]
    assert [(one["value"], one["state"]) for one in body["sensors"]] == [(7.0, "known")]
