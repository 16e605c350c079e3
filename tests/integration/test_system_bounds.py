"""Every field of every kind of message with the largest, smallest and longest values, through the running stack.

The messages are the handed vectors of tests/golden, so a field that is added to them is covered. Each integer, number
and text field, also within lists and objects, is sent at every bound that `kaiser_common.bounds` states, beside it, and
far beyond it. Whatever ingest lets through, each consumer takes: no process ends, and no list of the API answers 5xx.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
from harness import Message, Stack, reading, wait_until
from kaiser_common import bounds

GOLDEN = Path(__file__).parents[1] / "golden"
VECTORS = [
    vector
    for name in ("device-messages.json", "firmware-messages.json")
    for vector in json.loads((GOLDEN / name).read_text())
    if vector["expect"] == "accept"
]
STATED = {
    name: value
    for name, value in vars(bounds).items()
    if name.startswith(("MAX_", "MIN_", "INT4_")) and isinstance(value, int | float)
}
NUMBERS = sorted(
    {float(value + step) for value in STATED.values() for step in (-1, 0, 1)}
    | {0.0, -1.0, -(2.0**31), 2.0**31, 2.0**32 - 1, 2.0**53, -1e15, 1e15, 1e200, -1e200, 1.7e308, 5e-324}
)
INTEGERS = sorted({int(value) for value in NUMBERS if abs(value) < 2**62} | {2**63 - 1, -(2**63), 2**64})
LENGTHS = sorted({int(value) + step for value in STATED.values() if 0 < value <= 4096 for step in (0, 1)} | {0, 3000})
UNTOUCHED = ("esp_id",)
_STREAMS = ("DEVICES", "EVENTS")
_AT_ONCE = 400


def extremes(value: Any) -> Iterator[Any]:
    """Values of the same type at and beyond every bound."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int):
        yield from INTEGERS
    elif isinstance(value, float):
        yield from NUMBERS
    elif isinstance(value, str):
        yield from ("x" * length for length in LENGTHS)
        yield from ("ü" * 200, "\U0001f4a7" * 64, "=1+1", "a\tb", "relay.1")


def variants(body: Any) -> Iterator[Any]:
    """The body with one field at a time at one of its extremes."""
    items = body.items() if isinstance(body, dict) else enumerate(body)
    for key, value in items:
        if key in UNTOUCHED:
            continue
        inner = variants(value) if isinstance(value, dict | list) else extremes(value)
        for changed in inner:
            copy = body.copy()
            copy[key] = changed
            yield copy


def messages(esp_id: str) -> Iterator[Message]:
    """Every variant of every vector, spoken by one device."""
    for vector in VECTORS:
        old = next((level for level in vector["topic"].split("/") if level.startswith(("ESP_", "MOCK_"))), "")
        try:
            body = json.loads(vector["payload"].replace(old, esp_id) if old else vector["payload"])
        except ValueError:
            continue
        topic = vector["topic"].replace(old, esp_id) if old else vector["topic"]
        if esp_id in topic and isinstance(body, dict):
            seen = set()
            for variant in variants(body):
                payload = json.dumps(variant).encode()
                if payload not in seen:
                    seen.add(payload)
                    yield Message(topic, payload)


async def waiting(stack: Stack) -> int:
    """Messages that some durable consumer has not acknowledged yet."""
    connection = await nats.connect(stack.addresses["nats_url"], max_reconnect_attempts=3)
    try:
        manager = connection.jsm()
        found = [info for name in _STREAMS for info in await manager.consumers_info(name)]
    finally:
        await connection.close()
    durable = [info for info in found if info.config.durable_name]
    return sum((info.num_pending or 0) + (info.num_ack_pending or 0) for info in durable)


def lists(rest: httpx.Client, esp_id: str) -> Iterator[str]:
    """Every GET of the API whose only parameter in the path may be a device."""
    paths = rest.get("/api/openapi.json").json()["paths"]
    for path, methods in paths.items():
        filled = path.replace("{esp_id}", esp_id)
        if "get" in methods and "{" not in filled and filled.startswith("/api/v1/"):
            yield filled
            names = {parameter["name"] for parameter in methods["get"].get("parameters", [])}
            if "esp_id" in names and filled == path:
                yield f"{filled}?esp_id={esp_id}"


@pytest.mark.timeout(600)
def test_no_value_that_ingest_lets_through_ends_a_service_or_breaks_a_list(make_stack: Any):
    stack: Stack = make_stack(KAISER_REQUEST_PER_SECOND="100000").start()
    esp_id = f"ESP_{secrets.token_hex(4).upper()}"
    with stack.sign_in() as rest:
        assert rest.post("/api/v1/esp/devices", json={"esp_id": esp_id}).status_code == 201
        pids = stack.pids()
        every = list(messages(esp_id))
        assert len(every) > 5000
        for start in range(0, len(every), _AT_ONCE):
            stack.publish(every[start : start + _AT_ONCE])
        now_ms = int(time.time() * 1000)
        stack.publish([reading(esp_id, 47, now_ms, 20.0)])
        wait_until(lambda: asyncio.run(waiting(stack)) == 0, "every consumer has taken everything", 240.0)
        asked = list(lists(rest, esp_id))
        assert len(asked) > 10
        answers = {path: rest.get(path).status_code for path in asked}
    assert {path: code for path, code in answers.items() if code >= 500} == {}
    assert stack.pids() == pids, "no process has ended"
    assert stack.rows([esp_id]) > 100
