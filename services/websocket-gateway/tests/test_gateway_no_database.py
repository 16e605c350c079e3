"""Without PostgreSQL: the gateway starts, is ready, takes tokens and stops; sign-in is a clear 503."""

import json

import nats
import pytest
from read_only import set_read_only
from waiting import until

AWAY = "postgresql://kaiser:x@127.0.0.1:1/kaiser"


@pytest.fixture(scope="module")
def without_database(start_gateway):
    return start_gateway(KAISER_DATABASE_URL=AWAY)


async def test_it_starts_and_is_ready_on_both_ports(without_database):
    async with without_database.http(None) as http:
        assert (await http.get("/readyz")).status_code == 200
        internal = await http.get(f"{without_database.internal}/readyz")
    assert internal.status_code == 200
    assert set(internal.json()["checks"]) == {"nats", "nats for stops", "http"}


async def test_sign_in_is_503_as_a_problem(without_database):
    async with without_database.http(None) as http:
        answer = await http.post("/api/v1/auth/token", data={"username": "admin", "password": "correct horse"})
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert "database" in answer.json()["detail"]
    assert "Retry-After" in answer.headers


async def test_a_stop_with_a_valid_token_reaches_the_actuator_service(without_database, module_bus):
    client = await nats.connect(module_bus)
    asked = []

    async def answer(message) -> None:
        asked.append(json.loads(message.data))
        await message.respond(b'{"items":[]}')

    await client.subscribe("rpc.actuator.emergency_stop", cb=answer)
    await client.flush()
    async with without_database.http("operator") as http:
        stopped = await http.post("/api/v1/actuators/emergency_stop", json={"esp_id": "ESP_A", "reason": "leak"})
    await client.close()
    assert stopped.status_code == 200
    assert [(one["esp_id"], one["reason"]) for one in asked] == [("ESP_A", "leak")]


async def test_a_socket_is_let_in(without_database, receive):
    async with without_database.connect() as websocket:
        await websocket.send('{"action":"ping"}')
        assert (await receive(websocket, "pong"))["type"] == "pong"


async def test_what_only_an_administrator_may_is_503_as_the_role_cannot_be_looked_up(without_database):
    async with without_database.http("admin") as http:
        answer = await http.get("/api/v1/auth/users")
    assert (answer.status_code, answer.json()["code"]) == (503, 5304)


@pytest.fixture
def read_only(database):
    """The gateway's database takes no changes until the test ends."""

    set_read_only(database, on=True)
    yield
    set_read_only(database, on=False)


async def test_a_database_that_only_reads_is_503_where_something_is_to_be_written(gateway, read_only):
    async with gateway.http("admin") as http:
        signed_in = await http.post("/api/v1/auth/token", data={"username": "admin", "password": "correct horse"})
        changed = await http.put("/api/v1/auth/users/ro", json={"role": "viewer", "password": "a long sentence"})

        async def is_listed() -> bool:  # 503 once where the pool hands out a connection that was just ended
            return (await http.get("/api/v1/auth/users")).status_code == 200

        await until(is_listed, "the users are listed")
    assert [(one.status_code, one.json()["code"]) for one in (signed_in, changed)] == [(503, 5304)] * 2
