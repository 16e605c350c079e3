"""Every field of every kind of message with the largest, smallest and longest values, through the running stack.

The messages are the handed vectors of tests/golden, so a field that is added to them is covered. Each integer, number
and text field, also within lists and objects, is sent at every bound that `kaiser_common.contract.bounds` states,
beside it, and far beyond it, each message with a time of its own. Whatever ingest lets through, each consumer takes and
each table: no process ends, nothing is rejected behind ingest, and no list of the API answers 5xx.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import nats
import pytest
from claimed import holds
from harness import Message, Stack, payload_of, reading, wait_until
from kaiser_common.contract import bounds

GOLDEN = Path(__file__).parents[1] / "golden"
VECTORS = [
    vector
    for name in ("device-messages.json", "firmware-messages.json")
    for vector in json.loads((GOLDEN / name).read_text())
    if vector["expect"] == "accept"
]
_T = "kaiser/god/esp/{esp_id}"
_TIMES = ("ts", "timestamp", "ts_ms")
_TIME_S = 1_767_225_600
"""2026-01-01: the vectors' times lie within an hour of it. Each is moved to a time of its own."""
WHOLE: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        f"{_T}/sensor/4/data",
        {"ts": _TIME_S, "gpio": 4, "sensor_type": "ds18b20", "raw": 340, "raw_value": 21.5, "raw_mode": True}
        | {"value": 21.5, "unit": "°C", "sensor_name": "a", "zone_id": "a", "subzone_id": "a", "i2c_address": 1}
        | {"onewire_address": "28FF641E8D3C0C79"},
    ),
    (
        f"{_T}/sensor/4/response",
        {"gpio": 4, "request_id": "a", "command": "measure", "success": True, "message": "a"},
    ),
    (
        f"{_T}/actuator/5/status",
        {"gpio": 5, "actuator_type": "pump", "state": True, "value": 0.5, "last_command": "a", "runtime_ms": 1}
        | {"error": "a"},
    ),
    (
        f"{_T}/actuator/5/response",
        {"gpio": 5, "command": "ON", "success": True, "value": 0.5, "duration": 1.5, "message": "a"}
        | {"correlation_id": "a", "issued_by": "a"},
    ),
    (f"{_T}/actuator/5/alert", {"alert_type": "other", "message": "a"}),
    (
        f"{_T}/actuator/emergency/response",
        {"status": "a", "error": "a", "outcome": "a", "state": "a", "command": "a", "message": "a"}
        | {"correlation_id": "a", "gpio_count": 1},
    ),
    (
        f"{_T}/system/heartbeat",
        {"uptime": 1, "heap_free": 1, "wifi_rssi": -1, "sensor_count": 1, "actuator_count": 1, "zone_id": "a"}
        | {"firmware_version": "a", "active_handover_epoch": 1, "boot_sequence_id": "a", "reset_reason": "a"}
        | {"wifi_ip": "a"},
    ),
    (f"{_T}/system/will", {"status": "a", "reason": "a"}),
    (f"{_T}/session/announce", {"handover_epoch": 1, "reason": "a", "boot_sequence_id": "a"}),
    (
        f"{_T}/system/intent_outcome",
        {"outcome": "a", "correlation_id": "a", "intent_id": "a", "flow": "a", "code": "a", "reason": "a"},
    ),
    (f"{_T}/onewire/scan_result", {"pin": 4, "devices": ["28FF641E8D3C0C79"], "correlation_id": "a"}),
    (f"{_T}/system/error", {"error_code": 1, "severity": "info", "message": "a", "category": "a"}),
    (f"{_T}/system/diagnostics", {"heap_free": 1, "uptime_seconds": 1, "wifi_rssi": -1}),
    (
        f"{_T}/system/command/response",
        {"command": "a", "status": "a", "error": "a", "message": "a", "correlation_id": "a"},
    ),
    (
        f"{_T}/config_response",
        {"status": "error", "type": "sensor", "count": 1, "message": "a", "failed_count": 1, "error_code": "a"}
        | {"config_id": "a", "correlation_id": "a"}
        | {"failures": [{"type": "a", "gpio": 1, "error_code": "a", "error": "a", "detail": "a"}]},
    ),
    (
        f"{_T}/zone/ack",
        {"status": "a", "zone_id": "a", "master_zone_id": "a", "message": "a", "correlation_id": "a"},
    ),
    (f"{_T}/subzone/ack", {"status": "a", "subzone_id": "a", "message": "a", "correlation_id": "a"}),
    (
        "kaiser/god/discovery/esp32_nodes",
        {"esp_id": "{esp_id}", "hardware_type": "a", "firmware_version": "a", "mac_address": "a", "ip_address": "a"},
    ),
)
"""A message of each kind with every field that ingest reads, so that none is left out where the vectors lack it."""
STATED = {
    name: value
    for name, value in vars(bounds).items()
    if name.startswith(("MAX_", "MIN_", "INT4_")) and isinstance(value, int | float)
}
NUMBERS = sorted(
    {float(value + step) for value in STATED.values() for step in (-1, 0, 1)}
    | {0.0, -1.0, -(2.0**31), 2.0**31, 2.0**32 - 1, 2.0**53, -1e15, 1e15, 1e200, -1e200, 1.7e308, 5e-324}
)
INTEGERS = sorted({int(value) for value in NUMBERS if abs(value) < 2**62} | {2**63 - 1, -(2**63), 2**64})
LENGTHS = sorted({int(value) + step for value in STATED.values() if 0 < value <= 4096 for step in (0, 1)} | {0, 3000})
UNTOUCHED = ("esp_id",)
_STREAMS = ("SENSORS", "DEVICES", "EVENTS")
_AT_ONCE = 400
LAST = 47
"""The gpio of a reading that is sent last."""


def extremes(value: Any) -> Iterator[Any]:
    """Values of the same type at and beyond every bound."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int):
        yield from INTEGERS
    elif isinstance(value, float):
        yield from NUMBERS
    elif isinstance(value, str):
        yield from ("x" * length for length in LENGTHS)
        yield from ("ü" * 200, "\U0001f4a7" * 64, "=1+1", "a\tb", "relay.1")


def variants(body: Any) -> Iterator[Any]:
    """The body with one field at a time at one of its extremes."""
    items = body.items() if isinstance(body, dict) else enumerate(body)
    for key, value in items:
        if key in UNTOUCHED:
            continue
        inner = variants(value) if isinstance(value, dict | list) else extremes(value)
        for changed in inner:
            copy = body.copy()
            copy[key] = changed
            yield copy


def messages(esp_id: str, now_s: int) -> Iterator[Message]:
    """Every variant of every vector and of every whole message, spoken by one device; each once. The first is of now_s,
    each further one a second older, so that no two readings are of one sensor and time."""
    seen: set[tuple[str, str]] = set()
    for topic, body in (*_of_vectors(esp_id), *_of_whole(esp_id)):
        spoken = (topic, json.dumps(body))
        if spoken not in seen:
            seen.add(spoken)
            yield Message(topic, json.dumps(_at(now_s - len(seen) + 1, body)).encode())


def _at(time_s: int, body: dict[str, Any]) -> dict[str, Any]:
    """The body with its time moved, unless it is one of the extremes, or that of a device without a clock."""

    def moved(value: Any) -> Any:
        unit = 1000 if abs(value) > 1000 * _TIME_S / 2 else 1
        return time_s * unit if abs(value / unit - _TIME_S) < 3600 else value

    times = {name: moved(body[name]) for name in _TIMES if type(body.get(name)) in (int, float)}
    return {**body, **times}


def _of_whole(esp_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for topic, body in WHOLE:
        own = {name: esp_id if name == "esp_id" else value for name, value in body.items()}
        for variant in variants(own):
            yield topic.format(esp_id=esp_id), variant


def _of_vectors(esp_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for vector in VECTORS:
        old = next((level for level in vector["topic"].split("/") if level.startswith(("ESP_", "MOCK_"))), "")
        try:
            body = json.loads(vector["payload"].replace(old, esp_id) if old else vector["payload"])
        except ValueError:
            continue
        topic = vector["topic"].replace(old, esp_id) if old else vector["topic"]
        if esp_id in topic and isinstance(body, dict):
            for variant in variants(body):
                yield topic, variant


async def waiting(stack: Stack) -> int:
    """Messages that some durable consumer has not acknowledged yet."""
    connection = await nats.connect(stack.addresses["nats_url"], max_reconnect_attempts=3)
    try:
        manager = connection.jsm()
        found = [info for name in _STREAMS for info in await manager.consumers_info(name)]
    finally:
        await connection.close()
    durable = [info for info in found if info.config.durable_name]
    return sum((info.num_pending or 0) + (info.num_ack_pending or 0) for info in durable)


def is_of_a_service(entry: dict[str, Any]) -> bool:
    """Whether a message was rejected behind ingest: another value of the same time, a refusing table, a bug."""
    return entry["code"] in (5208, 5305, 5407)


def is_too_old(entry: dict[str, Any]) -> bool:
    """Whether ingest has rejected a reading for its time, so that no table was asked."""
    return (entry["code"], entry.get("field")) == (5207, "ts")


_OF_THE_OLD_FRONTEND = [
    case["path"]
    for case in json.loads((GOLDEN.parent / "cases" / "compat-requests.json").read_text())
    if case["method"] == "GET"
]
_NOT_ASKED = {"/api/v1/factory/quality/{quality_id}/picture", "/api/v1/recordings/{recording_id}/export"}
"""Bytes of a camera and of a file, in no JSON."""


class Asked:
    """Every GET of the API in its OpenAPI document, and those of AutomationOne's frontend at the compatible one.

    Their parameters are a device, its gpio and sensor type, a mock, a span, a topic; other parts of a path are ids of
    the list that the path is below.
    """

    def __init__(self, rest: httpx.Client, esp_id: str, mock: str) -> None:
        self._rest = rest
        self._paths = rest.get("/api/openapi.json").raise_for_status().json()["paths"]
        self._given = {"gpio": "5", "sensor_type": "ds18b20", "esp_id": esp_id, "mock": mock}
        self._given |= {
            "from": str(int(time.time() - 86_400) * 1000),
            "to": str(int(time.time()) * 1000),
            "topic": f"kaiser/god/esp/{esp_id}/config_response",
        }
        self.not_filled: set[str] = set()

    def paths(self) -> Iterator[str]:
        """Each with the most that a page may have."""
        for path, methods in sorted(self._paths.items()):
            if "get" not in methods or not path.startswith("/api/v1/") or path in _NOT_ASKED:
                continue
            parameters = {each["name"]: each for each in methods["get"].get("parameters", [])}
            found = list(self._filled(path))
            if not found:
                self.not_filled.add(path)
            for filled in found:
                yield from self._asked(filled, parameters)
        for path in sorted(set(_OF_THE_OLD_FRONTEND)):
            filled = path.replace("{device}", self._given["esp_id"]).replace("{mock}", self._given["mock"])
            if "{" not in filled:
                yield f"/compat/v1{filled}{'&' if '?' in filled else '?'}page_size=1000"

    def _asked(self, filled: str, parameters: dict[str, Any]) -> Iterator[str]:
        sizes = [name for name in ("limit", "page_size") if name in parameters]
        most = "".join(f"&{name}={_largest(parameters[name])}" for name in sizes)
        in_query = {name: each for name, each in parameters.items() if each["in"] == "query"}
        required = {name: self._given.get(name) for name, each in in_query.items() if each.get("required")}
        if None in required.values():
            self.not_filled.add(filled)
            return
        needed = "".join(f"&{name}={quote(str(value))}" for name, value in required.items())
        yield f"{filled}?{needed}{most}"
        for name in ("esp_id", "topic", "device"):
            if name in in_query and name not in required and "{" not in filled:
                yield f"{filled}?{name}={quote(self._given.get(name, self._given['esp_id']))}{needed}{most}"

    def _filled(self, path: str) -> Iterator[str]:
        """The path with its parameters in place, once for each of the first items of the list that it is below."""
        own = dict(self._given)
        if "/mock-esp/" in path:
            own["esp_id"] = own["mock"]
        for name, value in own.items():
            path = path.replace(f"{{{name}}}", value)
        before, brace, rest = path.partition("{")
        if not brace:
            yield path
            return
        name, _, after = rest.partition("}")
        for value in self._ids(before.rstrip("/"), name):
            yield from self._filled(f"{before}{quote(str(value), safe='')}{after}")

    def _ids(self, path: str, name: str) -> list[Any]:
        answer = self._rest.get(path, params={"topic": self._given["topic"]} if path.endswith("/messages") else {})
        body = answer.json() if answer.is_success else {}
        items = body.get("items", body.get("data", [])) if isinstance(body, dict) else body
        return [item[name] for item in items[:5] if isinstance(item, dict) and name in item]


NOT_THERE = {
    *(f"/api/v1/factory/{path}" for path in ("modules/{serial}", "orders/{order_id}", "orders/{order_id}/timeline")),
    *(f"/api/v1/factory/{path}" for path in ("workpieces/{workpiece_id}", "commands/{command_id}")),
    "/api/v1/logic/rules/{rule_id}",
    "/api/v1/alarms/{alarm_id}",
    "/api/v1/commands/{command_id}",
    "/api/v1/replays/{replay_id}",
    "/api/v1/sensors/measurements/{request_id}",
}
"""Paths below lists that are empty here: no order, no rule, no command, no replay, and in time perhaps no alarm."""


def _largest(parameter: dict[str, Any]) -> int:
    schema = parameter["schema"]
    return int(next(each["maximum"] for each in (schema, *schema.get("anyOf", ())) if "maximum" in each))


def histories(rest: httpx.Client, esp_id: str, now_ms: int) -> Iterator[str]:
    """Every reading of the device, raw and of each gpio in buckets, as JSON and as CSV."""
    latest = rest.get(f"/api/v1/sensors/latest?esp_id={esp_id}").json()["items"]
    day_ms = 86_400_000
    asked = ["bucket=raw&from=0"]
    for gpio in sorted({each["gpio"] for each in latest}):
        for bucket, days in (("1m", 2), ("1h", 85), ("1d", 85)):
            asked.append(f"gpio={gpio}&bucket={bucket}&from={now_ms - days * day_ms}")
    for each in asked:
        for form in ("json", "csv"):
            yield f"/api/v1/sensors/data?esp_id={esp_id}&limit=10000&to={now_ms + day_ms}&format={form}&{each}"


def statuses(rest: httpx.Client, path: str) -> Iterator[int]:
    """The status of each page of a list, to its end."""
    cursor = ""
    while True:
        answer = rest.get(f"{path}{cursor}")
        yield answer.status_code
        body = answer.json() if answer.headers["content-type"].startswith("application/json") else {}
        if not isinstance(body, dict) or not body.get("next_cursor"):
            return
        cursor = f"&cursor={quote(str(body['next_cursor']))}"


@pytest.mark.timeout(600)
def test_no_value_that_ingest_lets_through_ends_a_service_or_breaks_a_list(make_stack: Any):
    """With the factory's services, which keep what devices say as it came, and the API of AutomationOne's frontend."""
    stack: Stack = make_stack(
        "run",
        "--factory",
        KAISER_REQUEST_PER_SECOND="100000",
        KAISER_COMPAT="1",
        KAISER_TOPICS_DIALECTS='["factory", "esp"]',
    ).start()
    esp_id = f"ESP_{secrets.token_hex(4).upper()}"
    mock = f"MOCK_{secrets.token_hex(4).upper()}"
    with stack.sign_in() as rest:
        assert rest.post("/api/v1/esp/devices", json={"esp_id": esp_id}).status_code == 201
        sensors = [{"gpio": 4, "sensor_type": "ds18b20"}]
        assert rest.post("/api/v1/debug/mock-esp", json={"esp_id": mock, "sensors": sensors}).status_code == 201
        recording = {"name": "all that a device may say", "filters": ["kaiser/#"], "dialects": ["esp"]}
        assert rest.post("/api/v1/recordings", json=recording).is_success
        assert rest.post("/api/v1/zones", json={"zone_id": "east", "name": "East"}).is_success
        stack.settle_registry()
        pids = stack.pids()
        now_ms = int(time.time() * 1000)
        every = list(messages(esp_id, now_ms // 1000))
        holds("values of fields in messages of a device", len(every))
        for start in range(0, len(every), _AT_ONCE):
            stack.publish(every[start : start + _AT_ONCE])
        stack.publish([reading(esp_id, LAST, now_ms, 20.0)])
        last = f"/api/v1/sensors/data?esp_id={esp_id}&gpio={LAST}"
        wait_until(lambda: rest.get(last).json().get("items"), "ingest has taken everything", 240.0)
        wait_until(lambda: asyncio.run(waiting(stack)) == 0, "every consumer has taken everything", 240.0)
        whole = list(histories(rest, esp_id, now_ms))
        asked = Asked(rest, esp_id, mock)
        lists = list(asked.paths())
        answers = {path: list(statuses(rest, path)) for path in [*lists, *whole]}
    assert len(whole) > 10
    for served in ("/api/v1/esp", "/api/v1/messages", "/api/v1/recordings", "/api/v1/factory", "/compat/v1/sensors"):
        assert any(path.startswith(served) for path in lists), served
    unlike = {path: codes for path, codes in answers.items() if {*codes} != {200} and codes != [404]}
    assert (unlike, asked.not_filled - NOT_THERE) == ({}, set())
    assert {path: answers[path] for path in whole if answers[path] == [404]} == {}
    assert max(len(codes) for codes in answers.values()) > 3, "further pages are read too"
    assert stack.pids() == pids, "no process has ended"
    refused = [entry for entry in asyncio.run(stack.rejected()) if is_of_a_service(entry) or is_too_old(entry)]
    assert [(entry["topic"], entry["code"], entry["message"], payload_of(entry)[:300]) for entry in refused] == []
    assert stack.rows([esp_id]) > 5000
