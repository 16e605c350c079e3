"""Sessions end by deletion, a new password or role, sign-out, a reused refresh token; the log says so."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import argon2
import nats
import psycopg
import pytest

PASSWORD = "a long sentence"


@pytest.fixture
def name() -> str:
    return f"eve{time.monotonic_ns()}"


@pytest.fixture
async def admin(gateway):
    """A REST client of an administrator who is not the user of the test."""
    async with gateway.http("admin") as http:
        yield http


async def make(admin, name: str, role: str = "viewer", password: str = PASSWORD) -> None:
    answer = await admin.put(f"/api/v1/auth/users/{name}", json={"role": role, "password": password})
    assert answer.status_code == 200, answer.text


async def sign_in(gateway, name: str, password: str = PASSWORD) -> dict:
    async with gateway.http(None) as http:
        answer = await http.post("/api/v1/auth/token", data={"username": name, "password": password})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refresh(gateway, token: str):
    async with gateway.http(None) as http:
        return await http.post("/api/v1/auth/refresh", json={"refresh_token": token})


async def status(gateway, token: str, path: str = "/api/v1/sensors/data") -> int:
    """422 for whoever may ask, as the device is missing."""
    async with gateway.http(None) as http:
        return (await http.get(path, headers={"Authorization": f"Bearer {token}"})).status_code


async def test_a_refresh_token_works_once_and_a_second_use_ends_its_sign_in(gateway, admin, name):
    await make(admin, name)
    first = await sign_in(gateway, name)
    other = await sign_in(gateway, name)
    second = await refresh(gateway, first["refresh_token"])
    assert second.status_code == 200
    assert (await refresh(gateway, first["refresh_token"])).status_code == 401
    assert (await refresh(gateway, second.json()["refresh_token"])).status_code == 401
    assert (await refresh(gateway, other["refresh_token"])).status_code == 200


@pytest.mark.parametrize("what", ["refresh", "logout"])
async def test_a_refresh_token_is_looked_at_thirty_times_a_minute_and_its_log_stays_short(gateway, admin, name, what):
    """Also one that has ended, which anybody may keep who was signed in once."""
    await make(admin, name)
    ended, other = await sign_in(gateway, name), await sign_in(gateway, name)
    codes: list[int] = []
    async with gateway.http(None) as http:
        await http.post("/api/v1/auth/logout", json={"refresh_token": ended["refresh_token"]})
        while 429 not in codes:
            assert len(codes) < 300, codes
            answer = await http.post(f"/api/v1/auth/{what}", json={"refresh_token": ended["refresh_token"]})
            codes.append(answer.status_code)
        assert int(answer.headers["Retry-After"]) <= 2
        assert set(codes[:-1]) == ({401} if what == "refresh" else {204})
        assert (await http.post(f"/api/v1/auth/{what}", json={"refresh_token": other["refresh_token"]})).is_success
    page = (await admin.get("/api/v1/auth/log?limit=1000")).json()
    action = {"refresh": "refresh_refused", "logout": "sign_out"}[what]
    assert len([one for one in page["items"] if (one["target"], one["action"]) == (name, action)]) <= len(codes) + 1


async def test_a_flood_of_renewals_does_not_keep_a_user_from_signing_out(gateway, admin, name):
    await make(admin, name)
    token = (await sign_in(gateway, name))["refresh_token"]
    async with gateway.http(None) as http:
        while (await http.post("/api/v1/auth/refresh", json={"refresh_token": token})).status_code != 429:
            pass
        assert (await http.post("/api/v1/auth/logout", json={"refresh_token": token})).status_code == 204


async def test_of_many_uses_at_once_one_is_taken(gateway, admin, name):
    await make(admin, name)
    token = (await sign_in(gateway, name))["refresh_token"]
    answers = await asyncio.gather(*(refresh(gateway, token) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 9


async def test_a_new_password_ends_tokens_and_refresh_tokens(gateway, admin, name):
    await make(admin, name)
    before = await sign_in(gateway, name)
    await make(admin, name, password="another sentence")
    assert (await refresh(gateway, before["refresh_token"])).status_code == 401
    assert await status(gateway, before["access_token"]) == 401
    after = await sign_in(gateway, name, "another sentence")
    assert await status(gateway, after["access_token"]) == 422


async def test_a_deleted_administrator_makes_no_other_one(gateway, admin, name):
    await make(admin, name, "admin")
    tokens = await sign_in(gateway, name)
    assert (await admin.delete(f"/api/v1/auth/users/{name}")).status_code == 204
    async with gateway.http(None) as http:
        answer = await http.put(
            f"/api/v1/auth/users/{name}b",
            json={"role": "admin", "password": "backdoor12"},
            headers={"Authorization": f"Bearer {tokens['access_token']}"},
        )
    assert answer.status_code == 401
    assert (await refresh(gateway, tokens["refresh_token"])).status_code == 401


async def test_a_demoted_administrator_does_not_promote_herself_and_goes_on_as_what_she_is(gateway, admin, name):
    await make(admin, name, "admin")
    tokens = await sign_in(gateway, name)
    assert (await admin.put(f"/api/v1/auth/users/{name}", json={"role": "viewer"})).status_code == 200
    async with gateway.http(None) as http:
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        promoted = await http.put(f"/api/v1/auth/users/{name}", json={"role": "admin"}, headers=bearer)
    assert promoted.status_code == 401
    again = await refresh(gateway, tokens["refresh_token"])
    assert (again.status_code, again.json()["role"]) == (200, "viewer")
    assert await status(gateway, again.json()["access_token"], "/api/v1/auth/users") == 403


async def test_a_name_that_is_used_again_revives_no_old_token(gateway, admin, name):
    await make(admin, name)
    old = await sign_in(gateway, name)
    await admin.delete(f"/api/v1/auth/users/{name}")
    await make(admin, name)
    assert await status(gateway, old["access_token"]) == 401
    assert (await refresh(gateway, old["refresh_token"])).status_code == 401


async def test_signing_out_ends_that_sign_in_alone(gateway, admin, name):
    await make(admin, name)
    one, other = await sign_in(gateway, name), await sign_in(gateway, name)
    async with gateway.http(None) as http:
        answer = await http.post("/api/v1/auth/logout", json={"refresh_token": one["refresh_token"]})
    assert answer.status_code == 204
    assert (await refresh(gateway, one["refresh_token"])).status_code == 401
    assert (await refresh(gateway, other["refresh_token"])).status_code == 200


@pytest.mark.parametrize(("change", "code"), [("delete", 4001), ("password", 4001), ("role", 4003)])
async def test_sockets_are_closed(gateway, admin, name, change, code):
    await make(admin, name, "operator")
    token = (await sign_in(gateway, name))["access_token"]
    async with gateway.connect(f"of-{name}", token) as websocket:
        await websocket.send('{"action":"ping"}')
        await websocket.recv()
        if change == "delete":
            await admin.delete(f"/api/v1/auth/users/{name}")
        elif change == "password":
            await make(admin, name, "operator", "another sentence")
        else:
            await admin.put(f"/api/v1/auth/users/{name}", json={"role": "viewer"})
        async with asyncio.timeout(60):
            await websocket.wait_closed()
    assert websocket.close_code == code


async def test_a_change_through_another_gateway_ends_tokens_here(gateway, start_gateway, admin, name):
    await make(admin, name)
    token = (await sign_in(gateway, name))["access_token"]
    other = start_gateway()
    async with other.http("admin") as http:
        await http.delete(f"/api/v1/auth/users/{name}")
    async with asyncio.timeout(60):
        while await status(gateway, token) != 401:
            pass


async def test_a_token_of_before_generations_is_refused(gateway):
    token = gateway.token(user="ada", generation=7)
    assert await status(gateway, token) == 401


async def test_sign_ins_and_changes_of_users_are_logged(gateway, admin, name):
    await make(admin, name)
    tokens = await sign_in(gateway, name)
    async with gateway.http(None) as http:
        await http.post("/api/v1/auth/token", data={"username": name, "password": "wrong"})
        await http.post("/api/v1/auth/logout", json={"refresh_token": tokens["refresh_token"]})
    await refresh(gateway, tokens["refresh_token"])
    await admin.delete(f"/api/v1/auth/users/{name}")
    page = (await admin.get("/api/v1/auth/log?limit=1000")).json()
    of_name = [one for one in reversed(page["items"]) if one["target"] == name]
    assert [(one["actor"], one["action"]) for one in of_name] == [
        ("ada", "set_user"),
        (name, "sign_in"),
        (name, "sign_in_refused"),
        (name, "sign_out"),
        (name, "refresh_refused"),
        ("ada", "delete_user"),
    ]
    assert {one["address"] for one in of_name} == {"127.0.0.1"}
    newest = (await admin.get("/api/v1/auth/log?limit=1")).json()
    older = (await admin.get(f"/api/v1/auth/log?limit=1&cursor={newest['next_cursor']}")).json()
    assert older["items"][0]["id"] < newest["items"][0]["id"]


async def test_a_viewer_changes_the_own_password_and_old_tokens_end(gateway, admin, name):
    await make(admin, name)
    before, other = await sign_in(gateway, name), await sign_in(gateway, name)
    async with gateway.http(None) as http:
        http.headers["Authorization"] = f"Bearer {before['access_token']}"
        wrong = await http.post("/api/v1/auth/password", json={"current": "wrong", "new": "another sentence"})
        assert (wrong.status_code, wrong.json()["detail"]) == (403, "the current password is wrong")
        body = {"current": PASSWORD, "new": "another sentence"}
        short = await http.post("/api/v1/auth/password", json={**body, "new": "short"})
        assert short.status_code == 422
        changed = await http.post("/api/v1/auth/password", json=body)
    assert (changed.status_code, changed.json()["role"]) == (200, "viewer"), changed.text
    assert [await status(gateway, one["access_token"]) for one in (before, other, changed.json())] == [401, 401, 422]
    assert (await refresh(gateway, other["refresh_token"])).status_code == 401
    assert (await refresh(gateway, changed.json()["refresh_token"])).status_code == 200
    await sign_in(gateway, name, "another sentence")
    page = (await admin.get("/api/v1/auth/log?limit=1000")).json()
    assert (name, "set_password") in [(one["actor"], one["action"]) for one in page["items"] if one["target"] == name]


async def test_guessing_the_current_password_with_a_stolen_token_is_limited(gateway, admin, name):
    await make(admin, name)
    async with gateway.http(None) as http:
        http.headers["Authorization"] = f"Bearer {(await sign_in(gateway, name))['access_token']}"
        body = {"current": "wrong", "new": "another sentence"}
        answers = [(await http.post("/api/v1/auth/password", json=body)).status_code for _ in range(6)]
    assert (set(answers[:5]), answers[5]) == ({403}, 429)


async def test_sessions_are_listed_and_ended_by_their_user_and_by_administrators(gateway, admin, name):
    await make(admin, name)
    await make(admin, f"{name}b")
    one, other = await sign_in(gateway, name), await sign_in(gateway, name)
    stranger = await sign_in(gateway, f"{name}b")

    async def listed(token: str, query: str = "") -> list[dict]:
        async with gateway.http(None) as http:
            answer = await http.get(f"/api/v1/auth/sessions{query}", headers={"Authorization": f"Bearer {token}"})
        return answer.json()["items"] if answer.status_code == 200 else [answer.status_code]

    async def end(token: str, session: str) -> int:
        async with gateway.http(None) as http:
            bearer = {"Authorization": f"Bearer {token}"}
            return (await http.delete(f"/api/v1/auth/sessions/{session}", headers=bearer)).status_code

    sessions = await listed(one["access_token"])
    assert [session["current"] for session in sessions] == [False, True]  # the one used last is in front
    assert {(session["username"], session["address"]) for session in sessions} == {(name, "127.0.0.1")}
    assert sessions[0]["agent"].startswith("python-httpx")
    assert await listed(stranger["access_token"], f"?username={name}") == [403]
    assert await end(stranger["access_token"], sessions[0]["session"]) == 404
    assert await end(one["access_token"], sessions[0]["session"]) == 204
    assert [await status(gateway, each["access_token"]) for each in (one, other)] == [422, 401]
    assert (await refresh(gateway, other["refresh_token"])).status_code == 401
    [left] = (await admin.get(f"/api/v1/auth/sessions?username={name}")).json()["items"]
    assert (await admin.delete(f"/api/v1/auth/sessions/{left['session']}")).status_code == 204
    assert await status(gateway, one["access_token"]) == 401
    assert await status(gateway, stranger["access_token"]) == 422


async def test_signing_out_ends_access_tokens_too(gateway, admin, name):
    await make(admin, name)
    tokens = await sign_in(gateway, name)
    async with gateway.http(None) as http:
        await http.post("/api/v1/auth/logout", json={"refresh_token": tokens["refresh_token"]})
    async with asyncio.timeout(60):
        while await status(gateway, tokens["access_token"]) != 401:
            pass


@asynccontextmanager
async def health_with(address: str, *entries: dict):
    """A health service whose audit log has these entries."""
    client = await nats.connect(address)

    async def answer(message) -> None:
        await message.respond(json.dumps({"items": entries}).encode())

    await client.subscribe("rpc.health.audit", cb=answer)
    await client.flush()
    yield
    await client.close()


async def test_an_administrator_sees_them_in_the_audit_log_beside_what_was_done_to_devices(
    gateway, module_bus, admin, name
):
    await make(admin, name)
    await make(admin, name, "operator")
    await sign_in(gateway, name)
    async with gateway.http(None) as http:
        await http.post("/api/v1/auth/token", data={"username": name, "password": "wrong"})
    await admin.delete(f"/api/v1/auth/users/{name}")
    registered = {"id": 1, "at": 1, "actor": "ada", "role": "admin", "request_id": "r", "action": "register_device"}
    async with health_with(module_bus, {**registered, "target": name}):
        page = (await admin.get(f"/api/v1/audit?limit=1000&target={name}")).json()
        async with gateway.http("operator") as http:
            of_operator = (await http.get("/api/v1/audit?limit=1000")).json()
    assert [(one["actor"], one["action"]) for one in page["items"]] == [
        ("ada", "delete_user"),
        (name, "sign_in_refused"),
        (name, "sign_in"),
        ("ada", "set_user"),
        ("ada", "set_user"),
        ("ada", "register_device"),
    ]
    assert {one["address"] for one in page["items"][:-1]} == {"127.0.0.1"}
    changes = [(one["outcome"], one["before"], one["after"]) for one in page["items"][:5] if "user" in one["action"]]
    assert changes == [
        ("done", {"role": "operator"}, None),
        ("done", {"role": "viewer"}, {"role": "operator"}),
        ("done", None, {"role": "viewer"}),
    ]
    assert [one["action"] for one in of_operator["items"]] == ["register_device"]


async def test_a_hash_of_before_is_taken_and_replaced(gateway, admin, name, database):
    await make(admin, name)
    old = argon2.PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4).hash("as before")
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE gateway.users SET password_hash = %s WHERE username = %s", (old, name))
    await sign_in(gateway, name, "as before")
    with psycopg.connect(database) as connection:
        [stored] = connection.execute("SELECT password_hash FROM gateway.users WHERE username = %s", (name,)).fetchone()
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    await sign_in(gateway, name, "as before")
