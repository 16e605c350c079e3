"""Steering over HTTP: each refusal with its status and code, at most 60 commands a minute, and a rule on a TXT."""

import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from browser import add_user
from harness import Message, Stack, wait_until
from vectors_given import messages_given

pytestmark = pytest.mark.timeout(400)  # it waits for a stack

STORE, MILL, DRILL, AGV = "SVR3QA0022", "SVR3QA2098", "SVR4H76449", "5iO4"
RUNS, WAITS = "order-that-runs", "order-that-waits"
GIVEN = {
    "modules": {
        MILL: {"order_id": RUNS, "action": {"id": "a-1", "command": "MILL", "state": "RUNNING"}},
        DRILL: {"connection": "CONNECTIONBROKEN"},
    },
    "orders": {RUNS: {"state": "IN_PROGRESS"}, WAITS: {"state": "ENQUEUED"}},
}
PICK = {"do": "command", "serial": STORE, "command": "PICK", "metadata": {"type": "WHITE"}}
TEMPERATURE = {"esp_id": "ESP_TXT_1", "gpio": 1, "sensor_type": "bme680_temp"}
REFUSED: list[tuple[int, int, dict[str, Any]]] = [
    (422, 5206, {"do": "dance"}),
    (422, 5205, {"do": "reset", "with_storage": True}),
    (422, 5206, {"do": "order", "type": "RED", "retain": True}),
    (404, 5001, {"do": "charge", "agv": "zz99", "charge": True}),
    (404, 5001, {"do": "cancel", "order_ids": ["nothing"]}),
    (404, 5001, {**PICK, "order_id": "nothing"}),
    (409, 5007, {"do": "sequence", "module": "DRILL", "load_type": "WHITE"}),
    (422, 5204, {"do": "command", "serial": STORE, "command": "MILL"}),
    (422, 5204, {"do": "instant", "serial": AGV, "type": "stop"}),
    (409, 5405, {**PICK, "order_id": WAITS}),
    (409, 5405, {"do": "publish", "topic": "kaiser/god/esp/ESP_0A1B2C3D/actuator/5/command", "payload": {}}),
    (409, 5405, {"do": "publish", "topic": "omf/test", "payload": {}}),
    (409, 5402, {"do": "sequence", "module": "MILL", "load_type": "WHITE"}),
    (409, 5402, {"do": "navigate", "route": "HBW-DPS"}),
    (409, 5402, {"do": "cancel", "order_ids": [RUNS]}),
]
"""In the order of the checks: request, serial, online, command, order, state."""


@pytest.fixture
def factory(make_stack: Callable[..., Stack]) -> Iterator[tuple[Stack, httpx.Client]]:
    """A stack with the factory's dialect that knows every machine."""
    settings = {"KAISER_MQTT_DIALECTS": '["esp", "factory"]', "KAISER_REQUEST_PER_SECOND": "1000"}
    stack = make_stack(**settings).start()
    said = [Message(topic, json.dumps(value).encode()) for topic, value in messages_given(GIVEN)]
    with stack.sign_in() as rest:

        def known() -> bool:
            stack.publish(said)  # what is said before ingest has subscribed is heard by nobody
            answer = rest.get("/api/v1/factory/modules")
            rows = {one["serial"]: one for one in answer.json()["items"]} if answer.is_success else {}
            orders = [rest.get(f"/api/v1/factory/orders/{one}").status_code for one in (RUNS, WAITS)]
            return rows.keys() >= {STORE, MILL, DRILL, AGV} and rows[MILL]["order_id"] == RUNS and orders == [200, 200]

        wait_until(known, "the factory is known")
        yield stack, rest


def test_each_refusal_of_steering_has_its_status_and_code_over_http(factory: tuple[Stack, httpx.Client]) -> None:
    stack, rest = factory
    path, journal = "/api/v1/factory/steering", "/api/v1/factory/commands"
    for status, code, body in REFUSED:
        answer = rest.post(path, json=body)
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["status"]) == (status, code, status), (body, answer.text)
        assert answer.headers["content-type"].startswith("application/problem+json")
        preview = rest.post(f"{path}/preview", json=body).json()
        assert [(one["status"], one["code"]) for one in preview["checks"] if not one["ok"]] == [(status, code)], body
        assert preview["messages"] == []
    assert rest.get(journal).json()["items"] == []
    assert (found := rest.get(f"{journal}/nothing")).status_code == 404, found.text
    assert found.json()["code"] == 5415

    only_operators_steer(stack)

    update_ids_grow(rest, stack)
    no_more_than_60_a_minute(rest, stack)

    rest.post("/api/v1/factory/environment", json={"profile": "replay"}, timeout=120).raise_for_status()

    def refused_in_a_replay() -> tuple[int, int] | None:
        answer = rest.post(path, json={"do": "park"})
        return None if answer.status_code == 503 else (answer.status_code, answer.json()["code"])

    assert wait_until(refused_in_a_replay, "the factory has followed") == (409, 5405)


def only_operators_steer(stack: Stack) -> None:
    """Without a token 401; a viewer sees the machines, and is refused by the gateway."""
    path, password = "/api/v1/factory/steering", secrets.token_hex(8)
    add_user(stack, "viewer", password, "viewer")
    with httpx.Client(base_url=stack.addresses["http_url"], timeout=60.0) as client:
        assert client.post(path, json=PICK).status_code == 401
        form = {"username": "viewer", "password": password}
        token = client.post("/api/v1/auth/token", data=form).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        assert client.get("/api/v1/factory/modules").status_code == 200
        for one in (path, f"{path}/preview"):
            assert client.post(one, json=PICK).status_code == 403


def update_ids_grow(rest: httpx.Client, stack: Stack) -> None:
    """The next update of an order of ours is the next number, and one that was used is refused."""
    path = "/api/v1/factory/steering"
    answer = rest.post(path, json=PICK)
    assert answer.status_code == 202, answer.text
    [first] = answer.json()["commands"]
    done = {"id": first["action_id"], "command": "PICK", "state": "FINISHED"}
    state = {"serialNumber": STORE, "orderId": first["order_id"], "orderUpdateId": 1, "actionState": done}
    stack.publish([Message(f"module/v1/ff/{STORE}/state", json.dumps(state).encode())])
    read = f"/api/v1/factory/commands/{first['command_id']}"
    wait_until(lambda: rest.get(read).json()["state"] == "finished", "the machine has answered")
    used = rest.post(path, json={**PICK, "order_id": first["order_id"], "order_update_id": 1})
    assert (used.status_code, used.json()["code"]) == (409, 5208), used.text
    [second] = rest.post(path, json={**PICK, "order_id": first["order_id"]}).json()["commands"]
    assert [one["payload"]["orderUpdateId"] for one in (first, second)] == [1, 2]


def no_more_than_60_a_minute(rest: httpx.Client, stack: Stack) -> None:
    """Of 63 commands in a minute 60 are taken; the next one is 429."""
    taken = 2
    with httpx.Client(base_url=stack.addresses["http_url"], headers=rest.headers, timeout=60.0) as impatient:
        for _ in range(61):
            answer = impatient.post("/api/v1/factory/steering", json={"do": "park"})
            if answer.status_code == 429:
                break
            assert answer.status_code == 202, answer.text
            taken += 1
    assert (answer.status_code, answer.json()["code"]) == (429, 5404)
    assert taken == 60
    assert len(rest.get("/api/v1/factory/commands", params={"limit": 1000}).json()["items"]) == taken


def test_a_rule_on_what_a_txt_measures_fires(factory: tuple[Stack, httpx.Client]) -> None:
    stack, rest = factory

    def say(celsius: float) -> None:
        climate = {"ts": "2026-02-02T04:00:00.000Z", "t": celsius, "h": 41.5, "p": 1001.2, "iaq": 52}
        stack.publish([Message("/j1/txt/1/i/bme680", json.dumps(climate).encode())])

    def measured() -> bool:
        say(23.4)
        answer = rest.get("/api/v1/sensors/latest", params={"esp_id": "ESP_TXT_1"})
        return answer.status_code == 200 and len(answer.json()["items"]) > 0

    wait_until(measured, "the TXT is a device with readings")
    rule = {
        "name": "hot",
        "conditions": [
            {
                "type": "sensor",
                "esp_id": "ESP_TXT_1",
                "gpio": 1,
                "sensor_type": "bme680_temp",
                "operator": ">",
                "value": 30,
            }
        ],
        "actions": [{"type": "notification", "message": "the factory is hot"}],
    }
    added = rest.post("/api/v1/logic/rules", json=rule)
    assert added.status_code == 201, added.text
    rule_id = added.json()["rule_id"]

    def fired() -> list[dict[str, Any]]:
        say(34.5)
        answer = rest.get("/api/v1/logic/executions", params={"rule_id": rule_id})
        return list(answer.json()["items"]) if answer.status_code == 200 else []

    found = wait_until(fired, "the rule fires")
    assert found[0]["outcome"] == "succeeded"
