"""The cases of tests/cases/security-cases.json that are messages: from a device by MQTT, or straight on the bus.

Each is published as the file says; afterwards no service has ended, a healthy device's readings go on, and what cannot
be kept is in REJECTED with a code.
"""

import asyncio
import json
import random
import secrets
import string
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
from cases_runner import send_together
from harness import Stack, reading, wait_until

FILE = Path(__file__).parents[1] / "cases" / "security-cases.json"
CASES = {case["id"]: case for case in json.loads(FILE.read_text())["cases"]}
TAKEN = {
    "heartbeat-rssi-unsigned": 0,
    "error-code-beyond-int4": 0,
    "response-correlation-id-long": 0,
}
"""Cases whose message stands although a figure or text of it does not: no rejection is asked for."""
REJECTED = {
    "bus-heartbeat-received-at": {5305, 5407},
    "bus-reading-year-3170843": {5305, 5407},
    "batch-of-8000-numbers": {5206, 5207},
}
"""Cases that end in REJECTED, with the codes that are right."""
RUN = (*TAKEN, *REJECTED, "bus-event-no-json")
MOST_REJECTIONS = 200
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


@pytest.mark.parametrize("name", RUN)
def test_a_message_of_the_security_review_ends_no_service(own_stack: Stack, rest: httpx.Client, name: str):
    stack = own_stack
    pids, before, rows = stack.pids(), len(codes(rest)), stack.rows(["ESP_HEALTHY"])
    for step in CASES[name]["do"]:
        carry_out(stack, step)
    if name in REJECTED:
        wait_until(lambda: len(codes(rest)) > before, "it is in REJECTED")
        new = codes(rest)[: len(codes(rest)) - before]
        assert set(new) <= REJECTED[name]
        assert len(new) <= MOST_REJECTIONS
    now_ms = int(time.time() * 1000)
    stack.publish([reading("ESP_HEALTHY", 4, now_ms + number, 20.0) for number in range(20)])
    wait_until(lambda: stack.rows(["ESP_HEALTHY"]) == rows + 20, "a healthy device's readings are stored")
    target = {"esp_id": "ESP_HEALTHY", "reason": "after the case"}
    wait_until(lambda: rest.post("/api/v1/actuators/emergency_stop", json=target).is_success, "a stop is taken")
    assert stack.pids() == pids, "no process has ended"
