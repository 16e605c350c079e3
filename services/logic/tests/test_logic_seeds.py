"""The known values of sensors and actuators at a start."""

from kaiser_common.contract.schemas.api.actuators import Actuator, ActuatorsPage
from kaiser_common.contract.schemas.api.sensors import ReadingsPage
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
