"""How a mock reacts: commands, emergencies, orders, its states; payloads as docs/devices.md has them."""

import json

import pytest
from kaiser_common.schemas.api.mock import Faults, MockActuator, MockSensor
from kaiser_common.topics import parse
from kaiser_simulator import lifecycle
from kaiser_simulator.actuators import on_auto_off, on_protection
from kaiser_simulator.device import Device, Life, Setup
from kaiser_simulator.jobs import Job, jobs
from kaiser_simulator.orders import react
from kaiser_simulator.patterns import installed_patterns
from kaiser_simulator.payloads import heartbeat
from kaiser_simulator.readings import make_meter

NOW = 1_767_225_600_000
ID = "MOCK_A"
FACTORIES = installed_patterns()


def device(**life) -> Device:
    setup = Setup(
        esp_id=ID,
        kaiser_id="god",
        firmware_version="mock-1.0",
        heartbeat_interval_s=60,
        sensors=[MockSensor(gpio=4, sensor_type="DS18B20", base_value=22.5, unit="°C", interval_s=10)],
        actuators=[
            MockActuator(gpio=25, actuator_type="pump", max_runtime_s=600),
            MockActuator(gpio=26, actuator_type="valve", default_state=True),
        ],
    )
    running = {"running": True, "registered": True, "state": "OPERATIONAL", "booted_at": NOW - 60_000}
    return Device(setup=setup, life=Life(**{**running, **life}))


def measure(device, sensor, now_ms):
    return make_meter(FACTORIES, device, sensor).reading_now(device, now_ms)


class Mock:
    """A mock that is told things, one after the other."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.now = NOW

    def tell(self, topic: str, **body) -> list[tuple[str, dict]]:
        text = f"kaiser/god/esp/{ID}/{topic}" if not topic.startswith("kaiser/") else topic
        return self.take(react(self.device, parse(text), json.dumps(body), self.now, measure))

    def take(self, reaction) -> list[tuple[str, dict]]:
        self.device = reaction.device
        return [
            (each.topic.removeprefix(f"kaiser/god/esp/{ID}/"), json.loads(each.payload))
            for each in reaction.publications
        ]

    def command(self, gpio: int, command: str, **fields) -> list[tuple[str, dict]]:
        self.now += 1
        body = {"command": command, "timestamp": self.now // 1000, "correlation_id": f"c{self.now}", **fields}
        return self.tell(f"actuator/{gpio}/command", **body)


@pytest.fixture
def mock() -> Mock:
    return Mock(device())


def test_a_command_is_answered_with_response_and_status_as_a_device_sends_them(mock):
    said = mock.tell(
        "actuator/25/command", command="PWM", value=0.5, duration=60, timestamp=NOW // 1000, correlation_id="c1"
    )
    assert said == [
        (
            "actuator/25/response",
            {
                "esp_id": ID, "gpio": 25, "command": "PWM", "value": 0.5, "duration": 60, "success": True,
                "message": "PWM done", "correlation_id": "c1", "ts": NOW,
            },
        ),
        (
            "actuator/25/status",
            {
                "ts": NOW, "esp_id": ID, "gpio": 25, "actuator_type": "pump", "state": True, "value": 0.5,
                "last_command": "pwm", "runtime_ms": 0, "emergency": "normal",
            },
        ),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("commands", "state", "value"),
    [
        ([("ON", {})], True, 1.0),
        ([("ON", {}), ("OFF", {})], False, 0.0),
        ([("TOGGLE", {})], True, 1.0),
        ([("TOGGLE", {}), ("TOGGLE", {})], False, 0.0),
        ([("PWM", {"value": 0.25})], True, 0.25),
        ([("ON", {}), ("PWM", {"value": 0.0})], False, 0.0),
    ],
)
def test_commands_lead_to_their_state(mock, commands, state, value):
    for command, fields in commands:
        mock.command(25, command, **fields)
    life = mock.device.actuator_life(25)
    assert (life.state, life.value) == (state, value)


def test_a_command_that_comes_twice_is_carried_out_once_and_answered_the_same(mock):
    body = {"command": "TOGGLE", "timestamp": NOW // 1000, "correlation_id": "c1"}
    first = mock.tell("actuator/25/command", **body)
    mock.now += 5000
    assert mock.tell("actuator/25/command", **body) == first
    assert mock.device.actuator_life(25).state is True


def test_auto_off_comes_after_the_duration_and_not_before(mock):
    mock.command(25, "ON", duration=30)
    off_at = mock.now + 30_000
    assert jobs(mock.device, mock.now)[Job("off", ID, 25)] == off_at
    assert mock.take(on_auto_off(mock.device, 25, off_at - 1)) == []
    [(topic, status)] = mock.take(on_auto_off(mock.device, 25, off_at))
    assert (topic, status["state"], status["runtime_ms"], status["last_command"]) == (
        "actuator/25/status",
        False,
        30_000,
        "off",
    )
    assert Job("off", ID, 25) not in jobs(mock.device, off_at)


def test_a_later_command_without_duration_takes_the_auto_off_away(mock):
    mock.command(25, "ON", duration=30)
    mock.command(25, "ON")
    assert mock.device.actuator_life(25).off_at is None
    assert Job("protect", ID, 25) in jobs(mock.device, mock.now)


def test_runtime_protection_counts_from_the_first_on_and_alerts(mock):
    mock.command(25, "ON")
    switched_on = mock.now
    mock.now += 300_000
    mock.command(25, "ON")
    due = switched_on + 600_000
    assert jobs(mock.device, mock.now)[Job("protect", ID, 25)] == due
    assert mock.take(on_protection(mock.device, 25, due - 1)) == []
    [(_, alert), (_, status)] = mock.take(on_protection(mock.device, 25, due))
    assert alert["alert_type"] == "runtime_protection"
    assert (status["state"], status["error"], status["runtime_ms"]) == (False, "runtime protection", 600_000)


def test_an_emergency_stops_all_alerts_and_refuses_until_it_is_cleared(mock):
    mock.command(25, "ON")
    alert, *statuses = mock.tell("actuator/emergency", command="emergency_stop", reason="leak")
    assert alert == (
        "actuator/255/alert",
        {"esp_id": ID, "gpio": 255, "alert_type": "emergency_stop", "message": "leak", "ts": mock.now},
    )
    assert [(topic, body["state"], body["emergency"]) for topic, body in statuses] == [
        ("actuator/25/status", False, "active"),
        ("actuator/26/status", False, "active"),
    ]
    (_, refused), _ = mock.command(25, "ON")
    assert (refused["success"], refused["message"]) == (False, "refused: emergency stop active")
    (_, switched_off), _ = mock.command(25, "OFF")
    assert switched_off["success"] is True
    cleared = mock.tell("actuator/emergency", command="clear_emergency")
    assert [(topic, body["state"], body["emergency"]) for topic, body in cleared] == [
        ("actuator/25/status", False, "normal"),
        ("actuator/26/status", False, "normal"),
    ]
    (_, response), _ = mock.command(25, "ON")
    assert response["success"] is True


def test_a_broadcast_stops_as_an_own_emergency_does(mock):
    said = mock.tell("kaiser/broadcast/emergency", command="emergency_stop", reason="fire")
    assert [topic for topic, _ in said] == ["actuator/255/alert", "actuator/25/status", "actuator/26/status"]
    assert mock.device.life.emergency is True


@pytest.mark.parametrize(
    ("life", "gpio", "command", "message"),
    [
        ({}, 7, "ON", "no actuator at gpio 7"),
        ({"state": "SAFE_MODE"}, 25, "ON", "refused: the device is in SAFE_MODE"),
        ({"state": "ERROR"}, 25, "TOGGLE", "refused: the device is in ERROR"),
        ({"faults": Faults(refuse_commands=True)}, 25, "OFF", "refused by a fault of the mock"),
    ],
)
def test_what_cannot_be_carried_out_is_answered_with_success_false(life, gpio, command, message):
    (topic, response), *_ = Mock(device(**life)).command(gpio, command)
    assert (topic, response["success"], response["message"]) == (f"actuator/{gpio}/response", False, message)


def test_measure_gives_a_reading_now_and_its_answer(mock):
    (topic, reading), (answer_topic, answer) = mock.tell("sensor/4/command", command="measure", request_id="r1")
    assert (topic, answer_topic) == ("sensor/4/data", "sensor/4/response")
    assert reading == {
        "ts": NOW, "esp_id": ID, "gpio": 4, "sensor_type": "DS18B20", "raw": 2250, "raw_value": 22.5,
        "raw_mode": True, "value": 22.5, "unit": "°C", "quality": "good",
    }  # fmt: skip
    assert answer == {
        "esp_id": ID, "request_id": "r1", "gpio": 4, "command": "measure", "success": True, "message": "measured",
        "ts": NOW,
    }  # fmt: skip


def test_a_sensor_that_is_not_there_cannot_measure(mock):
    [(_, answer)] = mock.tell("sensor/5/command", command="measure", request_id="r1")
    assert answer["success"] is False


def test_a_configuration_is_taken_over_but_for_pins_in_use(mock):
    (topic, answer), (_, actuators) = mock.tell(
        "config",
        config_id="k1",
        sensors=[
            {"gpio": 4, "type": "DS18B20", "measurement_interval_seconds": 5, "name": "Tank"},
            {"gpio": 25, "type": "ph"},
            {"gpio": 6, "type": "ph", "measurement_interval_seconds": 20},
        ],
        actuators=[{"gpio": 27, "type": "fan"}],
    )
    failure = {
        "type": "sensor", "gpio": 25, "error_code": 1002, "error": "GPIO_CONFLICT", "detail": "in use by an actuator"
    }  # fmt: skip
    assert topic == "config_response"
    assert answer == {
        "esp_id": ID, "status": "partial_success", "type": "sensor", "count": 2, "failed_count": 1,
        "message": "2 set, 1 failed", "failures": [failure], "correlation_id": "k1", "ts": NOW,
    }  # fmt: skip
    assert (actuators["status"], actuators["type"], actuators["count"]) == ("success", "actuator", 1)
    assert [(s.gpio, s.sensor_type, s.interval_s, s.base_value) for s in mock.device.setup.sensors] == [
        (4, "DS18B20", 5.0, 22.5),
        (6, "ph", 20.0, 20.0),
    ]
    assert [each.gpio for each in mock.device.setup.actuators] == [25, 26, 27]


def test_a_sensor_configured_as_inactive_falls_silent(mock):
    mock.tell("config", config_id="k1", sensors=[{"gpio": 4, "type": "DS18B20", "active": False}])
    assert not [job for job in jobs(mock.device, NOW) if job.kind == "reading"]
    assert json.loads(heartbeat(mock.device, NOW).payload)["sensor_count"] == 0


def test_a_zone_is_acknowledged_and_told_by_heartbeats_until_it_is_left(mock):
    order = {"zone_id": "north", "master_zone_id": "house", "kaiser_id": "god", "timestamp": NOW // 1000}
    [(topic, ack)] = mock.tell("zone/assign", **order, correlation_id="z1")
    assert (topic, ack["status"], ack["zone_id"], ack["correlation_id"]) == ("zone/ack", "zone_assigned", "north", "z1")
    assert json.loads(heartbeat(mock.device, NOW).payload)["zone_id"] == "north"
    [(_, left)] = mock.tell("zone/assign", **{**order, "zone_id": ""}, correlation_id="z2")
    assert (left["status"], left["zone_id"]) == ("zone_removed", "")
    assert "zone_id" not in json.loads(heartbeat(mock.device, NOW).payload)


def test_a_reboot_answers_first_and_goes_through_every_state(mock):
    mock.command(25, "ON")
    (topic, answer), (will, _) = mock.tell("system/command", command="reboot", correlation_id="s1")
    assert (topic, answer["success"], will) == ("system/command/response", True, "system/will")
    assert (mock.device.life.state, mock.device.actuator_life(25).state) == ("BOOT", False)
    assert mock.device.actuator_life(26).state is True
    seen, said = [], []
    for _ in range(3):
        mock.now += 300
        said += mock.take(lifecycle.on_boot_step(mock.device, mock.now))
        seen.append(mock.device.life.state)
    assert seen == ["WIFI_CONNECTED", "MQTT_CONNECTED", "OPERATIONAL"]
    assert [topic for topic, _ in said] == ["system/heartbeat", "actuator/25/status", "actuator/26/status"]


def test_safe_mode_switches_off_and_is_left_on_order(mock):
    mock.command(25, "ON")
    said = mock.tell("system/command", command="safe_mode", correlation_id="s1")
    assert [topic for topic, _ in said] == [
        "system/command/response",
        "system/heartbeat",
        "actuator/25/status",
        "actuator/26/status",
    ]
    assert said[1][1]["degraded"] is True
    assert (mock.device.life.state, mock.device.actuator_life(25).state) == ("SAFE_MODE", False)
    [(_, answer)] = mock.tell("system/command", command="exit_safe_mode", correlation_id="s2")
    assert (answer["success"], mock.device.life.state) == (True, "OPERATIONAL")
    [(_, again)] = mock.tell("system/command", command="exit_safe_mode", correlation_id="s3")
    assert again["success"] is False


def test_operation_is_not_resumed_during_an_emergency(mock):
    mock.tell("actuator/emergency", command="emergency_stop")
    [(_, answer)] = mock.tell("system/command", command="resume_operation", correlation_id="s1")
    assert (answer["success"], answer["message"]) == (False, "an emergency stop is active")


def test_diagnostics_follow_their_answer(mock):
    (_, answer), (topic, figures) = mock.tell("system/command", command="diagnostics", correlation_id="s1")
    assert (answer["success"], topic, figures["uptime_seconds"]) == (True, "system/diagnostics", 60)


def test_error_is_told_as_a_system_error(mock):
    said = mock.take(lifecycle.with_state(mock.device, "ERROR", "sensor bus dead", NOW))
    assert said[0] == (
        "system/error",
        {
            "esp_id": ID, "error_code": 4999, "severity": "error", "category": "MOCK", "message": "sensor bus dead",
            "ts": NOW,
        },
    )  # fmt: skip


def test_a_processed_value_is_shown(mock):
    assert mock.tell("sensor/4/processed", value=7.1, unit="pH", quality="good", ts=NOW) == []
    assert mock.device.sensor_life(mock.device.setup.sensors[0]).displayed == 7.1


@pytest.mark.parametrize("payload", ["", "[]", "{", '{"command":"JUMP"}', '{"command":"PWM","value":7}'])
def test_what_it_cannot_read_it_reports_and_does_nothing_about(mock, payload):
    topic = parse(f"kaiser/god/esp/{ID}/actuator/25/command")
    before = mock.device
    [(said, body)] = mock.take(react(before, topic, payload, NOW, measure))
    assert (said, body["error_code"], mock.device) == ("system/error", 4900, before)


def test_a_text_that_no_table_takes_is_reported_and_moves_nothing(mock):
    before = mock.device
    [(topic, error)] = mock.command(25, "ON", correlation_id="a\0b")
    assert (topic, error["error_code"]) == ("system/error", 4900)
    assert mock.device is before


@pytest.mark.parametrize(
    "fields", [{"name": "n" * 101}, {"name": "ok", "subzone_id": "z" * 65}, {"name": "ok", "gpio": 77}]
)
@pytest.mark.parametrize("scope", ["sensors", "actuators"])
def test_a_configuration_out_of_bounds_is_refused_item_by_item_and_the_mock_can_be_loaded_again(mock, scope, fields):
    kind = {"sensors": "ph", "actuators": "pump"}[scope]
    items = [{"gpio": 33, "type": kind, **fields}, {"gpio": 32, "type": kind, "name": "good"}]
    [(_, answer)] = mock.tell("config", config_id="c1", **{scope: items})
    assert (answer["status"], answer["count"], answer["failed_count"]) == ("partial_success", 1, 1)
    assert answer["failures"][0]["error"] == "VALIDATION_FAILED"
    kept = mock.device.setup.sensors if scope == "sensors" else mock.device.setup.actuators
    assert [item.name for item in kept if item.gpio in (32, 33, 77)] == ["good"]
    assert Setup.model_validate_json(mock.device.setup.model_dump_json()) == mock.device.setup


@pytest.mark.parametrize(
    "life", [{"state": "BOOT"}, {"faults": Faults(offline=True)}, {"link_up": False}, {"running": False}]
)
def test_a_mock_without_a_connection_hears_nothing(life):
    mock = Mock(device(**life))
    assert mock.command(25, "ON") == []
    assert mock.device.actuator_life(25).state is False


def test_a_crash_has_the_broker_tell_the_will_retained_and_a_return_says_hello(mock):
    crash = lifecycle.with_faults(mock.device, Faults(offline=True), NOW)
    [will] = crash.publications
    assert (will.topic, will.retain) == (f"kaiser/god/esp/{ID}/system/will", True)
    assert json.loads(will.payload) == {
        "status": "offline", "esp_id": ID, "reason": "unexpected_disconnect", "ts": 0
    }  # fmt: skip
    back = mock.take(lifecycle.with_faults(crash.device, Faults(), NOW + 1000))
    assert [topic for topic, _ in back] == ["system/heartbeat", "actuator/25/status", "actuator/26/status"]


def test_a_flapping_connection_goes_down_and_comes_back(mock):
    mock.take(lifecycle.with_faults(mock.device, Faults(flapping_s=5), NOW))
    assert jobs(mock.device, NOW)[Job("link", ID)] == NOW + 5000
    assert mock.take(lifecycle.on_link(mock.device, NOW + 4999)) == []
    assert [topic for topic, _ in mock.take(lifecycle.on_link(mock.device, NOW + 5000))] == ["system/will"]
    assert mock.take(lifecycle.on_link(mock.device, NOW + 10_000))[0][0] == "system/heartbeat"


def test_a_state_survives_the_table(mock):
    mock.command(25, "ON", duration=30)
    mock.tell("actuator/emergency", command="emergency_stop")
    text = mock.device.model_dump_json()
    assert Device.model_validate_json(text) == mock.device


def test_power_off_keeps_the_step_and_power_on_goes_on_with_the_next(mock):
    stopped = lifecycle.stopped(device(), NOW).device
    started = lifecycle.registered(lifecycle.started(stopped, NOW).device, NOW).device
    [sensor] = started.setup.sensors
    anchor = started.sensor_life(sensor).anchor_ms
    assert NOW + 900 <= anchor < NOW + 900 + 5000
    later = anchor + 10_000 * 7 + 1
    off = lifecycle.stopped(started, later).device
    assert off.sensor_life(sensor).first_step == 8
    assert lifecycle.stopped(off.lived(running=True), later + 999_999).device.sensor_life(sensor).first_step == 8
