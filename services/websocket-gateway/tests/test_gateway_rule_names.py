"""The names in a rule, and whether they exist and are clear, as tables."""

import pytest
from kaiser_common.contract.schemas.api.rules import RuleSettings
from kaiser_gateway.domain.rule_names import KnownSensor, Named, ambiguous, named, not_set_up, unknown_device

HOT = {"type": "sensor", "esp_id": "ESP_A", "gpio": 4, "operator": ">", "value": 30}
ALARM = {"type": "alarm", "kind": "device_offline", "esp_id": "ESP_B"}
PUMP = {"type": "actuator", "esp_id": "ESP_C", "gpio": 25, "command": "ON"}
TELL = {"type": "notification", "message": "m"}


def test_every_device_that_a_rule_names_is_found_with_its_field():
    rule = RuleSettings(
        name="r",
        conditions=[
            HOT,
            {"type": "compound", "operator": "OR", "conditions": [ALARM, {**HOT, "esp_id": "ESP_D"}]},
            {"type": "alarm", "kind": "stop_in_force"},
        ],
        actions=[TELL, {"type": "sequence", "actions": [TELL, PUMP]}],
    )
    assert [(one.field, one.esp_id, one.sensor is not None) for one in named(rule)] == [
        ("conditions.0", "ESP_A", True),
        ("conditions.1.conditions.0", "ESP_B", False),
        ("conditions.1.conditions.1", "ESP_D", True),
        ("actions.1.actions.1", "ESP_C", False),
    ]


@pytest.mark.parametrize(
    ("wanted", "sensors", "words"),
    [
        ({}, [], None),
        ({}, [KnownSensor(4, "ds18b20")], None),
        ({}, [KnownSensor(4, "sht31_temp"), KnownSensor(5, "sht31_humidity")], None),
        (
            {},
            [KnownSensor(4, "sht31_temp"), KnownSensor(4, "sht31_humidity")],
            "gpio 4 of ESP_A has 2 sensors: give sensor_type sht31_humidity or sht31_temp",
        ),
        ({"sensor_type": "humidity"}, [KnownSensor(4, "sht31_temp"), KnownSensor(4, "sht31_humidity")], None),
        (
            {"sensor_type": "ds18b20"},
            [KnownSensor(4, "ds18b20", "28FF641E8D3C0C79"), KnownSensor(4, "DS18B20", "28FF641E8D3C0C80")],
            "gpio 4 of ESP_A has 2 sensors: give address 28FF641E8D3C0C79 or 28FF641E8D3C0C80",
        ),
        (
            {"sensor_type": "ds18b20", "address": "28FF641E8D3C0C79"},
            [KnownSensor(4, "ds18b20", "28FF641E8D3C0C79"), KnownSensor(4, "ds18b20", "28FF641E8D3C0C80")],
            None,
        ),
    ],
)
def test_a_condition_that_several_sensors_fit_is_ambiguous(wanted, sensors, words):
    [one] = named(RuleSettings(name="r", conditions=[{**HOT, **wanted}], actions=[TELL]))
    assert ambiguous(one, {"ESP_A": sensors}) == words


def test_a_condition_about_no_sensor_is_never_ambiguous():
    assert ambiguous(Named("conditions.0", "ESP_A"), {"ESP_A": [KnownSensor(4, "a"), KnownSensor(4, "b")]}) is None


def test_the_gpio_of_a_command_is_found_but_of_off_which_every_actuator_takes():
    steps = {"type": "sequence", "actions": [TELL, {**PUMP, "command": "PWM", "value": 0.5, "gpio": 26}]}
    rule = RuleSettings(name="r", conditions=[HOT], actions=[{**PUMP, "command": "OFF"}, PUMP, steps])
    assert [(one.field, one.commanded) for one in named(rule)] == [
        ("conditions.0", None),
        ("actions.0", None),
        ("actions.1", 25),
        ("actions.2.actions.1", 26),
    ]


def test_an_actuator_that_is_not_set_up_is_told_with_the_remedy():
    assert (
        not_set_up("ESP_C", 25)
        == "no actuator is set up on gpio 25 of ESP_C: set it up first, or disable the rule until then"
    )


def test_an_unknown_device_is_told_with_the_nearest_one():
    known = ["MOCK_CLIMATE_EAST", "MOCK_BED_1"]
    assert (
        unknown_device("MOCK_CLIMATE_EST", known)
        == "MOCK_CLIMATE_EST is not registered; did you mean MOCK_CLIMATE_EAST?"
    )
    assert unknown_device("ESP_0A1B2C3D", known) == "ESP_0A1B2C3D is not registered"
