"""Requests of AutomationOne's frontend, replayed against a whole stack, get the forms of its own server.

tests/cases/compat-requests.json is the list, in order: method, path, body, which fields of the answer are read,
and of which kind they are (`reads`, by its type definitions), values (`is`), and values that are waited for (`wait`).
"""

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from harness import ROOT, Stack, reading, wait_until
from websockets.sync.client import ClientConnection, connect

CASES = json.loads((ROOT / "tests/cases/compat-requests.json").read_text())
KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "flag": (bool,),
    "list": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def filled(value: Any, names: dict[str, str]) -> Any:
    """A case with its names in the place of the placeholders."""
    text = json.dumps(value)
    for name, found in names.items():
        text = text.replace(f"{{{name}}}", found)
    return json.loads(text)


def at(answer: Any, path: str) -> Any:
    """The field of an answer, such as `data.0.esp_id`."""
    for part in path.split("."):
        answer = answer[int(part)] if isinstance(answer, list) else answer[part]
    return answer


def has(answer: Any, wanted: dict[str, Any]) -> bool:
    try:
        return all(at(answer, path) == value for path, value in wanted.items())
    except (KeyError, IndexError):
        return False


def check(case: dict[str, Any], answer: Any) -> None:
    for path, kinds in case["reads"].items():
        found = at(answer, path)
        allowed = tuple(kind for name in kinds.split("|") for kind in KINDS[name])
        assert isinstance(found, allowed), f"{path}: {found!r} is no {kinds}"
        assert bool in allowed or not isinstance(found, bool), path
    for path, value in case.get("is", {}).items():
        assert at(answer, path) == value, path


@pytest.fixture
def names(stack: Stack) -> Iterator[dict[str, str]]:
    """Ids that no other test has, a rule, and what else the cases name."""
    run = secrets.token_hex(3).upper()
    found = {"mock": f"MOCK_{run}", "device": f"TEST_{run}", "password": stack.password()}
    [known] = stack.register(1)
    rule = {
        "name": f"Compat {run}",
        "conditions": [{"type": "sensor_threshold", "esp_id": known, "gpio": 4, "operator": ">", "value": 90}],
        "actions": [{"type": "notification", "message": "warm"}],
    }
    with stack.sign_in() as rest:
        found["rule"] = wait_until(lambda: _taken(rest, rule), "the rule is taken").json()["rule_id"]
        form = {"username": "admin", "password": stack.password()}
        found["refresh"] = rest.post("/api/v1/auth/token", data=form).json()["refresh_token"]
        yield found
        rest.delete(f"/api/v1/debug/mock-esp/{found['mock']}")
        rest.delete(f"/api/v1/logic/rules/{found['rule']}")


def _taken(rest: httpx.Client, rule: dict[str, Any]) -> httpx.Response | None:
    """The answer; None where there were too many requests, or the service that the test before killed is not back."""
    answer = rest.post("/api/v1/logic/rules", json=rule)
    return None if answer.status_code in (429, 503, 504) else answer.raise_for_status()


def test_the_requests_of_the_old_frontend_get_its_forms(stack: Stack, names: dict[str, str]):
    with stack.sign_in() as rest:
        for case in CASES:
            if case["path"].startswith("/sensors/?"):
                _measure(stack, rest, names["device"])
            wanted = filled(case, names)
            answer = _replayed(rest, wanted)
            try:
                check(wanted, answer)
            except (AssertionError, KeyError, IndexError) as error:
                raise AssertionError(f"{case['why']}: {error!r}\n{json.dumps(answer)[:1000]}") from error


def _replayed(rest: httpx.Client, case: dict[str, Any]) -> Any:
    """The answer, once it is as the case waits for."""

    def asked() -> tuple[httpx.Response] | None:
        headers = {} if case.get("token", True) else {"Authorization": ""}
        answer = rest.request(case["method"], f"/compat/v1{case['path']}", json=case.get("body"), headers=headers)
        if case.get("retry") and not answer.is_success:
            return None
        assert answer.status_code == case.get("status", 200), f"{case['why']}: {answer.status_code} {answer.text}"
        return (answer,) if "wait" not in case or has(answer.json(), case["wait"]) else None

    (answer,) = wait_until(asked, case["why"], 90.0)
    return answer.json() if answer.content else None


def _measure(stack: Stack, rest: httpx.Client, esp_id: str) -> None:
    """A configured sensor of the device, with three readings."""
    sensor = {"esp_id": esp_id, "gpio": 4, "sensor_type": "ds18b20", "interval_s": 60}
    assert rest.post("/api/v1/sensors", json=sensor).status_code == 201
    stack.settle_registry()
    now = time.time_ns() // 1_000_000
    stack.publish([reading(esp_id, 4, now - 3000 + 1000 * number, 18.5 + number) for number in range(3)])
    wait_until(lambda: stack.rows([esp_id]) == 3, "three readings are stored")
    url = f"/api/v1/sensors/latest?esp_id={esp_id}"
    wait_until(lambda: [one["value"] for one in rest.get(url).json()["items"]] == [20.5], "the newest is known")


def test_the_stored_device_is_the_one_that_the_old_form_registered(stack: Stack):
    esp_id = f"TEST_{secrets.token_hex(4).upper()}"
    body = {"device_id": esp_id, "name": "Bench", "ip_address": "10.0.0.7", "mac_address": "AA:BB:CC:DD:EE:FF"}
    with stack.sign_in() as rest:
        assert rest.post("/compat/v1/esp/devices", json=body).status_code == 201
        with psycopg.connect(stack.addresses["database_url"], connect_timeout=5) as connection:
            row = connection.execute("SELECT name, state FROM health.devices WHERE esp_id = %s", [esp_id]).fetchone()
        assert row == ("Bench", "approved")
        viewer = f"user-{secrets.token_hex(3)}"
        rest.put(f"/api/v1/auth/users/{viewer}", json={"role": "viewer", "password": "a long sentence"})
        answer = rest.post("/compat/v1/auth/login", json={"username": viewer, "password": "a long sentence"}).json()
        token = {"Authorization": f"Bearer {answer['tokens']['access_token']}"}
        assert rest.get(f"/compat/v1/esp/devices/{esp_id}", headers=token).status_code == 200
        refused = rest.delete(f"/compat/v1/esp/devices/{esp_id}", headers=token)
        assert refused.status_code == 403
        assert "operator" in refused.json()["error"]["message"]
        rest.delete(f"/api/v1/auth/users/{viewer}")


def frame_of(socket: ClientConnection, kind: str, within_s: float = 60.0) -> dict[str, Any]:
    deadline = time.monotonic() + within_s
    while True:
        frame = json.loads(socket.recv(timeout=max(0.1, deadline - time.monotonic())))
        if frame["type"] == kind:
            return dict(frame)


def test_the_socket_takes_and_speaks_the_old_words(stack: Stack):
    (esp_id,) = stack.register(1)
    with stack.sign_in() as rest:
        token = rest.headers["Authorization"].removeprefix("Bearer ")
    host = stack.addresses["http_url"].removeprefix("http://")
    url = f"ws://{host}/compat/v1/ws/realtime/client_{secrets.token_hex(3)}?token={token}"
    with connect(url, open_timeout=60) as socket:
        asked = {"types": ["device_discovered", "sensor_data", "notification_new"], "esp_ids": [esp_id]}
        for filters in (asked, asked, asked, {"types": ["sensor_data"], "esp_ids": [esp_id], "topicPattern": "#"}):
            socket.send(json.dumps({"action": "subscribe", "filters": filters}))
            frame_of(socket, "subscribed")
        socket.send(json.dumps({"action": "client_stage", "stage": "t7_ws_arrival"}))
        socket.send(json.dumps({"action": "unsubscribe", "filters": None}))
        frame_of(socket, "subscribed")
        now = time.time_ns() // 1_000_000
        stack.publish([reading(esp_id, 4, now, 20.5)])
        while (frame := frame_of(socket, "sensor_data"))["data"]["esp_id"] != esp_id:
            pass
        assert frame["data"]["device_id"] == esp_id
        assert frame["data"]["timestamp"] == now // 1000
        assert frame["data"]["value"] == 20.5
        socket.send(json.dumps({"action": "ping"}))
        frame_of(socket, "pong")
