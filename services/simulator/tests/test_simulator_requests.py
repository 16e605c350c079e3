"""Requests to the mock API: every field has bounds, and the refusal names the field."""

from typing import Any

import pytest
from kaiser_common.contract.schemas.api.mock import (
    CreateMock,
    CreateMocks,
    FaultsBody,
    MockActuatorBody,
    MockEmergency,
    MockSensorBody,
    MocksQuery,
    StateRequest,
    ValueRequest,
    ValuesRequest,
)
from pydantic import BaseModel, ValidationError

NAN, INF = float("nan"), float("inf")
SENSOR = {"gpio": 4, "sensor_type": "ph"}
GOOD: dict[type[BaseModel], dict[str, Any]] = {
    CreateMock: {"esp_id": "MOCK_1"},
    CreateMocks: {"devices": [{"esp_id": "MOCK_1"}]},
    MockSensorBody: SENSOR,
    MockActuatorBody: {"gpio": 25},
    FaultsBody: {},
    StateRequest: {"state": "BOOT"},
    ValueRequest: {"value": 1},
    ValuesRequest: {"values": [{"gpio": 4, "value": 1}]},
    MockEmergency: {},
}
BAD: list[tuple[type[BaseModel], str, list[Any]]] = [
    (CreateMock, "esp_id", ["ESP_1", "MOCK_", "MOCK_a", "MOCK_" + "A" * 28, 5]),
    (CreateMock, "kaiser_id", ["", "a b", "k" * 33]),
    (CreateMock, "name", ["n" * 101, "a\0b", 5]),
    (CreateMock, "zone_id", ["", "a b", "z" * 65]),
    (CreateMock, "firmware", ["", "A", "c", None, 1]),
    (CreateMock, "firmware_version", ["v" * 33, "\0", None]),
    (CreateMock, "heartbeat_interval_s", [0, 0.99, 3601, NAN, INF, "often", None]),
    (CreateMock, "sensors", [[SENSOR] * 2, [{**SENSOR, "gpio": gpio % 49} for gpio in range(65)]]),
    (CreateMock, "actuators", [[{"gpio": 5}] * 2, [{"gpio": 5}] * 50]),
    (CreateMock, "auto_start", ["perhaps", None]),
    (CreateMocks, "devices", [[], [{}] * 1001]),
    (MockSensorBody, "gpio", [-1, 49, 4.5, None]),
    (MockSensorBody, "sensor_type", ["", "p h", "p" * 51, None]),
    (MockSensorBody, "name", ["n" * 101, "\0"]),
    (MockSensorBody, "subzone_id", ["s" * 65, "\0"]),
    (MockSensorBody, "base_value", [1.1e9, -1.1e9, NAN, INF]),
    (MockSensorBody, "unit", ["u" * 17, "\0", None]),
    (MockSensorBody, "interval_s", [0, 0.09, 86_401, NAN, INF]),
    (MockSensorBody, "variation_pattern", ["", "p" * 33, "A B"]),
    (MockSensorBody, "variation_range", [-1, 1.1e9, NAN]),
    (MockSensorBody, "min_value", [-1.1e9, NAN]),
    (MockSensorBody, "max_value", [1.1e9, INF]),
    (MockSensorBody, "period_s", [0, 31_536_001, NAN]),
    (MockSensorBody, "replay_csv", ["1" * 200_001, "1\0"]),
    (MockSensorBody, "quality", ["superb"]),
    (MockSensorBody, "raw_mode", ["perhaps"]),
    (MockActuatorBody, "gpio", [-1, 49, 4.5]),
    (MockActuatorBody, "actuator_type", ["", "p" * 41, "a b"]),
    (MockActuatorBody, "max_runtime_s", [-1, 604_801, 1.5]),
    (FaultsBody, "silent", [[49], [-1], [4] * 50]),
    (FaultsBody, "garbage", [-0.1, 1.1, NAN]),
    (FaultsBody, "duplicate", [-0.1, 1.1, NAN]),
    (FaultsBody, "clock_offset_s", [1.1e9, -1.1e9, NAN, INF]),
    (FaultsBody, "late_s", [-1, 3601, NAN]),
    (FaultsBody, "flapping_s", [-1, 3601, NAN]),
    (FaultsBody, "slow_response_s", [-1, 601, NAN]),
    (StateRequest, "state", ["boot", "", None]),
    (StateRequest, "reason", ["r" * 201, "\0"]),
    (ValueRequest, "value", [1.1e9, NAN, INF, "warm", None]),
    (ValueRequest, "quality", ["superb"]),
    (ValuesRequest, "values", [[], [{"gpio": 4, "value": 1}] * 65]),
    (MockEmergency, "action", ["stop", ""]),
    (MockEmergency, "reason", ["r" * 201, "\0"]),
    (MocksQuery, "limit", [0, 1001]),
    (MocksQuery, "cursor", ["c" * 65]),
]


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [(model, field, value) for model, field, values in BAD for value in values],
    ids=lambda value: str(value)[:24],
)
def test_a_value_out_of_bounds_is_refused_with_its_field(model, field, value):
    with pytest.raises(ValidationError) as refused:
        model.model_validate({**GOOD.get(model, {}), field: value})
    locations = [error["loc"] for error in refused.value.errors()]
    assert all(not location or location[0] == field for location in locations), locations


@pytest.mark.parametrize("model", GOOD, ids=lambda model: model.__name__)
def test_a_field_that_nobody_knows_is_refused_by_its_name_and_a_good_body_is_taken(model):
    assert model.model_validate(GOOD[model])
    with pytest.raises(ValidationError) as refused:
        model.model_validate({**GOOD[model], "intervall": 5})
    assert [error["loc"] for error in refused.value.errors()] == [("intervall",)]


def test_parts_inside_a_mock_are_held_to_the_same():
    for parts in (
        {"sensors": [{**SENSOR, "intervall": 5}]},
        {"actuators": [{"gpio": 5, "intervall": 5}]},
        {"faults": {"intervall": 5}},
    ):
        with pytest.raises(ValidationError):
            CreateMock.model_validate({"esp_id": "MOCK_1", **parts})


def test_every_field_of_a_request_is_bounded():
    listed = {(model, field) for model, field, _ in BAD}
    switches = {"default_state", "offline", "no_clock", "refuse_commands", "publish", "skip_existing", "faults"}
    for model in GOOD:
        unlisted = {field for field in model.model_fields if (model, field) not in listed} - switches
        assert unlisted <= {"name", "subzone_id"}, f"{model.__name__} (texts are bounded by their shared types)"
