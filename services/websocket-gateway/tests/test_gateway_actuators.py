"""The routes of actuators, commands and emergency stops: what the owner is asked, and what it answers."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import httpx
import nats
import pytest
from kaiser_common.bus.client import close_client, open_client
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.connection import connect as bus_connect
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from kaiser_gateway.domain.limits import Limiter
from kaiser_gateway.domain.tokens import Signer
from kaiser_gateway.handlers import build_app
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store.users import Users
from kaiser_gateway.ws.hub import Hub
from kaiser_gateway.ws.topics import TopicsHub

COMMAND = {
    "command_id": "c1",
    "esp_id": "ESP_A",
    "gpio": 25,
    "command": "ON",
    "issued_by": "ada",
    "state": "queued",
    "queued_at": 1,
}
ACTUATOR = {"esp_id": "ESP_A", "gpio": 25}
NO_STOPS = {"items": [], "next_cursor": None, "total": 0, "unconfirmed": 0, "cancelled": 0}


@asynccontextmanager
async def owner(address: str, answers: dict[str, dict]):
    """An actuator service that gives these answers; yields what it was asked."""
    client = await nats.connect(address)
    asked: list[tuple[str, dict, dict]] = []

    async def answer(message) -> None:
        method = message.subject.rpartition(".")[2]
        asked.append((method, json.loads(message.data), json.loads(message.headers["Kaiser-Caller"])))
        await message.respond(json.dumps(answers[method]).encode())

    await client.subscribe("rpc.actuator.*", cb=answer)
    await client.flush()
    try:
        yield asked
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("verb", "path", "body", "role", "method", "request_", "answer", "status"),
    [
        (
            "GET",
            "/api/v1/actuators?esp_id=ESP_A&limit=5",
            None,
            "viewer",
            "list",
            {"esp_id": "ESP_A", "actuator_type": None, "zone_id": None, "state": None, "limit": 5, "cursor": None},
            {"items": []},
            200,
        ),
        ("GET", "/api/v1/actuators/ESP_A/25", None, "viewer", "read", ACTUATOR, ACTUATOR, 200),
        ("DELETE", "/api/v1/actuators/ESP_A/25", None, "operator", "delete", ACTUATOR, {}, 204),
        (
            "GET",
            "/api/v1/actuators/ESP_A/25/history?from=1&to=2&limit=3",
            None,
            "viewer",
            "history",
            {**ACTUATOR, "from_ms": 1, "to_ms": 2, "limit": 3, "cursor": None},
            {"items": []},
            200,
        ),
        (
            "GET",
            "/api/v1/actuators/emergencies",
            None,
            "viewer",
            "emergencies",
            {"esp_id": None, "gpio": None, "limit": 1000, "cursor": None},
            NO_STOPS,
            200,
        ),
        (
            "POST",
            "/api/v1/actuators/emergency_stop",
            {"esp_id": "ESP_A", "reason": "leak"},
            "operator",
            "emergency_stop",
            {"esp_id": "ESP_A", "gpio": None, "reason": "leak"},
            NO_STOPS,
            200,
        ),
        (
            "POST",
            "/api/v1/actuators/clear_emergency",
            {"all": True, "reason": "dry again"},
            "operator",
            "clear_emergency",
            {"esp_id": None, "gpio": None, "reason": "dry again", "ids": None, "all": True, "unconfirmed": False},
            NO_STOPS,
            200,
        ),
        ("GET", "/api/v1/commands/c1", None, "viewer", "read_command", {"command_id": "c1"}, COMMAND, 200),
    ],
)
async def test_the_owner_is_asked_with_the_callers_name(
    gateway, module_bus, verb, path, body, role, method, request_, answer, status
):
    async with owner(module_bus, {method: answer}) as asked, gateway.http(role) as http:
        response = await http.request(verb, path, json=body)
    assert response.status_code == status, response.text
    [(called, request, caller)] = asked
    assert (called, request) == (method, request_)
    assert (caller["user"], caller["role"]) == ("ada", role)


async def test_an_actuator_is_put_with_its_settings(gateway, module_bus):
    async with owner(module_bus, {"put": ACTUATOR}) as asked, gateway.http("operator") as http:
        response = await http.put("/api/v1/actuators/ESP_A/25", json={"actuator_type": "pump", "interlocks": [26]})
    assert response.status_code == 200
    settings = asked[0][1]["settings"]
    assert (settings["actuator_type"], settings["interlocks"]) == ("pump", [26])


@pytest.mark.parametrize("body", [{"max_runtime": 60}, {"max_runtime_s": 60, "duration": 5}, {"Active": False}])
async def test_an_actuator_with_a_misspelt_setting_is_422_and_nobody_is_asked(gateway, module_bus, body):
    async with owner(module_bus, {"put": ACTUATOR}) as asked, gateway.http("operator") as http:
        answer = await http.put("/api/v1/actuators/ESP_A/25", json={"actuator_type": "pump", **body})
    assert answer.status_code == 422, answer.text
    assert asked == []


async def test_a_command_is_202_with_its_place_and_carries_the_idempotency_key(gateway, module_bus):
    async with owner(module_bus, {"command": COMMAND}) as asked, gateway.http("operator") as http:
        response = await http.post(
            "/api/v1/actuators/ESP_A/25/command",
            json={"command": "ON", "duration_s": 60},
            headers={"Idempotency-Key": "water-1"},
        )
    assert response.status_code == 202
    assert response.headers["Location"] == "/api/v1/commands/c1"
    assert response.json()["state"] == "queued"
    request = asked[0][1]
    assert (request["idempotency_key"], request["request"]["command"], request["request"]["duration_s"]) == (
        "water-1",
        "ON",
        60,
    )


@pytest.mark.parametrize(
    ("headers", "body", "field"),
    [
        ({"Idempotency-Key": "x" * 201}, {"command": "ON"}, "Idempotency-Key"),
        ({}, {"command": "PWM"}, None),
        ({}, {"command": "EXPLODE"}, "command"),
        ({}, {"command": "PWM", "value": 1.5}, "value"),
    ],
)
async def test_a_bad_command_is_422_and_nobody_is_asked(gateway, module_bus, headers, body, field):
    async with owner(module_bus, {}) as asked, gateway.http("operator") as http:
        response = await http.post("/api/v1/actuators/ESP_A/25/command", json=body, headers=headers)
    assert (response.status_code, response.json().get("field")) == (422, field)
    assert asked == []


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("POST", "/api/v1/actuators/ESP_A/25/command"),
        ("POST", "/api/v1/actuators/emergency_stop"),
        ("POST", "/api/v1/actuators/clear_emergency"),
        ("PUT", "/api/v1/actuators/ESP_A/25"),
        ("DELETE", "/api/v1/actuators/ESP_A/25"),
    ],
)
async def test_a_viewer_moves_nothing(gateway, verb, path):
    async with gateway.http("viewer") as http:
        response = await http.request(verb, path, json={"command": "ON"})
    assert (response.status_code, response.json()["code"]) == (403, 5405)


async def test_an_emergency_stop_is_never_held_back_by_the_rate_limit(start_gateway, module_bus):
    gateway = start_gateway(KAISER_REQUEST_PER_SECOND="1")
    async with owner(module_bus, {"emergency_stop": NO_STOPS, "emergencies": NO_STOPS}), gateway.http() as http:
        others = await asyncio.gather(*(http.get("/api/v1/actuators/emergencies") for _ in range(6)))
        stops = [await http.post("/api/v1/actuators/emergency_stop", json={}) for _ in range(6)]
    assert {answer.status_code for answer in others} == {200, 429}
    assert {answer.status_code for answer in stops} == {200}


@pytest.mark.parametrize("body", [{"espid": "ESP_A"}, {"esp_id": "ESP_A", "all": True}, {}, {"all": "yes, please"}])
async def test_a_clear_with_a_misspelt_target_is_422_and_nobody_is_asked(gateway, module_bus, body):
    async with owner(module_bus, {"clear_emergency": NO_STOPS}) as asked, gateway.http("operator") as http:
        answer = await http.post("/api/v1/actuators/clear_emergency", json=body)
    assert answer.status_code == 422, answer.text
    assert asked == []


async def test_a_stop_is_answered_though_nats_has_closed_the_connection_of_the_lists(module_bus):
    settings = CommonSettings(nats_url=module_bus)
    lists = Bus(await open_client(settings, "lists"), "lists")
    await close_client(lists.client)
    signer, service = Signer("k" * 40), Service("trial")
    guard = Guard(signer, Limiter(100, 100), None, None)
    token = signer.sign("ada", "operator", "access", time.time(), 600)
    async with bus_connect(settings, "stops") as stops, owner(module_bus, {"emergency_stop": NO_STOPS}) as asked:
        hub, topics = Hub(lists, 15.0), TopicsHub(lists)
        app = build_app(
            service, lists, stops, hub, topics, Users(None, None), None, None, guard, None, GatewaySettings()
        )
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://ignored", headers=headers) as http:
            assert (await http.get("/api/v1/actuators")).status_code == 504
            stop = await http.post("/api/v1/actuators/emergency_stop", json={"reason": "leak"})
    assert stop.status_code == 200, stop.text
    assert [method for method, _, _ in asked] == ["emergency_stop"]
