"""The known values of sensors and actuators at a start."""

from kaiser_common.contract.schemas.api.actuators import Actuator, ActuatorsPage
from kaiser_common.contract.schemas.api.sensors import ReadingItem, ReadingsPage
from kaiser_common.contract.schemas.sensor import SensorState
from kaiser_logic.domain.readings import ACTUATOR, RuleInput
from kaiser_logic.store import latest

NOW = 1_767_225_600_000


def actuator(gpio: int, state: bool | None, reported_at: int | None) -> Actuator:
    value = None if state is None else float(state)
    return Actuator(
        actuator_type="pump",
        name="P",
        esp_id="ESP_A",
        gpio=gpio,
        registered=True,
        state=state,
        value=value,
        reported_at=reported_at,
        emergency="normal",
    )


async def test_the_state_of_an_actuator_that_is_not_known_is_no_reading(monkeypatch):
    found = [actuator(4, True, NOW), actuator(5, False, NOW), actuator(6, None, NOW), actuator(7, None, None)]

    async def answer(_bus, _service, method, *_, **__):
        return ActuatorsPage(items=found) if method == "list" else ReadingsPage(items=[])

    monkeypatch.setattr(latest, "call", answer)
    assert await latest.latest(None, ["ESP_A"]) == [
        RuleInput("ESP_A", 4, ACTUATOR, NOW, 1.0, "good"),
        RuleInput("ESP_A", 5, ACTUATOR, NOW, 0.0, "good"),
    ], "one that was stopped, or whose device was away, is not off"


def sensor(gpio: int, state: SensorState | None) -> ReadingItem:
    return ReadingItem(
        ts=NOW - 5000,
        esp_id="ESP_A",
        gpio=gpio,
        sensor_type="ds18b20",
        address="28ff000000000001",
        raw=330.0,
        value=20.5,
        quality="good",
        data_source="PRODUCTION",
        received_at=NOW - 4000,
        device_ts=NOW + 900_000,
        state=state,
    )


async def test_a_reading_has_its_times_its_address_and_whether_its_sensor_is_silent(monkeypatch):
    states: tuple[SensorState | None, ...] = ("known", "silent", "offline", None)

    async def answer(_bus, _service, method, *_, **__):
        if method == "list":
            return ActuatorsPage(items=[])
        return ReadingsPage(items=[sensor(gpio, state) for gpio, state in enumerate(states)])

    monkeypatch.setattr(latest, "call", answer)
    found = await latest.latest(None, ["ESP_A"])
    times = {"address": "28ff000000000001", "received_at": NOW - 4000, "device_ts": NOW + 900_000}
    assert found == [
        RuleInput("ESP_A", gpio, "ds18b20", NOW - 5000, 20.5, "good", **times, silent=is_silent)
        for gpio, is_silent in enumerate([False, True, False, False])
    ], "of a device that is offline the engine knows by itself"
