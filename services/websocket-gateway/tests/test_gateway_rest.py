"""Sign-in, roles, problems and limits of the REST API on the real gateway."""

import asyncio
import json
from contextlib import suppress

import httpx
import nats
import pytest
from waiting import until
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def sign_in(gateway, password="correct horse", username="admin"):
    """Sign in once the database answers in time: on a busy machine it may not (503)."""
    async with gateway.http(None) as http:

        async def answered() -> httpx.Response | None:
            answer = await http.post("/api/v1/auth/token", data={"username": username, "password": password})
            return None if answer.status_code == 503 else answer

        return await until(answered, "signing in is answered")


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
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["code"], answer.json()["detail"]) == (5410, "wrong name or password")


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


async def test_a_site_without_a_factory_says_so_and_how_to_turn_it_on(gateway):
    async with gateway.http() as http:
        for path in ("modules", "orders", "commands"):
            answer = await http.get(f"/api/v1/factory/{path}")
            assert (answer.status_code, answer.json()["code"]) == (503, 5402)
            assert "KAISER_MQTT_DIALECTS" in answer.json()["detail"]


async def test_the_environment_is_that_of_the_ingest_which_speaks_the_factorys_dialect(gateway, module_bus):
    client = await nats.connect(module_bus)
    asked = []
    environment = {"env": "live", "kind": "live", "epoch": 3, "broker": "mqtt://x:1883", "since": 1}

    async def answer(message) -> None:
        asked.append(message.subject)
        if message.subject == "rpc.ingest.environment":
            problem = {"status": 404, "code": 5407, "detail": "the factory's dialect is off"}
            await client.publish(message.reply, json.dumps(problem).encode(), headers={"Kaiser-Problem": "1"})
        elif message.subject.endswith("environment"):
            status = {"connected_since": 1, "client_id": "x", "session_present": True, "profiles": ["live"]}
            await message.respond(json.dumps(environment | status).encode())
        else:
            await message.respond(b'{"active":"live","profiles":["live"]}')

    async def switched() -> httpx.Response | None:
        """None: on a busy machine the role (503) or the stand-in (504) does not answer in time."""
        asked.clear()
        answered = await http.post("/api/v1/factory/environment", json={"profile": "live"})
        return None if answered.status_code in (503, 504) else answered

    devices = await client.subscribe("rpc.ingest.*", cb=answer)
    await client.flush()
    async with gateway.http() as http:
        # The factory's ingest is away: the devices' ingest is not switched in its place.
        answered = await until(switched, "the request is answered")
        assert answered.status_code == 404, answered.text
        assert set(asked) == {"rpc.ingest.environment"}
        own = await client.subscribe("rpc.ingest-factory.*", cb=answer)
        await client.flush()
        answered = await until(switched, "the environment is switched")
        assert (answered.status_code, answered.json().get("epoch")) == (200, 3), answered.text
        assert asked[-2:] == [f"rpc.ingest-factory.{one}" for one in ("switch_profile", "environment")]
        assert "rpc.ingest.switch_profile" not in asked
    for subscription in (devices, own):
        await subscription.unsubscribe()
    await client.close()


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
    narrowed = dict.fromkeys(("address", "sensor_type", "zone_id", "state", "cursor"))
    query = {"esp_id": "ESP_A", "limit": 10_000, **narrowed}
    assert asked == [(query, {"user": "ada", "role": "viewer", "request_id": "r1", "address": "127.0.0.1"})]


@pytest.mark.parametrize(
    ("path", "code", "field"),
    [
        ("/api/v1/sensors/data", 5205, "esp_id"),
        ("/api/v1/sensors/data?esp_id=x", 5206, "esp_id"),
        ("/api/v1/alarms?kind=A", 5206, "kind"),
        ("/api/v1/sensors/data?esp_id=ESP_A&tz=Mars/Olympus", 5206, "tz"),
        ("/api/v1/sensors/data?esp_id=ESP_A&tz=Europe/Berlin", 5206, "tz"),
        ("/api/v1/sensors/data?esp_id=ESP_A&address=28FF", 5206, "address"),
        ("/api/v1/sensors/latest?address=300", 5206, "address"),
    ],
)
async def test_bad_input_is_422_and_names_the_field(gateway, path, code, field):
    async with gateway.http() as http:
        answer = await http.get(path)
    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["field"]) == (code, field)
    assert "String should match" not in answer.json()["detail"], "a person does not read regular expressions"


@pytest.mark.parametrize(
    ("method", "url", "body", "rpc", "expected"),
    [
        ("GET", "latest?address=28ff641e8d3c0c79", None, "latest", "28FF641E8D3C0C79"),
        ("GET", "data?esp_id=ESP_A&address=0x44", None, "data", "68"),
        ("GET", "data?esp_id=ESP_A&gpio=4&bucket=1m&address=68", None, "buckets", "68"),
        ("PUT", "ESP_A/4/ds18b20?address=28ff641e8d3c0c79", {"interval_s": 5}, "put_config", "28FF641E8D3C0C79"),
        ("PUT", "ESP_A/4/ds18b20", {"interval_s": 5}, "put_config", ""),
        ("DELETE", "ESP_A/4/ds18b20?address=68", None, "delete_config", "68"),
        ("POST", "ESP_A/4/measure?address=68", None, "measure", "68"),
    ],
)
async def test_an_address_reaches_the_owner_in_its_one_form(gateway, module_bus, method, url, body, rpc, expected):
    client = await nats.connect(module_bus)
    asked = []

    async def answer(message) -> None:
        asked.append(json.loads(message.data))
        await message.respond(b'{"items":[]}')

    await client.subscribe(f"rpc.sensor.{rpc}", cb=answer)
    await client.flush()
    async with gateway.http() as http:
        await http.request(method, f"/api/v1/sensors/{url}", json=body)
    await client.close()
    assert [request["address"] for request in asked] == [expected]


@pytest.mark.parametrize(
    "page",
    [b"", b"[]", b"{}", b'{"items":7}', b'{"items":["x"]}', b"\xff", pytest.param(b"[" * 100_000, id="too deep")],
)
async def test_readings_that_are_no_page_are_502_as_csv(gateway, module_bus, page):
    client = await nats.connect(module_bus)

    async def answer(message) -> None:
        await message.respond(page)

    await client.subscribe("rpc.sensor.data", cb=answer)
    await client.flush()
    async with gateway.http() as http:
        answer = await http.get("/api/v1/sensors/data?esp_id=ESP_A&format=csv")
    await client.close()
    assert (answer.status_code, answer.json()["code"]) == (502, 5407)


async def test_a_misspelt_setting_of_a_sensor_is_refused(gateway):
    async with gateway.http() as http:
        answer = await http.put("/api/v1/sensors/ESP_A/4/ph", json={"intervall_s": 5})
    assert (answer.status_code, answer.json()["field"]) == (422, "intervall_s")
    assert answer.json()["detail"] == "intervall_s: there is no such field: did you mean interval_s?"


async def test_a_misspelt_field_of_a_rule_is_refused_where_it_stands(gateway):
    condition = {"type": "sensor_threshold", "esp_id": "ESP_A", "gpio": 4, "opertor": ">", "value": 30}
    rule = {"name": "hot", "conditions": [condition], "actions": [{"type": "notify", "message": "hot"}]}
    async with gateway.http() as http:
        answer = await http.post("/api/v1/logic/rules", json=rule)
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith("opertor: there is no such field: did you mean operator?")


DEVICE = {"kaiser_id": "god", "hardware_type": "ESP32", "state": "approved", "online": True, "created_at": 1}
NO_ACTUATOR = {"status": 404, "code": 5202, "detail": "ESP_A has no actuator on gpio 4"}
RULE_ID = "0a1b2c3d4e5f6071"


@pytest.fixture
async def owners_of_rules(module_bus):
    """health, with every device; actuator, with gpio 25 set up and gpio 26 reported only; logic, with one disabled rule
    that switches gpio 26 on. Yields the rules that logic is asked to store."""
    client = await nats.connect(module_bus)
    stored = []

    async def answer(message) -> None:
        asked, headers = json.loads(message.data), None
        body = {**asked, **DEVICE}
        if message.subject == "rpc.actuator.read":
            known = asked["gpio"] in (25, 26)
            body = {**asked, "registered": asked["gpio"] == 25} if known else NO_ACTUATOR
            headers = None if known else {"Kaiser-Problem": "1"}
        elif message.subject.startswith("rpc.logic."):
            stored.extend([] if message.subject == "rpc.logic.read" else [asked])
            body = {**a_rule(26, "ON"), "rule_id": RULE_ID, "enabled": False, "created_at": 1, "updated_at": 1}
        await client.publish(message.reply, json.dumps(body).encode(), headers=headers)

    for subject in ("rpc.health.read", "rpc.actuator.read", "rpc.logic.*"):
        await client.subscribe(subject, cb=answer)
    await client.flush()
    yield stored
    await client.close()


def a_rule(gpio, command):
    window = {"type": "time_window", "start": "06:00", "end": "20:00"}
    action = {"type": "actuator_command", "esp_id": "ESP_A", "gpio": gpio, "command": command, "duration_s": 60}
    return {"name": "water", "conditions": [window], "actions": [action]}


@pytest.mark.parametrize(
    ("rule", "is_stored"),
    [
        (a_rule(25, "ON"), True),
        (a_rule(26, "ON"), False),
        (a_rule(4, "TOGGLE"), False),
        (a_rule(4, "OFF"), True),
        ({**a_rule(4, "ON"), "enabled": False}, True),
    ],
    ids=["set up", "only reported", "not there", "OFF, which it takes", "not in force"],
)
async def test_a_rule_in_force_commands_only_actuators_that_are_set_up(gateway, owners_of_rules, rule, is_stored):
    async with gateway.http() as http:
        answer = await http.post("/api/v1/logic/rules", json=rule)
    assert len(owners_of_rules) == is_stored
    if not is_stored:
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["field"]) == (422, 5202, "actions.0.gpio")


async def test_a_rule_is_not_enabled_while_it_commands_an_actuator_that_is_not_set_up(gateway, owners_of_rules):
    path = f"/api/v1/logic/rules/{RULE_ID}"
    async with gateway.http() as http:
        refused = await http.patch(path, json={"enabled": True})
        assert (refused.status_code, refused.json()["code"]) == (422, 5202)
        assert owners_of_rules == []
        assert (await http.patch(path, json={"name": "later"})).status_code == 200
        assert (await http.patch(path, json={"enabled": False})).status_code == 200
    assert [asked["patch"] for asked in owners_of_rules] == [{"name": "later"}, {"enabled": False}]


async def test_an_unknown_path_is_a_problem_too(gateway):
    async with gateway.http() as http:
        answer = await http.get("/api/v1/nothing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_no_token_is_401(gateway):
    async with gateway.http(None) as http:
        answer = await http.get("/api/v1/esp/devices")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.json()["code"] == 5409


async def test_cors_is_off_by_default(gateway):
    async with gateway.http() as http:
        answer = await http.get("/healthz", headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


async def test_the_api_documents_itself(gateway):
    async with gateway.http(None) as http:
        document = (await http.get("/api/openapi.json")).json()
        assert (await http.get("/api/docs")).status_code == 200
    assert "/api/v1/sensors/latest" in document["paths"]
    password = document["components"]["securitySchemes"]["name_and_password"]
    assert password == {"type": "oauth2", "flows": {"password": {"scopes": {}, "tokenUrl": "/api/v1/auth/token"}}}
    security = document["paths"]["/api/v1/sensors/latest"]["get"]["security"]
    assert security == [{"name_and_password": []}, {"access_token": []}], "either of them"


async def test_the_form_of_swaggers_authorize_signs_in(gateway):
    form = {"grant_type": "password", "username": "admin", "password": "correct horse", "scope": ""}
    async with gateway.http(None) as http:
        answer = await http.post("/api/v1/auth/token", data=form, headers={"Authorization": "Basic Og=="})
        token = answer.json()["access_token"]
        asked = await http.get("/api/v1/auth/users", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, asked.status_code) == (200, 200)


async def test_too_many_requests_of_a_user_are_429_with_retry_after_also_with_a_fresh_token(start_gateway):
    gateway = start_gateway(KAISER_REQUEST_PER_SECOND="1")
    async with gateway.http() as http:
        answers = [await http.get("/api/v1/sensors/data") for _ in range(4)]
        for user, status in (("ada", 429), ("bea", 422)):
            headers = {"Authorization": f"Bearer {gateway.token(lifetime_s=500, user=user)}"}
            assert (await http.get("/api/v1/sensors/data", headers=headers)).status_code == status
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
    assert response.json() == {"active": "mock", "profiles": ["live", "mock"], "address": None}


async def test_an_administrator_makes_changes_and_takes_out_users(gateway):
    path = "/api/v1/auth/users/grace"
    async with gateway.http("admin") as http:
        assert (await http.put(path, json={"role": "viewer"})).status_code == 422
        assert (await http.put(path, json={"role": "viewer", "password": "short"})).status_code == 422
        made = await http.put(path, json={"role": "viewer", "password": "a long sentence"})
        assert (made.status_code, made.json()) == (200, {"username": "grace", "role": "viewer"})
        first = (await sign_in(gateway, "a long sentence", "grace")).json()
        assert first["role"] == "viewer"
        assert (await http.put(path, json={"role": "operator"})).status_code == 200
        assert {"username": "grace", "role": "operator"} in (await http.get("/api/v1/auth/users")).json()["items"]
        again = await http.post("/api/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})
        assert again.json()["role"] == "operator"
        assert (await http.delete(path)).status_code == 204
        assert (await http.delete(path)).status_code == 404
        gone = await http.post("/api/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})
        assert gone.status_code == 401
    assert (await sign_in(gateway, "a long sentence", "grace")).status_code == 401


async def test_nobody_but_an_administrator_sees_users_and_none_locks_themselves_out(gateway):
    async with gateway.http("operator") as http:
        assert (await http.get("/api/v1/auth/users")).status_code == 403
    async with gateway.http("admin") as http:
        assert (await http.delete("/api/v1/auth/users/ada")).status_code == 409
        assert (await http.put("/api/v1/auth/users/ada", json={"role": "viewer"})).status_code == 409


async def test_an_answer_that_has_not_changed_is_304_without_a_body(gateway, module_bus):
    client = await nats.connect(module_bus)
    answers = [b'{"items":[],"next_cursor":null}'] * 2 + [b'{"items":[],"next_cursor":"x"}']

    async def answer(message) -> None:
        await message.respond(answers.pop(0))

    await client.subscribe("rpc.sensor.configs", cb=answer)
    await client.flush()
    async with gateway.http("viewer") as http:
        first = await http.get("/api/v1/sensors")
        tag = first.headers["ETag"]
        second = await http.get("/api/v1/sensors", headers={"If-None-Match": f'"other", W/{tag}'})
        third = await http.get("/api/v1/sensors", headers={"If-None-Match": tag})
    await client.close()
    assert (first.status_code, second.status_code, second.content) == (200, 304, b"")
    assert second.headers["ETag"] == tag
    assert "X-Request-Id" in second.headers
    assert (third.status_code, third.json()["next_cursor"]) == (200, "x")
    assert third.headers["ETag"] != tag


async def test_problems_have_no_etag(gateway):
    async with gateway.http(None) as http:
        answer = await http.get("/api/v1/esp/devices", headers={"If-None-Match": "*"})
    assert answer.status_code == 401
    assert "ETag" not in answer.headers


async def test_no_token_and_no_password_is_ever_logged(start_gateway, tmp_path):
    log = tmp_path / "log"
    gateway = start_gateway(log=log, KAISER_LOG_LEVEL="debug", KAISER_LOG_FORMAT="json")
    good, over = gateway.token(), gateway.token(lifetime_s=-60)
    answer = (await sign_in(gateway)).json()
    await sign_in(gateway, password="a wrong secret")
    secrets = [good, over, answer["access_token"], answer["refresh_token"], "a wrong secret", "correct horse"]
    async with gateway.http(None) as http:
        for token in (good, over, "bad.to.ken"):
            await http.get("/api/v1/sensors/data", headers={"Authorization": f"Bearer {token}"})
            await http.get(f"/api/v1/sensors/data?token={token}")
        await http.post("/api/v1/auth/refresh", json={"refresh_token": answer["refresh_token"]})
    for token in (good, over):
        async with gateway.connect(token=token) as websocket:
            with suppress(ConnectionClosed):  # the token that is over is closed at once
                await websocket.send("nonsense")
        url = f"ws://127.0.0.1:{gateway.port}/api/v1/ws/realtime/c1"
        async with connect(url, subprotocols=["bearer", token]):
            pass
    async with httpx.AsyncClient(timeout=60) as http:  # a handshake that is none
        await http.get(gateway.url("c1", good).replace("ws://", "http://"), headers={"Upgrade": "websocket"})
    assert await asyncio.to_thread(gateway.stop) == 0
    text = log.read_text()
    assert '"listening"' in text
    for secret in [*secrets, *(token.rpartition(".")[2] for token in secrets[:4])]:
        assert secret not in text, secret
