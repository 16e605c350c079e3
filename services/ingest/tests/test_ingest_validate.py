"""Validation: every alias, every rule, and what no input can do."""

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.contract.catalogue import UPLINKS
from kaiser_common.contract.topics import Kind, build, filters
from kaiser_ingest.domain.fields import keepable
from kaiser_ingest.domain.outgoing import to_outgoing
from kaiser_ingest.domain.validate import Accepted, Ignored, Rejection, validate

NOW = 1_767_225_700_000
ESP = "kaiser/god/esp/ESP_0A1B2C3D"
DATA = f"{ESP}/sensor/34/data"
READING: dict[str, Any] = {
    "ts": 1767225600,
    "esp_id": "ESP_0A1B2C3D",
    "gpio": 34,
    "sensor_type": "ph",
    "raw": 2048,
    "raw_mode": True,
}
BEAT: dict[str, Any] = {"ts": 1767225600, "uptime": 3600, "heap_free": 45000, "wifi_rssi": -45}
STATUS: dict[str, Any] = {"ts": 1767225600, "gpio": 5, "type": "pump", "state": True, "value": 0.5}


def outcome(topic: str, payload: dict[str, Any] | bytes, **options: Any) -> Accepted | Rejection | Ignored:
    """The single outcome of a message."""
    (only,) = validate(topic, payload if isinstance(payload, bytes) else json.dumps(payload).encode(), NOW, **options)
    return only


def message(topic: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The normalised message of a payload that must be accepted."""
    accepted = outcome(topic, payload)
    assert isinstance(accepted, Accepted), accepted
    return accepted.message.model_dump()


def code(topic: str, payload: dict[str, Any] | bytes) -> int:
    """The code of a payload that must be rejected."""
    rejection = outcome(topic, payload)
    assert isinstance(rejection, Rejection), rejection
    return int(rejection.code)


@pytest.mark.parametrize(
    ("sent", "ts", "clock"),
    [
        (1767225600, 1767225600000, "device"),
        (1767225600.25, 1767225600250, "device"),
        (1767225600123, 1767225600123, "device"),
        (1767225600123.0, 1767225600123, "device"),
        (0, NOW, "server"),
        (0.0, NOW, "server"),
        (123, NOW, "server"),
        (NOW + 300_000, NOW + 300_000, "device"),
        (NOW + 300_001, NOW, "server"),
        (2085978496, NOW, "server"),
        (-3600, NOW, "server"),
        (-1, NOW, "server"),
        (1451606400, NOW, "server"),
        (1577836799, NOW, "server"),
        (1577836800, 1577836800000, "device"),
        (2**80, NOW, "server"),
        (1e300, NOW, "server"),
    ],
)
def test_a_time_is_ms_whatever_its_form(sent: float, ts: int, clock: str) -> None:
    found = message(DATA, {**READING, "ts": sent})
    assert (found["ts"], found["clock"]) == (ts, clock)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (10**17, 2**53 - 1),
        (-(10**17), -(2**53) + 1),
        (2**53 - 1, 2**53 - 1),
        (2**80, 2**53 - 1),
        (1e300, 2**53 - 1),
        (-1e300, -(2**53) + 1),
        (99_999_999_999, 99_999_999_999_000),
    ],
)
def test_a_time_of_any_size_is_kept_as_a_number_that_json_clients_keep_exactly(sent: float, kept: int) -> None:
    found = message(DATA, {**READING, "ts": sent})
    assert (found["ts"], found["clock"], found["device_ts"]) == (NOW, "server", kept)
    assert int(float(found["device_ts"])) == kept, "as JavaScript reads it"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"ts": True}, 5206),
        ({"ts": "1767225600"}, 5206),
        ({"ts": None}, 5205),
        ({"gpio": None}, 5205),
        ({"sensor_type": None}, 5205),
        ({"sensor_type": 7}, 5206),
        ({"sensor_type": "a b\r\nX: y"}, 5203),
        ({"raw_mode": 1}, 5206),
        ({"raw": True}, 5206),
        ({"raw_value": "2"}, 5206),
        ({"value": [1]}, 5206),
        ({"gpio": "34"}, 5206),
        ({"gpio": 35}, 5211),
        ({"esp_id": 34}, 5206),
    ],
)
def test_a_bad_field_of_a_reading_has_its_code(change: dict[str, Any], expected: int) -> None:
    assert code(DATA, {**READING, **change}) == expected


@pytest.mark.parametrize(
    ("change", "odd", "found"),
    [
        ({"unit": "x" * 17}, "unit", {"unit": None}),
        ({"zone_id": "x" * 65}, "zone_id", {"zone_id": None}),
        ({"sensor_name": "a\x00b", "unit": "°C"}, "sensor_name", {"sensor_name": None, "unit": "°C", "raw": 2048}),
        ({"meta": {"a": {"b": ["\x00"]}}}, "meta", {"meta": None}),
        ({"meta": {"a": 2**53}}, "meta", {"meta": None}),
        ({"seq": -1}, "seq", {"seq": None}),
        ({"seq": 2**53}, "seq", {"seq": None}),
        ({"unit": 5}, "unit", {"unit": None}),
        ({"quality": "fine"}, "quality", {"quality": "unknown", "meta": {"quality": "fine"}}),
        ({"quality": "fine", "meta": {"a": 1}}, "quality", {"meta": {"a": 1, "quality": "fine"}}),
        ({"meta": []}, "meta", {"meta": None}),
        ({"meta": {"a": "x" * 2048}}, "meta", {"meta": None}),
        ({"raw": 1e16, "value": 3.0}, "value", {"raw": None, "value": None, "quality": "error"}),
        ({"raw": 2**63, "value": 3.0}, "value", {"raw": None, "value": None, "quality": "error"}),
        ({"value": -(10**300)}, "value", {"raw": 2048, "value": None, "quality": "error"}),
        ({"meta": {"a": [2**63]}}, "meta", {"meta": None}),
        ({"value": -1e200}, "value", {"raw": 2048, "value": None, "quality": "error"}),
        ({"sensor_type": "DS18B20", "raw": 4294967216}, "raw", {"raw": -80}),
        ({"i2c_address": 300}, "i2c_address", {"i2c_address": None, "address": ""}),
        ({"i2c_address": "what"}, "i2c_address", {"i2c_address": None, "address": ""}),
        ({"onewire_address": "28ff"}, "onewire_address", {"onewire_address": "28ff", "address": ""}),
        ({"sensor_name": 5}, "sensor_name", {"sensor_name": None}),
    ],
)
def test_what_makes_no_sense_beside_a_reading_is_left_out_and_named(
    change: dict[str, Any], odd: str, found: dict[str, Any]
) -> None:
    accepted = outcome(DATA, {**READING, **change})
    assert isinstance(accepted, Accepted), accepted
    assert accepted.odd == (odd,)
    assert {name: getattr(accepted.message, name) for name in found} == found


@pytest.mark.parametrize("figure", ["1e999", "-1e400", "9" * 400])
def test_a_number_too_large_for_a_double_is_out_of_range(figure: str) -> None:
    payload = json.dumps(READING).replace("2048", figure).encode()
    assert code(DATA, payload) == 5207


@pytest.mark.parametrize("value", [10**400, -(10**400), 2**63, 2**31, -1, -0.6, 1e300])
@pytest.mark.parametrize(
    ("topic", "field", "payload"),
    [
        ("system/heartbeat", "uptime", {}),
        ("system/heartbeat", "active_handover_epoch", {}),
        ("system/diagnostics", "heap_free", {}),
        ("actuator/5/status", "runtime_ms", STATUS),
        ("config_response", "count", {"status": "success", "type": "sensor"}),
        ("onewire/scan_result", "pin", {"devices": []}),
    ],
)
def test_a_count_of_any_size_never_stops_ingest(topic: str, field: str, payload: dict[str, Any], value: float) -> None:
    accepted = outcome(f"{ESP}/{topic}", {**payload, field: value})
    assert isinstance(accepted, Accepted)
    runtime_fits = field == "runtime_ms" and value == 2**31
    assert accepted.odd == (() if runtime_fits else (field,))


def nested(depth: int) -> Any:
    """Lists in lists."""
    return [] if depth == 1 else [nested(depth - 1)]


@pytest.mark.parametrize(
    ("extra", "kept"),
    [
        ({"boots": 3, "ports": [1, {"a": None}]}, {"boots": 3, "ports": [1, {"a": None}]}),
        ({"boots": 3, "x": 2**64}, {"boots": 3}),
        ({"boots": 3, "x": {"y": [10**400]}}, {"boots": 3}),
        ({"boots": 3, "x": nested(16)}, {"boots": 3, "x": nested(16)}),
        ({"boots": 3, "x": nested(17)}, {"boots": 3}),
        ({"boots": 3, "x": nested(190)}, {"boots": 3}),
    ],
)
def test_details_hold_what_any_reader_of_json_takes(extra: dict[str, Any], kept: dict[str, Any]) -> None:
    accepted = outcome(f"{ESP}/system/heartbeat", extra)
    assert isinstance(accepted, Accepted)
    assert accepted.message.model_dump()["details"] == kept
    assert accepted.odd == (() if kept == extra else ("details",))


@pytest.mark.parametrize("gpio", ["99", "emergency", "x", "-1"])
def test_an_alert_is_known_as_one_though_its_gpio_cannot_be(gpio: str) -> None:
    rejection = outcome(f"{ESP}/actuator/{gpio}/alert", b'{"alert_type":"emergency_stop"}')
    assert isinstance(rejection, Rejection)
    assert (rejection.code, rejection.kind, rejection.esp_id) == (5202, Kind.ACTUATOR_ALERT, "ESP_0A1B2C3D")
    other = outcome(f"{ESP}/actuator/{gpio}/status", b"{}")
    assert isinstance(other, Rejection)
    assert other.kind is None


@pytest.mark.parametrize(
    ("change", "address"),
    [
        ({}, ""),
        ({"onewire_address": "28ff641e8d3c0c79"}, "28FF641E8D3C0C79"),
        ({"i2c_address": 69}, "69"),
        ({"i2c_address": "0x44"}, "68"),
        ({"i2c_address": "68"}, "68"),
    ],
)
def test_the_address_of_a_sensor_has_one_form(change: dict[str, Any], address: str) -> None:
    assert message(DATA, {**READING, **change})["address"] == address


def test_a_time_that_is_not_believed_is_kept_beside_the_receive_time() -> None:
    assert message(DATA, {**READING, "ts": 2085978496})["device_ts"] == 2085978496000
    assert message(DATA, {**READING, "ts": 734})["device_ts"] == 734000
    assert message(DATA, READING)["device_ts"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"unit": "x" * 16},
        {"esp_id": None},
        {"meta": {"a": "x" * 2000}},
        {"quality": None},
        {"raw": None, "raw_value": 1.5},
        {"raw": -1},
        {"raw": 1e15},
        {"i2c_address": "0x44"},
        {"gpio": 34.0},
        {"foo": "\x00"},
        {"foo": {"a": {"a": 1}}},
        {"note": "a:b"},
    ],
)
def test_what_the_contract_allows_in_a_reading_is_accepted(change: dict[str, Any]) -> None:
    message(DATA, {**READING, **change})


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", 5209),
        (b"nonsense", 5209),
        (b'"text"', 5206),
        (b"null", 5206),
        (b'{"ts":1,"ts":1}', 5209),
        (b'{"a":{"b":1,"b":2}}', 5209),
        (b'{"a":Infinity}', 5209),
        (b'{"a":-Infinity}', 5209),
        (b'{"a":"\xff"}', 5209),
        (b"\xef\xbb\xbf{}", 5209),
        (b"[" * 5000, 5209),
        (b'{"a":' + b"9" * 5000 + b"}", 5209),
        (b"{}", 5205),
        (b'{"a":"' + b"x" * 16_377 + b'"}', 5210),
        (b'{"a":"' + b"x" * 16_376 + b'"}', 5205),
    ],
)
def test_bytes_that_are_no_json_object_have_their_code(payload: bytes, expected: int) -> None:
    assert code(DATA, payload) == expected


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("", 5212),
        ("kaiser", 5212),
        ("kaiser/god/esp/ESP_1/sensor/34", 5212),
        ("kaiser/god/esp/ESP_1/system/other/ack", 5212),
        ("kaiser/g-d/esp/ESP_1/sensor/34/data", 5212),
        (f"kaiser/{'k' * 33}/esp/ESP_1/sensor/34/data", 5212),
        ("other/god/esp/ESP_1/sensor/34/data", 5212),
        ("kaiser/god/dev/ESP_1/sensor/34/data", 5212),
        ("kaiser/god/esp/ESP_/sensor/34/data", 5201),
        (f"kaiser/god/esp/ESP_{'A' * 28}/sensor/34/data", 5201),
        ("kaiser/god/esp/FOO_1/heartbeat", 5201),
        ("kaiser/god/esp/ESP_1.>/heartbeat", 5201),
        ("kaiser/god/esp/ESP_1\n/heartbeat", 5201),
        ("kaiser/god/esp/ESP_1/sensor/034/data", 5202),
        ("kaiser/god/esp/ESP_1/sensor/-1/data", 5202),
        ("kaiser/god/esp/ESP_1/sensor/49/data", 5202),
        ("kaiser/god/esp/ESP_1/sensor/٣/data", 5202),
        ("kaiser/god/esp/ESP_1/sensor/255/data", 5202),
        ("kaiser/god/esp/ESP_1/actuator/255/status", 5202),
    ],
)
def test_a_bad_topic_has_its_code(topic: str, expected: int) -> None:
    assert code(topic, b"{}") == expected


def test_a_bad_reading_in_a_batch_is_rejected_alone() -> None:
    batch = {
        "ts": 1767225600,
        "esp_id": "ESP_0A1B2C3D",
        "sensors": [
            {"gpio": 4, "sensor_type": "DS18B20", "value": 21.5, "unit": "°C"},
            {"gpio": 99, "sensor_type": "ph", "value": 7.2},
            {"gpio": 34, "sensor_type": "ph"},
            {"gpio": 34, "sensor_type": "", "value": 1},
            7,
            {"gpio": 35, "sensor_type": "ec", "raw": 1200},
            {"gpio": 35, "sensor_type": "ec", "raw": 1201},
        ],
    }
    outcomes = validate(f"{ESP}/sensor/batch", json.dumps(batch).encode(), NOW)
    readings = [each.message.model_dump() for each in outcomes if isinstance(each, Accepted)]
    rejections = [each for each in outcomes if isinstance(each, Rejection)]
    assert [(r["gpio"], r["sensor_type"], r["value"], r["raw"], r["raw_mode"], r["ts"]) for r in readings] == [
        (4, "DS18B20", 21.5, None, False, 1767225600000),
        (35, "ec", None, 1200, True, 1767225600000),
    ]
    assert [int(each.code) for each in rejections] == [5202, 5205, 5203, 5206, 5208]
    assert json.loads(rejections[0].payload) == {
        "ts": 1767225600,
        "esp_id": "ESP_0A1B2C3D",
        "sensors": [{"gpio": 99, "sensor_type": "ph", "value": 7.2}],
    }
    assert {each.kind for each in outcomes if isinstance(each, Accepted)} == {Kind.SENSOR_DATA}


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"sensors": {}}, 5206), ({"sensors": None}, 5205), ({"esp_id": None}, 5205), ({"ts": None}, 5205)],
)
def test_a_bad_batch_is_rejected_whole(change: dict[str, Any], expected: int) -> None:
    assert code(f"{ESP}/sensor/batch", {"ts": 1, "esp_id": "ESP_0A1B2C3D", "sensors": [], **change}) == expected


def test_an_empty_batch_is_rejected_and_not_silently_gone() -> None:
    assert code(f"{ESP}/sensor/batch", {"ts": 1, "esp_id": "ESP_0A1B2C3D", "sensors": []}) == 5207


@pytest.mark.parametrize(
    ("word", "state"),
    [(None, None), ("Normal", "normal"), ("clearing", "clearing"), ("EMERGENCY", "active"), (3, "active")],
)
def test_only_the_word_normal_of_an_actuator_says_that_it_is_in_no_emergency(word: Any, state: str | None) -> None:
    accepted = outcome(f"{ESP}/actuator/5/status", {**STATUS, "emergency": word})
    assert isinstance(accepted, Accepted)
    assert accepted.message.model_dump()["emergency"] == state
    assert ("emergency" in accepted.odd) is (word in ("EMERGENCY", 3))


@pytest.mark.parametrize(
    ("sent", "state", "value"),
    [
        ({"state": True, "value": 0.75}, True, 0.75),
        ({"state": "on", "pwm": 255, "value": None}, True, 1.0),
        ({"state": "off", "pwm": 0, "value": None}, False, 0.0),
        ({"state": "ON", "value": 1}, True, 1.0),
    ],
)
def test_an_actuator_status_is_normalised(sent: dict[str, Any], state: bool, value: float) -> None:
    found = message(f"{ESP}/actuator/5/status", {**STATUS, **sent})
    assert (found["state"], found["value"], found["emergency"]) == (state, value, None)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"value": 1.01}, 5207),
        ({"value": None, "pwm": 256}, 5207),
        ({"value": None}, 5205),
        ({"type": None}, 5205),
        ({"type": ""}, 5204),
        ({"state": 1}, 5206),
        ({"gpio": None}, 5205),
    ],
)
def test_a_bad_actuator_status_has_its_code(change: dict[str, Any], expected: int) -> None:
    assert code(f"{ESP}/actuator/5/status", {**STATUS, **change}) == expected


@pytest.mark.parametrize(
    ("sent", "alert_type", "text"),
    [
        ({"alert_type": "emergency_stop"}, "emergency_stop", None),
        ({"type": "overrun", "message": "m"}, "runtime_protection", "m"),
        ({"type": "verification_failed"}, "verification_failed", None),
        ({"type": "offline_rule_hold"}, "offline_rule_hold", None),
        ({"type": "fault"}, "hardware_error", None),
        ({"type": "flood", "message": "m"}, "other", "flood: m"),
        ({"type": "flood"}, "other", "flood"),
    ],
)
def test_an_alert_type_is_normalised(sent: dict[str, Any], alert_type: str, text: str | None) -> None:
    found = message(f"{ESP}/actuator/25/alert", {"gpio": 25, **sent})
    assert (found["alert_type"], found["message"], found["ts"], found["clock"]) == (alert_type, text, NOW, "server")


def test_a_command_response_may_name_the_command_in_any_case() -> None:
    found = message(f"{ESP}/actuator/25/response", {"gpio": 25, "command": "pwm", "success": False, "duration": 1.5})
    assert (found["command"], found["success"], found["duration"]) == ("PWM", False, 1.5)
    jump = message(f"{ESP}/actuator/25/response", {"gpio": 25, "command": "jump", "success": True})
    assert jump["command"] == "JUMP"


def test_an_id_that_is_too_long_is_cut_and_marked() -> None:
    sent = {"gpio": 25, "command": "ON", "success": True, "correlation_id": "x" * 9000}
    accepted = outcome(f"{ESP}/actuator/25/response", sent)
    assert isinstance(accepted, Accepted)
    assert accepted.odd == ("correlation_id",)
    assert accepted.message.model_dump()["correlation_id"] == "x" * 127 + "…"


@pytest.mark.parametrize(
    ("change", "name", "found"),
    [
        ({"wifi_rssi": 4294967237}, "wifi_rssi", None),
        ({"wifi_rssi": 31}, "wifi_rssi", None),
        ({"wifi_rssi": None}, "wifi_rssi", None),
        ({"uptime": -2147483}, "uptime", None),
        ({"sensor_count": 4294967295}, "sensor_count", None),
        ({"heap_free": "much"}, "heap_free", None),
        ({"uptime": 3600.0}, "uptime", 3600),
        ({"active_handover_epoch": 3}, "active_handover_epoch", 3),
        ({"boot_sequence_id": "b3-r1"}, "boot_sequence_id", "b3-r1"),
        ({"ts": "soon"}, "ts", NOW),
        ({"zone_id": "null"}, "zone_id", ""),
    ],
)
def test_every_figure_of_a_heartbeat_is_optional(change: dict[str, Any], name: str, found: Any) -> None:
    assert message(f"{ESP}/system/heartbeat", {**BEAT, **change})[name] == found


def test_an_error_code_printed_unsigned_is_negative() -> None:
    sent = {"error_code": 4294967295, "severity": 7, "message": "bus"}
    found = message(f"{ESP}/system/error", sent)
    assert (found["error_code"], found["severity"]) == (-1, "critical")
    assert code(f"{ESP}/system/error", {**sent, "error_code": 2**32}) == 5207


@pytest.mark.parametrize(
    ("given", "kept"),
    [("WARN", "warning"), ("fatal", "error"), ("", "error"), (-1, "error"), (0, "info"), (3, "critical")],
)
def test_a_device_error_stands_whatever_word_it_has_for_its_severity(given: Any, kept: str) -> None:
    sent = {"error_code": 1002, "severity": given, "message": "bus"}
    assert message(f"{ESP}/system/error", sent)["severity"] == kept
    assert code(f"{ESP}/system/error", {**sent, "severity": []}) == 5206


@pytest.mark.parametrize("name", ["relay.1", "a" * 40])
def test_any_plain_actuator_type_is_taken(name: str) -> None:
    assert message(f"{ESP}/actuator/5/status", {**STATUS, "type": name})["actuator_type"] == name


@pytest.mark.parametrize("name", ["a" * 41, "a b", "relay:1"])
def test_another_actuator_type_is_other(name: str) -> None:
    assert message(f"{ESP}/actuator/5/status", {**STATUS, "type": name})["actuator_type"] == "other"


@pytest.mark.parametrize(
    ("tail", "sent", "found"),
    [
        (
            "actuator/emergency/response",
            {"status": "emergency_cleared", "timestamp": 734},
            {"answer": "response", "status": "emergency_cleared"},
        ),
        (
            "actuator/emergency/error",
            {"error": "unauthorized", "message": "Invalid auth_token"},
            {"answer": "error", "error": "unauthorized"},
        ),
        ("actuator/emergency/ack", {"outcome": "executed", "gpio_count": 3}, {"answer": "ack", "gpio_count": 3}),
        ("actuator/recovery_confirm", {"state": "cleared"}, {"answer": "recovery", "state": "cleared"}),
        ("system/heartbeat_metrics", {"publish_queue_hwm": 3}, {"metrics": True, "details": {"publish_queue_hwm": 3}}),
        ("session/announce", {"handover_epoch": 2, "reason": "boot"}, {"handover_epoch": 2, "reason": "boot"}),
        (
            "system/intent_outcome",
            {"outcome": "rejected", "correlation_id": "c", "code": "X"},
            {"outcome": "rejected", "correlation_id": "c", "code": "X", "lifecycle": False},
        ),
        ("system/lifecycle", {"event": "boot", "correlation_id": "c"}, {"outcome": "boot", "lifecycle": True}),
        (
            "onewire/scan_result",
            {"devices": [{"rom_code": "28FF641E8D3C0C79", "pin": 4}, 7]},
            {"devices": ["28FF641E8D3C0C79"]},
        ),
        ("zone/ack", {"status": "error", "message": "no"}, {"zone_id": "", "message": "no"}),
        ("zone/ack", {"status": "zone_removed", "zone_id": "null"}, {"zone_id": ""}),
        ("subzone/ack", {"status": "subzone_assigned", "subzone_id": "a", "timestamp": 734}, {"subzone_id": "a"}),
        ("system/command/response", {"status": "factory_reset_initiated"}, {"success": True, "command": None}),
        ("system/command/response", {"error": "scan failed", "pin": 4}, {"success": False, "details": {"pin": 4}}),
        ("config_response", {"status": "error", "type": "sensor"}, {"count": 0, "message": ""}),
        (
            "config_response",
            {"status": "error", "type": "sensor", "message": "m", "error_code": "MISSING_FIELD"},
            {"error_code": "MISSING_FIELD"},
        ),
    ],
)
def test_each_answer_of_a_firmware_is_understood(tail: str, sent: dict[str, Any], found: dict[str, Any]) -> None:
    normalised = message(f"{ESP}/{tail}", sent)
    assert {name: normalised[name] for name in found} == found


def test_queue_pressure_is_counted_and_not_published() -> None:
    assert outcome(f"{ESP}/system/queue_pressure", {"event": "entered_pressure"}) == Ignored("queue_pressure")


PROBE = {"gpio": 4, "sensor_type": "ds18b20", "value": 20.25, "onewire_address": "28AA0102030405C1"}
ALIAS = {"gpio": 4, "sensor_type": "DS18B20", "value": 20.25, "onewire_address": "28aa0102030405c1"}


@pytest.mark.parametrize(
    ("ts", "second", "values", "codes"),
    [
        (1767225600, {}, [20.25, 20.25], []),
        (1767225600, {"unit": "°C", "quality": "good"}, [20.25, 20.25], []),
        (1767225600, {"value": 61.5}, [20.25], [5208]),
        (1767225600, {"raw": 324}, [20.25], [5208]),
        (1767225600, {"value": 61.5, "onewire_address": "28AA0102030405C2"}, [20.25, 61.5], []),
        (0, {"value": 61.5}, [20.25, 61.5], []),
    ],
)
def test_of_a_sensor_twice_in_a_batch_an_equal_reading_is_a_repetition_and_another_is_rejected(
    ts: int, second: dict[str, Any], values: list[float], codes: list[int]
) -> None:
    batch = {"ts": ts, "esp_id": "ESP_0A1B2C3D", "sensors": [PROBE, {**ALIAS, **second}]}
    outcomes = validate(f"{ESP}/sensor/batch", json.dumps(batch).encode(), NOW)
    readings = [each for each in outcomes if isinstance(each, Accepted)]
    assert [each.message.value for each in readings] == values  # type: ignore[attr-defined]
    assert [int(each.code) for each in outcomes if isinstance(each, Rejection)] == codes


@pytest.mark.parametrize(
    ("topic", "payload", "field"),
    [
        ("zone/ack", {"status": "zone_assigned", "zone_id": 5}, "zone_id"),
        ("subzone/ack", {"status": "subzone_assigned", "subzone_id": ["bed"]}, "subzone_id"),
        ("actuator/emergency/response", {"status": True}, "status"),
        ("actuator/emergency/error", {"error": 1}, "error"),
        ("actuator/recovery_confirm", {"state": {}}, "state"),
        ("system/command/response", {"command": 7}, "command"),
    ],
)
def test_an_answer_whose_meaning_is_of_another_type_is_rejected(
    topic: str, payload: dict[str, Any], field: str
) -> None:
    """A zone that is no text does not mean that the device has left its zone."""
    rejection = outcome(f"{ESP}/{topic}", payload)
    assert isinstance(rejection, Rejection), rejection
    assert (int(rejection.code), rejection.field) == (5206, field)


@pytest.mark.parametrize(
    ("topic", "payload", "field"),
    [
        ("zone/ack", {"status": "zone_assigned", "zone_id": "a\x00"}, "zone_id"),
        ("actuator/emergency/response", {"status": "emergency_cleared\x00"}, "status"),
        ("system/will", {"status": "off\x00line"}, "status"),
    ],
)
def test_a_required_text_that_no_table_can_store_rejects_its_message(
    topic: str, payload: dict[str, Any], field: str
) -> None:
    rejection = outcome(f"{ESP}/{topic}", payload)
    assert isinstance(rejection, Rejection), rejection
    assert (int(rejection.code), rejection.field) == (5207, field)


def test_an_alert_stands_without_the_text_that_no_table_can_store() -> None:
    alert = {"alert_type": "emergency_stop", "message": "float\x00switch"}
    accepted = outcome(f"{ESP}/actuator/25/alert", alert)
    assert isinstance(accepted, Accepted), accepted
    assert (accepted.message.alert_type, accepted.message.message) == ("emergency_stop", None)  # type: ignore[attr-defined]
    assert accepted.odd == ("message",)


def test_each_reading_of_a_batch_names_what_was_odd_about_it() -> None:
    sensors = [{"gpio": 4, "sensor_type": "ph", "value": 7}, {"gpio": 5, "sensor_type": "ph", "value": 7, "unit": 1}]
    batch = {"ts": 1767225600, "esp_id": "ESP_0A1B2C3D", "sensors": sensors}
    outcomes = validate(f"{ESP}/sensor/batch", json.dumps(batch).encode(), NOW)
    assert [each.odd for each in outcomes if isinstance(each, Accepted)] == [(), ("unit",)]


def test_a_batch_has_at_most_a_hundred_readings() -> None:
    item = {"gpio": 4, "sensor_type": "ph", "value": 7}
    batch = {"ts": 1767225600, "esp_id": "ESP_0A1B2C3D", "sensors": [item] * 101}
    assert code(f"{ESP}/sensor/batch", batch) == 5207


def test_a_heartbeat_keeps_its_flags_and_nothing_unknown() -> None:
    found = message(
        f"{ESP}/heartbeat",
        {**BEAT, "active_actuators": 2, "mqtt_circuit_breaker_open": True, "persistence_degraded": False, "x": 1},
    )
    assert found["flags"] == {"mqtt_circuit_breaker_open": True, "persistence_degraded": False}
    assert found["actuator_count"] == 2
    assert found["details"]["x"] == 1
    assert "x" not in found


def test_the_older_single_failed_item_is_one_of_the_failures() -> None:
    found = message(
        f"{ESP}/config_response",
        {"status": "error", "type": "sensor", "count": 0, "message": "m", "failed_item": {"type": "sensor", "gpio": 5}},
    )
    assert found["failed_count"] == 1
    assert found["failures"] == [{"type": "sensor", "gpio": 5, "error_code": None, "error": None, "detail": "m"}]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (
            "sensor/34/response",
            {"request_id": "r", "gpio": 34, "command": "measure", "success": True},
        ),
        ("system/error", {"error_code": 1002, "severity": "error", "message": "m"}),
        ("system/response", {"command": "reboot"}),
        ("session/announce", {"handover_epoch": 1}),
        ("system/intent_outcome", {"outcome": "failed", "correlation_id": "c"}),
        ("onewire/scan_result", {"devices": []}),
        ("subzone/ack", {"status": "subzone_assigned", "subzone_id": "a"}),
        ("actuator/emergency/ack", {"outcome": "executed"}),
        ("zone/ack", {"status": "zone_assigned", "zone_id": "z"}),
        ("system/will", {"status": "offline"}),
        ("config_response", {"status": "success", "type": "sensor"}),
    ],
)
def test_a_message_lacks_no_required_field(topic: str, payload: dict[str, Any]) -> None:
    message(f"{ESP}/{topic}", payload)
    for name in payload:
        assert code(f"{ESP}/{topic}", {other: value for other, value in payload.items() if other != name}) == 5205


def test_a_discovered_device_is_named_by_the_payload() -> None:
    topic = "kaiser/god/discovery/esp32_nodes"
    found = outcome(topic, {"esp_id": "ESP_1"})
    assert isinstance(found, Accepted)
    assert (found.kind, found.esp_id) == (Kind.DISCOVERY, "ESP_1")
    assert (code(topic, {"esp_id": "esp-1"}), code(topic, {}), code(topic, {"esp_id": 1})) == (5201, 5205, 5201)


def test_retained_messages_are_ignored_but_for_wills() -> None:
    assert outcome(DATA, READING, retained=True) == Ignored("retained")
    will = outcome(f"{ESP}/system/will", {"status": "offline"}, retained=True)
    assert isinstance(will, Accepted)
    assert will.message.model_dump()["retained"] is True


def test_a_retained_will_is_taken_back_by_an_empty_payload_without_a_rejection() -> None:
    assert validate(f"{ESP}/system/will", b"", NOW) == (Ignored("will taken back"),)
    [other] = validate(f"{ESP}/system/heartbeat", b"", NOW)
    assert isinstance(other, Rejection)


DOWNLINKS = (
    Kind.ACTUATOR_COMMAND,
    Kind.EMERGENCY,
    Kind.SENSOR_COMMAND,
    Kind.CONFIG,
    Kind.ZONE_ASSIGN,
    Kind.SYSTEM_COMMAND,
)


@pytest.mark.parametrize("kind", DOWNLINKS)
def test_a_mock_device_hears_what_a_device_hears(kind: Kind) -> None:
    topic = build(kind, "god", "MOCK_1", 5)
    found = outcome(topic, b'{"command":"ON"}')
    assert isinstance(found, Accepted)
    assert found.kind is kind
    assert found.message.model_dump() == {
        "kaiser_id": "god",
        "esp_id": "MOCK_1",
        "topic": topic,
        "payload": '{"command":"ON"}',
        "received_at": NOW,
    }
    assert outcome(build(kind, "god", "ESP_1", 5), b"\xff") == Ignored("downlink")
    assert code(topic, b"\xff") == 5209


def test_a_broadcast_is_taken() -> None:
    found = outcome("kaiser/broadcast/emergency", b'{"action":"stop_all"}')
    assert isinstance(found, Accepted)
    assert found.esp_id == "broadcast"


TOPICS = st.one_of(
    st.text(max_size=60),
    st.sampled_from(filters()).flatmap(
        lambda topic: st.tuples(
            st.sampled_from(["god", "k_1", "", "a b"]),
            st.sampled_from(["ESP_1", "MOCK_1", "SIM_9", "esp", "ESP_*"]),
            st.sampled_from(["0", "34", "255", "x", "99"]),
        ).map(lambda levels: topic.replace("+", "{}").format(*levels))
    ),
)
HUGE = st.sampled_from([10**400, -(10**400), 10**4200, 2**63, -(2**63) - 1, 1.7e308])
"""Integers beyond every float, and figures at the end of doubles."""
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | HUGE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    """ts timestamp esp_id gpio sensor_type raw raw_value raw_mode value unit quality meta sensors state type pwm
    command success alert_type message uptime heap_free free_heap wifi_rssi status count zone_id error_code severity
    request_id failures failed_item i2c_address network_degraded correlation_id handover_epoch outcome devices
    subzone_id onewire_address""".split()  # noqa: SIM905
)
PLAUSIBLE = st.sampled_from(
    [
        1767225600,
        0,
        34,
        5,
        True,
        "ESP_1",
        "MOCK_1",
        "ph",
        "on",
        "success",
        "ON",
        0.5,
        {"gpio": 1},
        [{"gpio": 4}],
        "error",
    ]
)
OBJECTS = st.dictionaries(NAMES, st.one_of(PLAUSIBLE, VALUES), max_size=12).map(
    lambda found: json.dumps(found).encode()
)


@given(topic=TOPICS, payload=st.one_of(st.binary(max_size=200), OBJECTS), retained=st.booleans())
def test_no_topic_and_no_bytes_make_validation_raise(topic: str, payload: bytes, retained: bool) -> None:
    outcomes = validate(topic, payload, NOW, retained)
    for each in outcomes:
        if isinstance(each, Accepted):
            assert type(each.message).model_validate_json(each.message.model_dump_json()) == each.message
            assert keepable(json.loads(to_outgoing(each, "d").body), 20)
        elif isinstance(each, Rejection):
            assert set(each.detail) & set(string.printable)


LEAST = {build(row.kind, "god", "ESP_1", 4): dict(row.required) for row in UPLINKS if row.becomes == "a message"}


@given(topic=st.sampled_from(sorted(LEAST)), extra=st.dictionaries(NAMES, st.one_of(PLAUSIBLE, VALUES), max_size=4))
def test_no_field_beside_the_required_ones_makes_validation_raise(topic: str, extra: dict[str, Any]) -> None:
    for each in validate(topic, json.dumps({**extra, **LEAST[topic]}).encode(), NOW):
        if isinstance(each, Accepted):
            body = to_outgoing(each, "d").body
            assert type(each.message).model_validate_json(body).esp_id == "ESP_1"  # type: ignore[attr-defined]
            assert keepable(json.loads(body), 20)


FINITE = st.floats(-1e15, 1e15, allow_nan=False) | st.integers(-(10**15), 10**15)
READINGS = st.fixed_dictionaries(
    {
        "ts": st.integers(1_000_000_000_000, NOW) | st.just(0),
        "esp_id": st.just("ESP_0A1B2C3D"),
        "gpio": st.just(34),
        "sensor_type": st.text(string.ascii_letters, min_size=1, max_size=20),
        "raw": FINITE,
        "raw_mode": st.booleans(),
    },
    optional={
        "raw_value": FINITE,
        "value": FINITE,
        "unit": st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=16),
        "meta": st.dictionaries(st.text(string.ascii_letters), FINITE | st.text(string.printable), max_size=5),
    },
)


@given(sent=READINGS)
def test_every_valid_reading_is_accepted_and_comes_through_the_bus_unchanged(sent: dict[str, Any]) -> None:
    accepted = outcome(DATA, sent)
    assert isinstance(accepted, Accepted), accepted
    assert type(accepted.message).model_validate_json(accepted.message.model_dump_json()) == accepted.message
    assert accepted.message.model_dump()["raw"] == sent["raw"]
