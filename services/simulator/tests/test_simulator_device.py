"""How a mock reacts: commands, emergencies, orders, its states; payloads as docs/devices.md has them."""

import json

import pytest
from kaiser_common.contract.schemas.api.mock import Faults, Firmware, MockActuator, MockSensor
from kaiser_common.contract.topics import parse
from kaiser_simulator.domain import lifecycle
from kaiser_simulator.domain.actuators import on_auto_off, on_protection
from kaiser_simulator.domain.device import Life, MockDevice, Setup
from kaiser_simulator.domain.emergencies import pressed, released
from kaiser_simulator.domain.payloads import heartbeat
from kaiser_simulator.domain.reactions import react
from kaiser_simulator.domain.readings import make_meter
from kaiser_simulator.domain.schedule import Job, jobs
from kaiser_simulator.patterns import installed_patterns

NOW = 1_767_225_600_000
ID = "MOCK_A"
FACTORIES = installed_patterns()


def device(firmware: Firmware = "a", **life) -> MockDevice:
    setup = Setup(
        esp_id=ID,
        kaiser_id="god",
        firmware=firmware,
        firmware_version="mock-1.0",
        heartbeat_interval_s=60,
        sensors=[MockSensor(gpio=4, sensor_type="DS18B20", base_value=22.5, unit="°C", interval_s=10)],
        actuators=[
            MockActuator(gpio=25, actuator_type="pump", max_runtime_s=600),
            MockActuator(gpio=26, actuator_type="valve", default_state=True),
        ],
    )
    running = {"running": True, "registered": True, "state": "OPERATIONAL", "booted_at": NOW - 60_000}
    if firmware == "b":
        running |= {"acked": True, "acked_at": NOW, "pending": False, "active_epoch": 1}
    return MockDevice(setup=setup, life=Life(**{**running, **life}))


def measure(device, sensor, now_ms):
    return make_meter(FACTORIES, device, sensor).reading_now(device, now_ms)


class Mock:
    """A mock that is told things, one after the other."""

    def __init__(self, device: MockDevice) -> None:
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
    """Of generation a."""
    return Mock(device())


@pytest.fixture
def mock_b() -> Mock:
    """Of generation b, acknowledged."""
    return Mock(device("b"))


@pytest.mark.parametrize("firmware", ["a", "b"])
def test_a_command_is_answered_with_status_and_response_as_a_device_sends_them(firmware):
    said = Mock(device(firmware)).tell(
        "actuator/25/command", command="PWM", value=0.5, duration=60, timestamp=NOW // 1000, correlation_id="c1"
    )
    named = {"a": {}, "b": {"correlation_id": "c1", "issued_by": "system:unknown"}}[firmware]
    assert said == [
        (
            "actuator/25/status",
            {
                "ts": NOW, "esp_id": ID, "gpio": 25, "actuator_type": "pump", "state": True, "value": 0.5,
                "last_command": "pwm", "runtime_ms": 0, "emergency": "normal",
            },
        ),
        (
            "actuator/25/response",
            {
                "esp_id": ID, "zone_id": "", "gpio": 25, "command": "PWM", "value": 0.5, "duration": 60,
                "success": True, "message": "Command executed", "ts": NOW, **named,
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


def test_an_emergency_stops_all_and_nothing_moves_until_it_is_cleared_five_seconds_later(mock):
    mock.command(25, "ON")
    stop = {"command": "emergency_stop", "auth_token": ID, "reason": "leak"}
    said = mock.tell("actuator/emergency", **stop)
    assert [(topic, body["alert_type"], body["message"]) for topic, body in said] == [
        ("actuator/25/alert", "emergency_stop", "Actuator stopped"),
        ("actuator/26/alert", "emergency_stop", "Actuator stopped"),
    ]
    stopped_at = mock.now
    for command in ("ON", "OFF"):
        [(_, refused)] = mock.command(25, command)
        assert (refused["success"], refused["message"]) == (False, "Command failed")
    clear = {"command": "clear_emergency", "auth_token": ID}
    mock.now = stopped_at + 4999
    (_, alert), (topic, error) = mock.tell("actuator/emergency", **clear)
    assert (alert["gpio"], alert["alert_type"]) == (255, "verification_failed")
    assert (topic, error) == (
        "actuator/emergency/error",
        {"error": "clear_failed", "message": "Safety verification failed"},
    )
    mock.now = stopped_at + 5000
    [(topic, answer)] = mock.tell("actuator/emergency", **clear)
    assert (topic, answer["status"]) == ("actuator/emergency/response", "emergency_cleared")
    assert mock.device.actuator_life(25).state is False, "a clear starts nothing"
    (_, status), (_, response) = mock.command(25, "ON")
    assert (status["emergency"], response["success"]) == ("normal", True)


@pytest.mark.parametrize("firmware", ["a", "b"])
def test_an_emergency_without_the_devices_token_is_refused_and_moves_nothing(firmware):
    mock = Mock(device(firmware))
    mock.command(25, "ON")
    for token in ({}, {"auth_token": "MOCK_B"}):
        [(topic, error)] = mock.tell("actuator/emergency", command="emergency_stop", **token)
        assert (topic, error["error"]) == ("actuator/emergency/error", "unauthorized")
    assert mock.device.actuator_life(25).state is True


def test_a_token_that_was_set_is_asked_for_from_then_on(mock_b):
    mock_b.tell("system/command", command="set_emergency_token", params={"token": "secret"})
    [(_, error)] = mock_b.tell("actuator/emergency", command="emergency_stop", auth_token=ID)
    assert error["error"] == "unauthorized"
    mock_b.tell("actuator/emergency", command="emergency_stop", auth_token="secret")
    assert mock_b.device.life.emergency is True


def test_a_broadcast_stops_generation_a_and_b_only_with_its_token(mock, mock_b):
    stop = {"command": "emergency_stop", "reason": "fire", "issued_by": "ada"}
    assert [topic for topic, _ in mock.tell("kaiser/broadcast/emergency", **stop)] == [
        "actuator/25/alert",
        "actuator/26/alert",
    ]
    assert mock.device.life.emergency is True
    assert mock_b.tell("kaiser/broadcast/emergency", **stop) == []
    said = mock_b.tell("kaiser/broadcast/emergency", **stop, auth_token=ID)
    assert [topic for topic, _ in said[:2]] == ["actuator/25/alert", "actuator/25/status"]
    assert mock_b.device.life.emergency is True


def test_the_red_button_stops_with_its_reason_and_lets_go(mock):
    mock.command(25, "ON")
    (topic, alert), *rest = mock.take(pressed(mock.device, "leak", NOW))
    assert (topic, alert["alert_type"], alert["message"]) == ("actuator/255/alert", "emergency_stop", "leak")
    assert [(body["state"], body["emergency"]) for _, body in rest] == [(False, "active"), (False, "active")]
    assert [body["emergency"] for _, body in mock.take(released(mock.device, NOW))] == ["normal", "normal"]


@pytest.mark.parametrize(
    ("life", "gpio", "command", "message"),
    [
        ({}, 7, "ON", "Command failed"),
        ({"state": "SAFE_MODE"}, 25, "ON", "refused: the device is in SAFE_MODE"),
        ({"state": "ERROR"}, 25, "TOGGLE", "refused: the device is in ERROR"),
        ({"faults": Faults(refuse_commands=True)}, 25, "OFF", "refused by a fault of the mock"),
    ],
)
def test_what_cannot_be_carried_out_is_answered_with_success_false(life, gpio, command, message):
    (topic, response), *_ = Mock(device(**life)).command(gpio, command)
    assert (topic, response["success"], response["message"]) == (f"actuator/{gpio}/response", False, message)


def test_measure_gives_a_reading_now_and_its_answer(mock_b):
    (topic, reading), (answer_topic, answer) = mock_b.tell("sensor/4/command", command="measure", request_id="r1")
    assert (topic, answer_topic) == ("sensor/4/data", "sensor/4/response")
    assert reading == {
        "ts": NOW, "esp_id": ID, "gpio": 4, "sensor_type": "DS18B20", "raw": 2250, "raw_value": 22.5,
        "raw_mode": True, "value": 22.5, "unit": "°C", "quality": "good",
    }  # fmt: skip
    assert answer == {
        "request_id": "r1", "gpio": 4, "command": "measure", "success": True, "reason_code": "NONE",
        "quality": "good", "sensor_type": "DS18B20", "ts": NOW, "correlation_id": "corr_1_1",
    }  # fmt: skip


def test_generation_a_knows_no_sensor_command(mock):
    assert mock.tell("sensor/4/command", command="measure", request_id="r1") == []


def test_a_sensor_that_is_not_there_cannot_measure(mock_b):
    [(_, answer)] = mock_b.tell("sensor/5/command", command="measure", request_id="r1")
    assert (answer["success"], answer["reason_code"]) == (False, "SENSOR_NOT_FOUND")


def test_a_configuration_is_taken_over_but_for_pins_in_use(mock_b):
    said = mock_b.tell(
        "config",
        config_id="k1",
        correlation_id="k1",
        sensors=[
            {"gpio": 4, "sensor_type": "ds18b20", "sensor_name": "Tank", "measurement_interval_seconds": 5,
             "onewire_address": "28FF641E8D3C0C79"},
            {"gpio": 25, "sensor_type": "ph", "sensor_name": "pH"},
            {"gpio": 6, "sensor_type": "ph", "sensor_name": "pH", "measurement_interval_seconds": 20},
        ],
        actuators=[{"gpio": 27, "actuator_type": "valve", "actuator_name": "Valve", "max_runtime_ms": 1500}],
    )  # fmt: skip
    answers = [body for topic, body in said if topic == "config_response"]
    failure = {
        "type": "sensor", "gpio": 25, "error_code": 1002, "error": "GPIO_CONFLICT",
        "detail": "GPIO 25 is in use by an actuator",
    }  # fmt: skip
    assert answers == [
        {
            "status": "partial_success", "type": "sensor", "count": 2, "failed_count": 1,
            "message": "2 configured, 1 failed", "failures": [failure], "correlation_id": "k1",
        },
        {
            "status": "success", "type": "actuator", "count": 1, "message": "Configured 1 actuator(s) successfully",
            "correlation_id": "k1",
        },
        {
            "status": "error", "type": "system", "count": 0, "message": "Config apply/persist failed",
            "error_code": "COMMIT_FAILED", "correlation_id": "k1",
        },
    ]  # fmt: skip
    assert [body["outcome"] for topic, body in said if topic == "system/intent_outcome"] == ["accepted", "failed"]
    assert [(s.gpio, s.sensor_type, s.interval_s, s.base_value) for s in mock_b.device.setup.sensors] == [
        (4, "DS18B20", 5.0, 22.5),
        (6, "ph", 20.0, 20.0),
    ]
    assert [(each.gpio, each.max_runtime_s) for each in mock_b.device.setup.actuators] == [(25, 600), (26, 0), (27, 2)]


def test_a_sensor_configured_as_inactive_falls_silent(mock):
    mock.tell(
        "config", config_id="k1", sensors=[{"gpio": 4, "sensor_type": "DS18B20", "sensor_name": "T", "active": False}]
    )
    assert not [job for job in jobs(mock.device, NOW) if job.kind == "reading"]
    assert json.loads(heartbeat(mock.device, NOW).payload)["sensor_count"] == 0


@pytest.mark.parametrize("firmware", ["a", "b"])
def test_a_zone_is_acknowledged_and_stands_in_heartbeats_until_it_is_left(firmware):
    mock = Mock(device(firmware))
    order = {"zone_id": "north", "master_zone_id": "house", "kaiser_id": "god", "timestamp": NOW // 1000}
    (topic, ack), (_, beat) = mock.tell("zone/assign", **order, correlation_id="z1")
    assert (topic, ack["status"], ack["zone_id"]) == ("zone/ack", "zone_assigned", "north")
    assert ack.get("correlation_id") == {"a": None, "b": "z1"}[firmware]
    assert (beat["zone_id"], beat["master_zone_id"], beat["zone_assigned"]) == ("north", "house", True)
    left = mock.tell("zone/assign", **{**order, "zone_id": ""}, correlation_id="z2")
    if firmware == "a":
        assert (left, mock.device.life.zone_id) == ([], "north")
        return
    (_, ack), (_, beat) = left
    assert (ack["status"], ack["zone_id"], beat["zone_id"], beat["zone_assigned"]) == ("zone_removed", "", "", False)


@pytest.mark.parametrize("firmware", ["a", "b"])
def test_a_zone_that_health_does_not_take_is_refused(firmware):
    mock = Mock(device(firmware))
    [(_, ack)] = mock.tell("zone/assign", zone_id="two words", correlation_id="z1")
    assert (ack["status"], mock.device.life.zone_id) == ("error", None)


@pytest.mark.parametrize("firmware", ["a", "b"])
def test_a_factory_reset_answers_first_forgets_everything_and_goes_through_every_state(firmware):
    mock = Mock(device(firmware))
    mock.command(25, "ON")
    mock.tell("zone/assign", zone_id="north")
    assert mock.tell("system/command", command="factory_reset")[:-1] == []
    assert mock.device.life.state == "OPERATIONAL", "a reset without confirm resets nothing"
    (topic, answer), (will, _) = mock.tell("system/command", command="factory_reset", confirm=True)
    assert (topic, answer["status"], will) == ("system/command/response", "factory_reset_initiated", "system/will")
    assert (mock.device.setup.sensors, mock.device.setup.actuators, mock.device.life.zone_id) == ([], [], None)
    seen, said = [], []
    for _ in range(3):
        mock.now += 300
        said += mock.take(lifecycle.on_boot_step(mock.device, mock.now))
        seen.append(mock.device.life.state)
    assert seen == ["WIFI_CONNECTED", "MQTT_CONNECTED", "OPERATIONAL"]
    hello = {"a": ["system/heartbeat"], "b": ["session/announce", "system/heartbeat"]}
    assert [topic for topic, _ in said] == hello[firmware]


def test_safe_mode_stops_and_is_left_on_order(mock_b):
    mock_b.command(25, "ON")
    said = mock_b.tell("system/command", command="safe_mode", correlation_id="s1")
    assert [topic for topic, _ in said][-1] == "system/command/response"
    assert (mock_b.device.life.state, mock_b.device.actuator_life(25).state) == ("SAFE_MODE", False)
    assert json.loads(heartbeat(mock_b.device, NOW).payload)["degraded"] is True
    [(_, answer)] = mock_b.tell("system/command", command="exit_safe_mode", correlation_id="s2")
    assert (answer["success"], mock_b.device.life.state) == (True, "OPERATIONAL")
    (_, status), _ = mock_b.command(25, "ON")
    assert status["state"] is True


@pytest.mark.parametrize("command", ["reboot", "resume_operation", "reset_config", "STATUS"])
def test_a_system_command_that_the_firmware_does_not_know_does_nothing(mock, mock_b, command):
    assert mock.tell("system/command", command=command) == []
    [(_, answer)] = mock_b.tell("system/command", command=command)
    assert (answer["success"], answer["error"]) == (False, "Unknown command")
    assert mock_b.device.life.state == "OPERATIONAL"


@pytest.mark.parametrize("command", ["status", "diagnostics", "get_config"])
def test_generation_b_answers_with_its_figures(mock_b, command):
    [(topic, answer)] = mock_b.tell("system/command", command=command)
    assert (topic, answer["success"], answer["uptime"]) == ("system/command/response", True, 60)
    assert (answer["sensor_count"], answer["actuator_count"]) == (1, 2)


def test_error_is_told_as_a_system_error(mock):
    said = mock.take(lifecycle.with_state(mock.device, "ERROR", "sensor bus dead", NOW))
    assert said[0] == (
        "system/error",
        {
            "esp_id": ID, "error_code": 4999, "severity": "error", "category": "MOCK", "message": "sensor bus dead",
            "ts": NOW,
        },
    )  # fmt: skip


def test_no_firmware_reads_a_processed_value(mock, mock_b):
    for one in (mock, mock_b):
        before = one.device
        assert one.tell("sensor/4/processed", value=7.1, unit="pH", quality="good", ts=NOW) == []
        assert one.device is before


@pytest.mark.parametrize("payload", ["", "[]", "{", "5", '{"value":NaN}'])
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


@pytest.mark.parametrize("fields", [{"name": "n" * 101}, {"subzone_id": "z" * 65}, {"gpio": 77}])
@pytest.mark.parametrize("scope", ["sensor", "actuator"])
def test_a_configuration_out_of_bounds_is_refused_item_by_item_and_the_mock_can_be_loaded_again(mock, scope, fields):
    kind = {"sensor": "ph", "actuator": "pump"}[scope]
    good = {"gpio": 32, f"{scope}_type": kind, f"{scope}_name": "good"}
    changed = {f"{scope}_name" if name == "name" else name: value for name, value in fields.items()}
    said = mock.tell("config", config_id="c1", **{f"{scope}s": [{**good, "gpio": 33, **changed}, good]})
    [refusal] = [body for _, body in said if body["type"] == scope]
    assert (refusal["status"], refusal["error_code"]) == ("error", "VALIDATION_FAILED")
    kept = mock.device.setup.sensors if scope == "sensor" else mock.device.setup.actuators
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
        "status": "offline", "reason": "unexpected_disconnect", "timestamp": NOW // 1000 - 60
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
    mock.tell("actuator/emergency", command="emergency_stop", auth_token=ID)
    text = mock.device.model_dump_json()
    assert MockDevice.model_validate_json(text) == mock.device


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


def test_without_acknowledgements_generation_b_goes_to_its_defaults_after_two_minutes(mock_b):
    mock_b.command(25, "ON")
    due = NOW + 120_000
    assert jobs(mock_b.device, NOW)[Job("isolation", ID)] == due
    assert mock_b.take(lifecycle.on_isolation(mock_b.device, due - 1)) == []
    said = mock_b.take(lifecycle.on_isolation(mock_b.device, due))
    assert [body["state"] for _, body in said] == [False, True], "the pump off, the valve in its default"
    assert Job("isolation", ID) not in jobs(mock_b.device, due)
    mock_b.now = due
    mock_b.tell("system/heartbeat/ack", status="online", handover_epoch=1)
    assert jobs(mock_b.device, due)[Job("isolation", ID)] == due + 120_000


def test_generation_a_waits_for_no_acknowledgement(mock):
    assert Job("isolation", ID) not in jobs(mock.device, NOW)


def test_a_server_that_is_offline_puts_generation_b_to_its_defaults(mock_b):
    mock_b.command(25, "ON")
    mock_b.tell("kaiser/god/server/status", status="online", timestamp=1)
    assert mock_b.device.actuator_life(25).state is True
    mock_b.tell("kaiser/god/server/status", status="offline", timestamp=1)
    assert mock_b.device.actuator_life(25).state is False


def test_a_new_connection_closes_the_gate_until_it_is_acknowledged_with_the_same_epoch(mock_b):
    mock_b.take(lifecycle.with_faults(mock_b.device, Faults(offline=True), NOW))
    hello = mock_b.take(lifecycle.with_faults(mock_b.device, Faults(), NOW + 1000))
    assert [(topic, body.get("handover_epoch")) for topic, body in hello] == [
        ("session/announce", 1),
        ("system/heartbeat", None),
    ]
    [(_, refused)] = mock_b.command(25, "ON")
    assert refused["message"] == "Rejected before execution (reason_code=REGISTRATION_PENDING)"
    assert mock_b.tell("system/heartbeat/ack", status="online", handover_epoch=2) == []
    assert mock_b.device.life.acked is False
    states = mock_b.tell("system/heartbeat/ack", status="online", handover_epoch=1)
    assert [topic for topic, _ in states] == ["actuator/25/status", "actuator/26/status"]


def test_a_command_that_was_refused_is_carried_out_when_it_comes_again_later(mock_b):
    mock_b.device = mock_b.device.lived(acked=False)
    body = {"command": "ON", "correlation_id": "c1"}
    [(_, refused)] = mock_b.tell("actuator/25/command", **body)
    assert refused["success"] is False
    mock_b.tell("system/heartbeat/ack", status="online", handover_epoch=1)
    _, (_, response) = mock_b.tell("actuator/25/command", **body)
    assert (response["success"], mock_b.device.actuator_life(25).state) == (True, True)


def test_a_mock_stored_before_there_were_generations_is_of_generation_a():
    stored = json.loads(device().setup.model_dump_json())
    del stored["firmware"]
    assert Setup.model_validate(stored).firmware == "a"
    assert Life.model_validate({"running": True, "sensors": {"4/ph": {"displayed": 7.1}}}).acked is False
