"""AutomationOne's words and forms, without a server: the WebSocket, ids, times, pages, rules."""

import json
from collections.abc import AsyncIterator

import httpx
import nats
import pytest
from claimed import holds
from fastapi import FastAPI
from fastapi.routing import APIRoute
from kaiser_common.contract.methods.whole import METHODS
from kaiser_gateway.api.compat import devices as device_routes
from kaiser_gateway.api.compat import measured, mocks, people
from kaiser_gateway.api.compat import rules as rule_routes
from kaiser_gateway.domain.compat import common, devices, frames, rules
from kaiser_gateway.domain.limits import Limiter
from kaiser_gateway.domain.tokens import Signer
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.settings import GatewaySettings
from serverless_gateway import serverless_gateway

NOTHING = {"action": "unsubscribe", "filters": None}
EVERYTHING = {"action": "subscribe", "filters": {}}


def application(compat: bool) -> FastAPI:
    return serverless_gateway(GatewaySettings(compat=compat))


@pytest.mark.parametrize(("compat", "status"), [(True, 200), (False, 404)])
async def test_the_router_is_off_by_default_and_in_no_description(compat: bool, status: int):
    app = application(compat)
    assert not GatewaySettings().compat
    assert [path for path in app.openapi()["paths"] if path.startswith("/compat")] == []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ignored") as http:
        assert (await http.get("/compat/v1/auth/status")).status_code == status


async def test_an_id_cannot_leave_its_place_in_the_path():
    transport = httpx.ASGITransport(application(True))
    async with httpx.AsyncClient(transport=transport, base_url="http://ignored") as http:
        for esp_id in ("ESP_1%3Flimit=1", "%2E%2E", "ESP_1%23", "ESP%201"):
            for path in (f"esp/devices/{esp_id}", f"debug/mock-esp/{esp_id}", f"logic/rules/{esp_id}"):
                assert (await http.get(f"/compat/v1/{path}")).status_code in (404, 422), path


PUBLIC = {("GET", "auth/status"), ("POST", "auth/login"), ("POST", "auth/refresh"), ("POST", "auth/setup")}
OWN = {("POST", "auth/logout")}
OF_THE_API = (device_routes, mocks, measured, rule_routes)


RULE = {
    "rule_id": "r1",
    "name": "Water",
    "description": None,
    "enabled": True,
    "priority": 50,
    "mode": "level",
    "conditions": [
        {"type": "sensor_threshold", "esp_id": "ESP_1", "gpio": 4, "operator": "<", "value": 30.0, "for_s": 0.0},
        {"type": "time_window", "start": "06:30", "end": "20:00", "days_of_week": [0, 6], "timezone": "UTC"},
    ],
    "actions": [
        {
            "type": "actuator_command",
            "esp_id": "ESP_2",
            "gpio": 25,
            "command": "ON",
            "value": None,
            "duration_s": 60,
        }
    ],
    "cooldown_s": 600.0,
    "max_executions_per_hour": None,
    "version": 3,
    "created_at": 0,
    "updated_at": 0,
    "last_executed_at": 1_767_225_600_000,
    "last_outcome": "succeeded",
}
DEVICE = {
    "esp_id": "ESP_A",
    "kaiser_id": "god",
    "hardware_type": "ESP32_WROOM",
    "state": "approved",
    "online": True,
    "created_at": 0,
}
READ = {"rpc.logic.read": RULE, "rpc.health.read": DEVICE}
"""The owners' answers to a reader."""


@pytest.fixture
async def asked(module_bus) -> AsyncIterator[list[str]]:
    """The subjects of what users ask the owners, which answer everything: an object, or nothing."""
    found: list[str] = []
    client = await nats.connect(module_bus)

    async def answer(message) -> None:
        if json.loads(message.headers["Kaiser-Caller"])["user"] == "ada":
            found.append(message.subject)
        await message.respond(json.dumps(READ.get(message.subject, {})).encode())

    await client.subscribe("rpc.>", cb=answer)
    await client.flush()
    yield found
    await client.close()


async def test_no_route_of_the_old_api_gives_more_than_the_token_allows(start_gateway, asked):
    """Without a valid token nothing but signing in; a viewer changes nothing, and asks an owner for nothing but what it
    may read."""
    gateway = start_gateway(KAISER_COMPAT="1", KAISER_REQUEST_PER_SECOND="10000")
    modules = (people.router(Guard(Signer("k" * 40), Limiter(1, 1))), *(one.router() for one in OF_THE_API))
    routes = [
        (verb, each.path.removeprefix("/compat/v1/"))
        for router in modules
        for each in router.routes
        if isinstance(each, APIRoute)
        for verb in each.methods
    ]
    async with httpx.AsyncClient(base_url=f"{gateway.base}/compat/v1", timeout=60) as http:

        async def statuses(token: str | None, chosen: list[tuple[str, str]]) -> set[int]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            asked = [(verb, path.format(esp_id="ESP_A", gpio=4, rule_id="a")) for verb, path in chosen]
            answers = [
                await http.request(verb, path, json={}, headers=headers, params={"esp_id": "ESP_A"})
                for verb, path in asked
            ]
            return {each.status_code for each in answers}

        guarded = [one for one in routes if one not in PUBLIC]
        writes = [one for one in guarded if one[0] != "GET" and one not in OWN]
        assert len(writes) > 20
        for token in (None, "broken"):
            assert await statuses(token, guarded) == {401}
            assert asked == []
        assert await statuses(gateway.token("viewer"), writes) <= {403, 422}
        assert asked
        assert set(asked) <= {f"rpc.{one.service}.{one.name}" for one in METHODS if one.least == "viewer"}
    holds("requests to a route of the compatibility API by a caller", 2 * len(guarded) + len(writes))


def subscribed(**filters: object) -> dict:
    said = frames.said(json.dumps({"action": "subscribe", "filters": filters}))
    return json.loads(said or "null")


def test_unknown_types_of_a_filter_are_left_out():
    wanted = subscribed(types=["sensor_data", "device_discovered", "notification_new"], topicPattern="kaiser/#")
    assert wanted["filters"]["types"] == ["sensor_data"]
    assert wanted["filters"]["topics"] == ["kaiser/#"]
    assert subscribed(types=["device_discovered"]) == NOTHING
    assert subscribed(topicPattern="not#a#filter")["filters"]["topics"] == []


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"action": "unsubscribe", "filters": None}, EVERYTHING),
        ({"action": "unsubscribe"}, EVERYTHING),
        ({"action": "ping"}, {"action": "ping"}),
        ({"action": "client_stage", "stage": "t7_ws_arrival"}, None),
    ],
)
def test_what_the_frontend_says_in_kaiser_s_words(said: dict, meant: dict | None):
    assert json.loads(frames.said(json.dumps(said)) or "null") == meant


def told(kind: str, data: dict) -> list[dict]:
    frame = json.dumps({"type": kind, "timestamp": 12.5, "seq": 3, "data": {"esp_id": "ESP_1", "ts": 12_000, **data}})
    found = [json.loads(text) for text in frames.told(frame)]
    assert all((one["type"], one["timestamp"]) == (kind, 12.5) for one in found)
    return [one["data"] for one in found]


@pytest.mark.parametrize(
    ("state", "value", "text"), [(True, 1.0, "on"), (False, 0.0, "off"), (True, 0.4, "pwm"), (True, 0.0, "on")]
)
def test_the_state_of_an_actuator_is_a_word(state: bool, value: float, text: str):
    (data,) = told("actuator_status", {"gpio": 25, "state": state, "value": value})
    assert (data["state"], data["timestamp"], data["device_id"]) == (text, 12, "ESP_1")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("actuator_status", {"state": True, "value": 1.0}),
        ("actuator_response", {"command": "ON", "success": True}),
        ("actuator_alert", {"alert_type": "runtime_protection", "severity": "critical"}),
    ],
)
def test_a_replayed_report_is_none_of_now(kind: str, data: dict):
    assert len(told(kind, {"gpio": 25, **data})) == 1
    assert told(kind, {"gpio": 25, **data, "replayed": True}) == []


def test_a_reading_names_its_device_and_its_address():
    (rom,) = told("sensor_data", {"gpio": 4, "address": "28FF641E8D3C0C79", "value": 21.5})
    (i2c,) = told("sensor_data", {"gpio": 21, "address": "68", "value": 21.5})
    assert (rom["onewire_address"], rom["i2c_address"]) == ("28FF641E8D3C0C79", None)
    assert (i2c["onewire_address"], i2c["i2c_address"]) == (None, 68)


def test_a_push_under_way_has_no_word_and_its_end_has():
    assert told("config_response", {"status": "pending"}) == []
    (good,) = told("config_response", {"status": "applied", "config_id": "c1"})
    assert (good["status"], good["config_type"], good["error_code"]) == ("success", "sensor", None)
    failures = [{"type": "actuator", "gpio": 5, "error": "VALIDATION_FAILED"}]
    (bad,) = told("config_response", {"status": "failed", "failures": failures})
    assert (bad["status"], bad["config_type"], bad["error_code"]) == ("error", "actuator", "VALIDATION_FAILED")


@pytest.mark.parametrize(
    ("status", "words"),
    [("pending", []), ("assigned", ["zone_assigned"]), ("removed", ["zone_removed"]), ("timeout", ["error"])],
)
def test_an_assignment_to_a_zone_in_its_words(status: str, words: list[str]):
    assert [one["status"] for one in told("zone_assignment", {"status": status, "zone_id": "north"})] == words


def test_a_rule_that_fired_is_told_once_for_each_action():
    actions = [{"type": "actuator_command", "state": "done"}, {"type": "delay", "state": "failed", "detail": "why"}]
    found = told("logic_execution", {"rule_id": "r", "rule_name": "Water", "actions": actions})
    assert [(one["success"], one["message"]) for one in found] == [(True, "Water fired"), (False, "why")]


def test_a_device_s_last_contact_is_an_iso_time():
    (data,) = told("esp_health", {"status": "online", "last_seen": 1_767_225_600_123})
    assert data["last_seen"] == "2026-01-01T00:00:00.123Z"


def test_alarms_and_the_factory_are_not_told():
    assert told("alarm", {"alarm_id": "a"}) == told("factory_module", {"serial": "s"}) == []


def test_a_page_of_a_list_has_its_totals():
    page = common.paged([{"n": number} for number in range(7)], 2, 3)
    assert [one["n"] for one in page["data"]] == [3, 4, 5]
    assert page["pagination"] == {"page": 2, "page_size": 3, "total": 7, "total_items": 7, "total_pages": 3}


@pytest.mark.parametrize(
    ("given", "ours"), [("ESP_MOCK_AB12", "MOCK_AB12"), ("MOCK_AB12", "MOCK_AB12"), ("ESP_AB12", "ESP_AB12")]
)
def test_the_id_of_a_mock(given: str, ours: str):
    assert devices.mock_id(given) == ours


def test_a_problem_is_read_by_both_frontends():
    found = common.problem({"detail": "it is offline", "code": 5007})
    assert (found["detail"], found["error"]["message"]) == ("it is offline", "it is offline")


def test_a_rule_in_both_forms():
    theirs = rules.rule(RULE)
    assert theirs["conditions"][0] == {
        "type": "sensor_threshold",
        "esp_id": "ESP_1",
        "gpio": 4,
        "operator": "<",
        "value": 30.0,
    }
    assert theirs["conditions"][1] == {"type": "time_window", "start_hour": 6, "end_hour": 20, "days_of_week": [0, 1]}
    assert theirs["actions"][0]["duration"] == 60
    assert (theirs["id"], theirs["cooldown_seconds"]) == ("r1", 600.0)
    assert theirs["last_triggered"] == "2026-01-01T00:00:00.000Z"
    changed = rules.changed(RULE, {"cooldown_seconds": 60, "conditions": [], "enabled": False})
    assert (changed["cooldown_s"], changed["enabled"], changed["conditions"]) == (60, False, RULE["conditions"])
    assert "rule_id" not in changed
