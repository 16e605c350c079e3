"""Sign-in, roles, problems and limits of the REST API on the real gateway."""

import asyncio
import json

import nats
import pytest


async def sign_in(gateway, password="correct horse", username="admin"):
    async with gateway.http(None) as http:
        return await http.post("/api/v1/auth/token", data={"username": username, "password": password})


async def test_the_first_administrator_signs_in_and_refreshes(gateway):
    answer = (await sign_in(gateway)).json()
    assert (answer["role"], answer["token_type"]) == ("admin", "bearer")
    async with gateway.http(None) as http:
        again = await http.post("/api/v1/auth/refresh", json={"refresh_token": answer["refresh_token"]})
        assert again.status_code == 200
        wrong = await http.post("/api/v1/auth/refresh", json={"refresh_token": answer["access_token"]})
        assert wrong.status_code == 401


@pytest.mark.parametrize(("username", "password"), [("admin", "wrong"), ("nobody", "correct horse"), ("a\0b", "x")])
async def test_a_wrong_name_or_password_is_401_as_a_problem(gateway, username, password):
    answer = await sign_in(gateway, password, username)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == 5405


async def test_guessing_passwords_is_limited(gateway):
    answers = await asyncio.gather(*(sign_in(gateway, "wrong", "mallory") for _ in range(30)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {401, 429}
    assert len(refused) >= 10
    assert refused[0].json()["code"] == 5404
    assert int(refused[0].headers["Retry-After"]) >= 1


async def test_signing_in_rightly_is_not_limited(gateway):
    assert {(await sign_in(gateway)).status_code for _ in range(15)} == {200}


async def test_a_viewer_may_read_and_not_register(gateway):
    async with gateway.http("viewer") as http:
        answer = await http.post("/api/v1/esp/devices", json={"esp_id": "ESP_A"})
    assert answer.status_code == 403
    assert answer.json()["code"] == 5405


async def test_a_service_that_is_down_is_504_with_5403_and_the_rest_goes_on(gateway):
    async with gateway.http() as http:
        answer = await http.get("/api/v1/esp/devices")
        assert (answer.status_code, answer.json()["code"]) == (504, 5403)
        assert (await http.get("/healthz")).status_code == 200


async def test_an_answer_of_the_owner_is_passed_on_and_knows_the_caller(gateway, module_bus):
    client = await nats.connect(module_bus)
    asked = []

    async def answer(message) -> None:
        asked.append((json.loads(message.data), json.loads(message.headers["Kaiser-Caller"])))
        await message.respond(b'{"items":[],"next_cursor":null}')

    await client.subscribe("rpc.sensor.latest", cb=answer)
    await client.flush()
    async with gateway.http("viewer") as http:
        response = await http.get("/api/v1/sensors/latest?esp_id=ESP_A", headers={"X-Request-Id": "r1"})
    await client.close()
    assert response.json() == {"items": [], "next_cursor": None}
    assert response.headers["X-Request-Id"] == "r1"
    assert asked == [({"esp_id": "ESP_A"}, {"user": "ada", "role": "viewer", "request_id": "r1"})]


@pytest.mark.parametrize(
    ("path", "code", "field"),
    [("/api/v1/sensors/data", 5205, "esp_id"), ("/api/v1/sensors/data?esp_id=x", 5206, "esp_id")],
)
async def test_bad_input_is_422_and_names_the_field(gateway, path, code, field):
    async with gateway.http() as http:
        answer = await http.get(path)
    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["field"]) == (code, field)


async def test_an_unknown_path_is_a_problem_too(gateway):
    async with gateway.http() as http:
        answer = await http.get("/api/v1/nothing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_no_token_is_401(gateway):
    async with gateway.http(None) as http:
        answer = await http.get("/api/v1/esp/devices")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_cors_is_off_by_default(gateway):
    async with gateway.http() as http:
        answer = await http.get("/healthz", headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


async def test_the_api_documents_itself(gateway):
    async with gateway.http(None) as http:
        document = (await http.get("/api/openapi.json")).json()
        assert (await http.get("/api/docs")).status_code == 200
    assert "/api/v1/sensors/latest" in document["paths"]


async def test_too_many_requests_of_a_token_are_429_with_retry_after(start_gateway):
    gateway = start_gateway(KAISER_REQUEST_PER_SECOND="1")
    async with gateway.http() as http:
        answers = [await http.get("/api/v1/sensors/data") for _ in range(4)]
    assert answers[-1].status_code == 429
    assert answers[-1].json()["code"] == 5404
    assert answers[-1].headers["Retry-After"] == "1"


async def test_only_an_administrator_switches_the_mqtt_profile(gateway, module_bus):
    client = await nats.connect(module_bus)

    async def answer(message) -> None:
        await message.respond(b'{"active":"mock","profiles":["live","mock"]}')

    await client.subscribe("rpc.ingest.switch_profile", cb=answer)
    await client.flush()
    async with gateway.http("operator") as http:
        assert (await http.post("/api/v1/system/mqtt/profile", json={"profile": "mock"})).status_code == 403
    async with gateway.http("admin") as http:
        response = await http.post("/api/v1/system/mqtt/profile", json={"profile": "mock"})
    await client.close()
    assert response.json() == {"active": "mock", "profiles": ["live", "mock"]}
