"""The cases of tests/cases/security-cases.json that are messages: from a device by MQTT, or straight on the bus.

Each is published as the file says; afterwards no service has ended, a healthy device's readings go on, and what cannot
be kept is in REJECTED once, with a code. Thirty emergency stops in a row are taken, and a client that has filtered by a
sensor type still gets its events.
"""

import asyncio
import json
import random
import secrets
import string
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import nats
import psycopg
import pytest
from cases_runner import send_together
from harness import Message, Stack, reading, wait_until
from websockets.sync.client import ClientConnection, connect

FILE = Path(__file__).parents[1] / "cases" / "security-cases.json"
CASES = {case["id"]: case for case in json.loads(FILE.read_text())["cases"]}
TAKEN = {
    "heartbeat-rssi-unsigned": "SELECT count(*) FROM health.heartbeats WHERE esp_id = 'ESP_SEC1' AND uptime_s = 1000",
    "error-code-beyond-int4": "SELECT count(*) FROM health.device_errors WHERE esp_id = 'ESP_SEC1' AND message = 'x'",
    "response-correlation-id-long": "SELECT count(*) FROM actuator.history WHERE esp_id = 'ESP_SEC1' AND gpio = 25",
}
"""Cases whose message stands although a figure or text of it does not, with where it is stored."""
REJECTED = {
    "bus-heartbeat-received-at": {5305, 5407},
    "bus-reading-year-3170843": {5305, 5407},
    "batch-of-8000-numbers": {5207},
}
"""Cases that end in REJECTED, as one entry, with the codes that are right."""
RUN = (*TAKEN, *REJECTED, "bus-event-no-json")
STOPS = 30
DEVICE = "ESP_SEC1"


@pytest.fixture(scope="module")
def own_stack(server_folder: Path) -> Iterator[Stack]:
    stack = Stack(server_folder / f"stack-{secrets.token_hex(3)}")
    try:
        yield stack.start()
    finally:
        stack.stop()


@pytest.fixture(scope="module")
def rest(own_stack: Stack) -> Iterator[httpx.Client]:
    with own_stack.sign_in() as rest:
        for esp_id in (DEVICE, "ESP_HEALTHY"):
            assert rest.post("/api/v1/esp/devices", json={"esp_id": esp_id}).status_code == 201
        yield rest


def filled(value: Any) -> Any:
    """The value with what the file writes as $… in place."""
    match value:
        case "$now_s":
            return int(time.time())
        case "$now_ms":
            return int(time.time() * 1000)
        case {"$random_letters_and_digits": count, "seed": seed}:
            return "".join(random.Random(seed).choices(string.ascii_letters + string.digits, k=count))
        case {"$list_of_ones": count}:
            return [1] * count
        case dict():
            return {name: filled(inner) for name, inner in value.items()}
        case list():
            return [filled(inner) for inner in value]
    return value


async def on_bus(stack: Stack, subject: str, body: bytes) -> None:
    connection = await nats.connect(stack.addresses["nats_url"], max_reconnect_attempts=3)
    try:
        await connection.publish(subject, body)
        await connection.flush(5)
    finally:
        await connection.close()


def carry_out(stack: Stack, step: dict[str, Any]) -> None:
    match step:
        case {"publish": {"topic": topic, "payload": payload}}:
            host, port = stack.addresses["mqtt_host"], stack.addresses["mqtt_port"]
            compact = json.dumps(filled(payload), separators=(",", ":"))
            send_together(host, port, [(topic, compact.encode(), False)])
        case {"nats_publish": {"subject": subject, "body": body}}:
            asyncio.run(on_bus(stack, subject, json.dumps(filled(body)).encode()))
        case {"nats_publish": {"subject": subject, "text": text}}:
            asyncio.run(on_bus(stack, subject, text.encode()))
        case _:
            raise AssertionError(f"a step that this test does not know: {step}")


def codes(rest: httpx.Client) -> list[int]:
    answer = rest.get("/api/v1/rejected", params={"limit": 1000})
    return [item["code"] for item in answer.json()["items"]] if answer.is_success else []


def count(stack: Stack, statement: str) -> int:
    with psycopg.connect(stack.addresses["database_url"], connect_timeout=5) as connection:
        found = connection.execute(statement).fetchone()
    return int(found[0]) if found else 0


@contextmanager
def watching_ph(stack: Stack, rest: httpx.Client) -> Iterator[ClientConnection]:
    """A client that has filtered by a sensor type, as the case of a broken event asks for."""
    token = rest.headers["Authorization"].removeprefix("Bearer ")
    host = stack.addresses["http_url"].removeprefix("http://")
    with connect(f"ws://{host}/api/v1/ws/realtime/cases?token={token}") as socket:
        socket.send(json.dumps({"action": "subscribe", "filters": {"sensor_types": ["ph"]}}))
        while json.loads(socket.recv(60))["type"] != "subscribed":
            pass
        yield socket


def ph(esp_id: str, now_ms: int) -> Message:
    body = {"ts": now_ms, "esp_id": esp_id, "gpio": 34, "sensor_type": "ph", "raw": 1, "raw_mode": False, "value": 7}
    return Message(f"kaiser/god/esp/{esp_id}/sensor/34/data", json.dumps(body).encode())


@pytest.mark.parametrize("name", RUN)
def test_a_message_of_the_security_review_ends_no_service(own_stack: Stack, rest: httpx.Client, name: str):
    stack = own_stack
    pids, before, rows = stack.pids(), len(codes(rest)), stack.rows(["ESP_HEALTHY"])
    with watching_ph(stack, rest) as socket:
        for step in CASES[name]["do"]:
            carry_out(stack, step)
        if name in TAKEN:
            wait_until(lambda: count(stack, TAKEN[name]) == 1, "it is stored")
        if name in REJECTED:
            wait_until(lambda: len(codes(rest)) > before, "it is in REJECTED")
        now_ms = int(time.time() * 1000)
        stack.publish([reading("ESP_HEALTHY", 4, now_ms + number, 20.0) for number in range(19)])
        stack.publish([ph("ESP_HEALTHY", now_ms)])
        wait_until(lambda: stack.rows(["ESP_HEALTHY"]) == rows + 20, "a healthy device's readings are stored")
        while (frame := json.loads(socket.recv(60)))["type"] != "sensor_data":
            pass
        assert frame["data"]["esp_id"] == "ESP_HEALTHY", "other events go on"
    target = {"esp_id": "ESP_HEALTHY", "reason": "after the case"}
    answers = [rest.post("/api/v1/actuators/emergency_stop", json=target).status_code for _ in range(STOPS)]
    assert answers == [200] * STOPS
    new = codes(rest)[: len(codes(rest)) - before]
    assert (len(new), set(new) <= REJECTED.get(name, set())) == (int(name in REJECTED), True), new
    assert stack.pids() == pids, "no process has ended"
