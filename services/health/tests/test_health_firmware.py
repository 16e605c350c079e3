"""Messages to both firmware generations and how their answers are taken: pure tables and properties."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.schemas.device import ActuatorItem, DeviceConfig, SensorItem
from kaiser_common.contract.topics import Kind
from kaiser_health.domain.downlink import check_command, check_size, check_subzone, config_payload
from kaiser_health.domain.outbox import payload_of, topic_of
from kaiser_health.domain.presence import has_rebooted
from kaiser_health.domain.pushes import DeviceAnswer, Push, answered, match, overdue, supersedes
from pydantic import ValidationError

T0 = datetime(2026, 1, 1, tzinfo=UTC)
S = timedelta(seconds=1)
CONFIG = config_payload(
    DeviceConfig(
        config_id="",
        sensors=[SensorItem(gpio=4, sensor_type="ds18b20", onewire_address="28FF641E8D3C0C79")],
        actuators=[ActuatorItem(gpio=25, actuator_type="pump", actuator_name="Pump", max_runtime_ms=60_000)],
    )
)
PUSH = Push("p1", "ESP_A", "god", "config", CONFIG, "pending", 1, T0 + 10 * S, T0)


def said(scope: str, state: str, push_id: str | None = "p1", message: str | None = None) -> DeviceAnswer:
    return DeviceAnswer("ESP_A", "config", state, push_id, message, (), T0 + S, scope)


def nulls_in(value: object) -> bool:
    if isinstance(value, dict):
        return any(nulls_in(each) for each in value.values())
    return any(nulls_in(each) for each in value) if isinstance(value, list) else value is None


def test_a_configuration_has_the_firmwares_names_and_no_defaults():
    assert json.loads(payload_of(PUSH)) == {
        "config_id": "p1",
        "correlation_id": "p1",
        "sensors": [
            {
                "gpio": 4,
                "sensor_type": "ds18b20",
                "sensor_name": "ds18b20_4",
                "onewire_address": "28FF641E8D3C0C79",
            }
        ],
        "actuators": [{"gpio": 25, "actuator_type": "pump", "actuator_name": "Pump", "max_runtime_ms": 60_000}],
    }


SENSOR = {
    "gpio": 4,
    "sensor_type": "ds18b20",
    "sensor_name": "Tank",
    "subzone_id": "bed",
    "active": False,
    "raw_mode": False,
    "operating_mode": "on_demand",
    "measurement_interval_seconds": 7,
    "onewire_address": "28FF641E8D3C0C79",
    "i2c_address": 69,
}
ACTUATOR = {
    "gpio": 25,
    "actuator_type": "pwm",
    "actuator_name": "Pump",
    "subzone_id": "bed",
    "active": False,
    "critical": True,
    "inverted_logic": True,
    "default_state": True,
    "default_pwm": 128,
    "aux_gpio": 26,
    "max_runtime_ms": 60_000,
}
"""Every field that the firmware reads, none at its default."""


def test_every_field_of_an_item_is_sent_under_its_name_and_left_out_at_its_default():
    config = {"config_id": "", "sensors": [SENSOR], "actuators": [ACTUATOR]}
    assert config_payload(DeviceConfig.model_validate(config)) == {"sensors": [SENSOR], "actuators": [ACTUATOR]}
    assert set(SensorItem.model_fields) == set(SENSOR)
    assert set(ActuatorItem.model_fields) == set(ACTUATOR)
    defaults = {"sensors": [{"gpio": 4, "sensor_type": "ph"}], "actuators": [{"gpio": 25, "actuator_type": "pump"}]}
    assert config_payload(DeviceConfig.model_validate({"config_id": "", **defaults})) == {
        "sensors": [{"gpio": 4, "sensor_type": "ph", "sensor_name": "ph_4"}],
        "actuators": [{"gpio": 25, "actuator_type": "pump", "actuator_name": "pump_25"}],
    }


def test_an_empty_list_is_left_out():
    sensor = SensorItem(gpio=34, sensor_type="ph", sensor_name="pH")
    assert list(config_payload(DeviceConfig(config_id="", sensors=[sensor]))) == ["sensors"]
    assert config_payload(DeviceConfig(config_id="")) == {}


def test_the_old_names_are_read_and_a_misspelt_one_is_refused():
    assert SensorItem.model_validate({"gpio": 4, "type": "ph", "name": "A"}).sensor_name == "A"
    actuator = ActuatorItem.model_validate({"gpio": 4, "type": "pump", "name": "P", "inverted": True})
    assert (actuator.actuator_type, actuator.actuator_name, actuator.inverted_logic) == ("pump", "P", True)
    with pytest.raises(ValidationError):
        SensorItem.model_validate({"gpio": 4, "sensor_type": "ph", "intervall": 3})


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("config", CONFIG),
        ("zone", {"zone_id": "", "master_zone_id": None, "zone_name": None}),
        ("zone", {"zone_id": "north", "master_zone_id": None, "zone_name": "North"}),
        ("command", {"command": "status", "params": {}, "confirm": False}),
        ("command", {"command": "factory_reset", "params": {}, "confirm": True}),
        *(
            ("subzone", {"action": action, "subzone_id": "bed", "subzone_name": "Bed", "assigned_gpios": [25]})
            for action in ("assign", "remove", "safe")
        ),
    ],
)
def test_a_device_is_sent_no_null_and_an_id_to_answer_with(kind, payload):
    push = replace(PUSH, kind=kind, payload=payload)
    body = json.loads(payload_of(push))
    assert not nulls_in(body)
    assert body["correlation_id"] == "p1"
    assert topic_of(push).startswith("kaiser/god/esp/ESP_A/")


@pytest.mark.parametrize(
    ("generation", "hardware", "kind", "most"),
    [
        ("A", "ESP32_WROOM", Kind.CONFIG, 2041),
        ("A", "XIAO_ESP32C3", Kind.CONFIG, 1017),
        ("B", "ESP32_WROOM", Kind.CONFIG, 4351),
        ("A", "ESP32_WROOM", Kind.SYSTEM_COMMAND, 255),
        ("B", "ESP32_WROOM", Kind.SYSTEM_COMMAND, 255),
    ],
)
def test_what_a_device_would_drop_for_its_size_is_refused(generation, hardware, kind, most):
    topic = "kaiser/god/esp/ESP_A/config"
    check_size(generation, hardware, kind, topic, "x" * (most - len(topic)))
    with pytest.raises(RpcError) as caught:
        check_size(generation, hardware, kind, topic, "x" * (most - len(topic) + 1))
    assert (caught.value.problem.status, caught.value.problem.code) == (422, 5003)


@pytest.mark.parametrize(
    ("generation", "command", "confirm", "known"),
    [
        ("A", "factory_reset", True, True),
        ("A", "factory_reset", False, False),
        ("A", "status", False, False),
        ("B", "status", False, True),
        ("B", "onewire/scan", False, True),
        ("B", "factory_reset", False, False),
        ("B", "reboot", False, False),
        ("B", "STATUS", False, False),
    ],
)
def test_a_command_that_the_generation_does_not_know_is_refused(generation, command, confirm, known):
    if known:
        check_command(generation, command, confirm)
        return
    with pytest.raises(RpcError) as caught:
        check_command(generation, command, confirm)
    assert (caught.value.problem.status, caught.value.problem.code) == (422, 5204)


@pytest.mark.parametrize("generation", ["A", "B"])
@pytest.mark.parametrize("action", ["assign", "remove", "safe"])
def test_a_subzone_is_made_safe_only_by_the_generation_that_reads_it(generation, action):
    if (generation, action) != ("A", "safe"):
        check_subzone(generation, action)
        return
    with pytest.raises(RpcError) as caught:
        check_subzone(generation, action)
    assert (caught.value.problem.status, caught.value.problem.code) == (422, 5204)


@pytest.mark.parametrize(
    ("uptime", "boot_id", "last_uptime", "last_boot_id", "rebooted"),
    [
        (60, None, 4000, None, True),
        (4000, None, 60, None, False),
        (60, None, None, None, False),
        (None, None, 60, None, False),
        (60, "b2", 60, "b1", True),
        (None, "b2", None, "b1", True),
        (60, "b1", 4000, "b1", True),
        (4000, "b1", 60, "b1", False),
        (60, "b1", 60, None, False),
    ],
)
def test_a_reboot_is_another_boot_id_or_an_uptime_that_fell(uptime, boot_id, last_uptime, last_boot_id, rebooted):
    assert has_rebooted(uptime, boot_id, last_uptime, last_boot_id) is rebooted


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ([said("sensor", "applied")], "pending"),
        ([said("sensor", "applied"), said("sensor", "applied")], "pending"),
        ([said("sensor", "applied"), said("actuator", "applied")], "applied"),
        ([said("actuator", "applied"), said("sensor", "partial")], "partial"),
        ([said("sensor", "partial"), said("actuator", "applied"), said("system", "failed")], "failed"),
        ([said("sensor", "partial"), said("actuator", "applied"), said("actuator", "failed")], "partial"),
        ([said("sensor", "applied"), said("actuator", "failed")], "failed"),
        ([said("sensor", "applied"), said("system", "failed")], "failed"),
        ([said("system", "failed")], "failed"),
    ],
)
def test_a_push_ends_once_each_scope_that_was_sent_is_answered(answers, state):
    push = PUSH
    for answer in answers:
        push = answered(push, answer)
    assert push.state == state


def test_an_error_about_a_list_that_was_not_sent_fails_nothing():
    push = replace(PUSH, payload={"sensors": CONFIG["sensors"]})
    push = answered(push, said("actuator", "failed"))
    assert push.state == "pending"
    assert match([push], said("actuator", "failed", push_id=None)) is None
    assert answered(push, said("sensor", "applied")).state == "applied"


scopes = st.sampled_from(["sensor", "actuator", "system"])
states = st.sampled_from(["applied", "partial", "failed"])


def restarted(push: Push) -> Push:
    """As the table gives it back."""
    return replace(push, answers=json.loads(json.dumps(dict(push.answers))), failures=tuple(push.failures))


@given(
    st.lists(st.tuples(scopes, states).filter(lambda each: each != ("system", "partial")), max_size=8),
    st.sets(st.sampled_from(["sensors", "actuators"]), min_size=1),
    st.sets(st.integers(0, 7)),
    st.sets(st.integers(0, 7)),
)
def test_answers_in_any_order_repeated_and_over_restarts_end_a_push_as_its_scopes_say(heard, sent, restarts, repeated):
    push = replace(PUSH, payload={name: CONFIG[name] for name in sent})
    expected, first = "pending", {}
    of_sent = {name.removesuffix("s") for name in sent}
    for number, (scope, state) in enumerate(heard):
        if expected == "pending" and (scope in of_sent or scope == "system"):
            first[scope] = state
            if state == "failed":
                expected = "failed"
            elif of_sent <= first.keys():
                expected = "partial" if "partial" in [first[each] for each in of_sent] else "applied"
        elif expected == "partial" and (scope, state) == ("system", "failed"):
            expected = "failed"
        for _ in range(2 if number in repeated else 1):
            push = answered(push, said(scope, state))
        if number in restarts:
            push = restarted(push)
    assert push.state == expected
    assert (push.ended_at is None) == (expected == "pending")


TOKEN = replace(PUSH, kind="command", payload={"command": "set_emergency_token", "params": {"token": "s"}})
ZONE_OUT = replace(PUSH, kind="zone", payload={"zone_id": ""})


@pytest.mark.parametrize(
    ("push", "sent", "waits_s"),
    [
        (PUSH, 3, 30),
        (replace(PUSH, kind="zone", payload={"zone_id": "north"}), 3, 30),
        (ZONE_OUT, 3, 180),
        (replace(PUSH, kind="command", payload={"command": "status"}), 1, 10),
        (TOKEN, 1, 86_400),
    ],
)
def test_a_push_is_sent_and_waited_for_as_its_device_answers(push, sent, waits_s):
    for second in range(0, waits_s, 5):
        push = overdue(push, T0 + second * S, 10 * S, 3, 180 * S)
        assert push.state == "pending", second
    assert push.tries == sent
    assert overdue(push, T0 + waits_s * S, 10 * S, 3, 180 * S).state == "timeout"


def test_only_a_newer_token_supersedes_a_command():
    status = replace(PUSH, kind="command", payload={"command": "status"})
    assert supersedes("command", TOKEN.payload, TOKEN)
    assert not supersedes("command", TOKEN.payload, status)
    assert not supersedes("command", status.payload, TOKEN)
    assert not supersedes("command", status.payload, status)
    assert supersedes("zone", ZONE_OUT.payload, ZONE_OUT)
    assert not supersedes("zone", ZONE_OUT.payload, PUSH)


def test_what_a_device_says_twice_is_kept_once():
    refused = replace(said("sensor", "partial", message="1 failed"), failures=({"gpio": 5},))
    push = answered(answered(PUSH, refused), refused)
    assert (push.failures, push.message) == (({"gpio": 5},), "1 failed")
