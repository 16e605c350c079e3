"""A device's life through the whole stack: unknown, pending, approved, online, offline; over restarts of everything."""

import json
import secrets
import time
from collections.abc import Iterator

import httpx
import pytest
from harness import Message, Stack, reading, wait_until


@pytest.fixture
def esp_id() -> str:
    return f"TEST_{secrets.token_hex(4).upper()}"


def heartbeat(esp_id: str, **fields) -> Message:
    body = {
        "esp_id": esp_id,
        "ts": int(time.time()),
        "uptime": 3600,
        "heap_free": 45_000,
        "wifi_rssi": -45,
        **fields,
    }
    return Message(f"kaiser/god/esp/{esp_id}/system/heartbeat", json.dumps(body).encode())


def will(esp_id: str, ts: int) -> Message:
    body = {"status": "offline", "esp_id": esp_id, "reason": "unexpected_disconnect", "timestamp": ts}
    return Message(f"kaiser/god/esp/{esp_id}/system/will", json.dumps(body).encode())


@pytest.fixture
def rest(stack: Stack) -> Iterator[httpx.Client]:
    with stack.sign_in() as rest:
        yield rest


def device(rest: httpx.Client, esp_id: str) -> dict:
    """The device as the API has it; {} while it is not there or a service is away."""
    answer = rest.get(f"/api/v1/esp/devices/{esp_id}")
    return answer.json() if answer.status_code == 200 else {}


def rejected_of(rest: httpx.Client, esp_id: str) -> list[dict]:
    return rest.get("/api/v1/rejected", params={"esp_id": esp_id}).json()["items"]


@pytest.mark.both_brokers
def test_an_unknown_device_becomes_pending_is_approved_with_replay_and_lives(
    stack: Stack, rest: httpx.Client, esp_id: str
):
    now_ms = int(time.time() * 1000)
    stack.publish([reading(esp_id, 4, now_ms + number, 20.0) for number in range(5)])
    wait_until(lambda: len(rejected_of(rest, esp_id)) == 5, "five readings of the stranger are kept as rejected")
    stack.publish([heartbeat(esp_id)])
    wait_until(lambda: device(rest, esp_id).get("state") == "pending", "the stranger is pending")
    answer = rest.post(f"/api/v1/esp/devices/{esp_id}/approve", params={"replay": "true"}, timeout=60)
    assert (answer.status_code, answer.json()["replayed"]) == (200, 5), answer.text
    wait_until(lambda: stack.rows([esp_id]) == 5, "what was rejected of it is stored")
    stack.publish([heartbeat(esp_id, sensor_count=1)])
    wait_until(lambda: device(rest, esp_id)["online"], "it is online")
    stack.publish([will(esp_id, int(time.time()) - 3600)])
    stack.publish([will(esp_id, int(time.time()) + 5)])
    wait_until(lambda: not device(rest, esp_id)["online"], "its will takes it offline")
    stack.publish([reading(esp_id, 4, now_ms + 60_000, 20.0)])
    wait_until(lambda: device(rest, esp_id)["online"], "any data brings it online again")
    assert rest.post(f"/api/v1/esp/devices/{esp_id}/reject").json()["state"] == "rejected"
    actions = [entry["action"] for entry in rest.get("/api/v1/audit", params={"target": esp_id}).json()["items"]]
    assert actions == ["reject_device", "approve_device"]
    export = rest.get("/api/v1/audit", params={"target": esp_id, "format": "csv"})
    assert export.text.splitlines()[0].startswith("id,at,actor")
    assert len(export.text.splitlines()) == 3


def test_the_history_of_a_device_is_there_over_rest(stack: Stack, rest: httpx.Client):
    [esp_id] = stack.register(1)
    for number in range(3):
        stack.publish([heartbeat(esp_id, heap_free=1000 + number)])

    def history() -> list[dict]:
        return rest.get(f"/api/v1/esp/devices/{esp_id}/health").json()["items"]

    wait_until(lambda: sum(bucket["heartbeats"] for bucket in history()) == 3, "three heartbeats are in the history")
    assert min(bucket["heap_free_min"] for bucket in history()) == 1000


@pytest.mark.parametrize("victim", ["health", "nats", "postgres"])
def test_a_device_is_not_forgotten_over_a_kill(stack: Stack, rest: httpx.Client, victim: str):
    [esp_id] = stack.register(1)
    stack.publish([heartbeat(esp_id)])
    wait_until(lambda: device(rest, esp_id).get("online"), "it is online")
    stack.kill(victim)
    stack.publish([heartbeat(esp_id, heap_free=12_345)])
    wait_until(lambda: device(rest, esp_id).get("heap_free") == 12_345, f"the heartbeat outlives {victim}", 60.0)
    assert device(rest, esp_id)["online"]
    assert device(rest, esp_id)["state"] == "approved"


def test_a_zone_and_a_config_reach_the_device_and_its_answers_come_back(stack: Stack, rest: httpx.Client):
    [esp_id] = stack.register(1)
    zone = rest.post(f"/api/v1/esp/devices/{esp_id}/zone", json={"zone_id": "north"})
    assert zone.status_code == 202, zone.text
    ack = {"esp_id": esp_id, "status": "zone_assigned", "zone_id": "north", "ts": int(time.time())}
    stack.publish([Message(f"kaiser/god/esp/{esp_id}/zone/ack", json.dumps(ack).encode())])
    wait_until(lambda: device(rest, esp_id)["zone_id"] == "north", "the zone is in force")
    config = {"sensors": [{"gpio": 4, "type": "DS18B20"}], "actuators": []}
    pushed = rest.post(f"/api/v1/esp/devices/{esp_id}/config", json=config)
    assert pushed.status_code == 202, pushed.text
    response = {"status": "success", "type": "sensor", "count": 1, "message": "Configured 1"}
    stack.publish([Message(f"kaiser/god/esp/{esp_id}/config_response", json.dumps(response).encode())])
    wait_until(
        lambda: rest.get("/api/v1/audit", params={"target": esp_id, "action": "config_response"}).json()["items"],
        "the device's answer is in the audit log",
    )
    unknown = rest.post(f"/api/v1/esp/devices/{esp_id}/command", json={"command": "reboot"})
    assert (unknown.status_code, unknown.json()["code"]) == (422, 5204)
    reset = rest.post(f"/api/v1/esp/devices/{esp_id}/command", json={"command": "factory_reset", "confirm": True})
    assert reset.status_code == 202, reset.text


def test_bad_ids_and_transitions_are_refused_with_a_code(stack: Stack, rest: httpx.Client):
    [esp_id] = stack.register(1)
    bad = rest.post("/api/v1/esp/devices", json={"esp_id": "esp-lower"})
    assert (bad.status_code, bad.json()["field"]) == (422, "esp_id")
    twice = rest.post("/api/v1/esp/devices", json={"esp_id": esp_id})
    assert (twice.status_code, twice.json()["code"]) == (409, 5208)
    again = rest.post(f"/api/v1/esp/devices/{esp_id}/approve")
    assert (again.status_code, again.json()["code"]) == (409, 5414)
    offline = rest.post(f"/api/v1/esp/devices/{esp_id}/command", json={"command": "reboot"})
    assert (offline.status_code, offline.json()["code"]) == (409, 5007)
    unknown = rest.get("/api/v1/esp/devices/ESP_NOBODY")
    assert (unknown.status_code, unknown.json()["code"]) == (404, 5001)
