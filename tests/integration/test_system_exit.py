"""The single exit, attacked on the bus itself; and streams that are gone, told by the system's status."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
from firmware_a import FirmwareA
from freezing import PUMP, set_up
from harness import Stack, wait_until


@pytest.fixture(scope="module")
def own_stack(server_folder: Path) -> Iterator[Stack]:
    """A stack of this module's own: a stream of it is deleted."""
    stack = Stack(server_folder / f"exit-{secrets.token_hex(3)}")
    try:
        yield stack.start()
    finally:
        if stack.process and stack.process.poll() is None:
            stack.stop()


@pytest.fixture
def rest(own_stack: Stack) -> Iterator[httpx.Client]:
    with own_stack.sign_in() as rest:
        yield rest


def test_what_comes_to_the_exit_under_another_name_moves_no_pump(own_stack: Stack, rest: httpx.Client):
    address = own_stack.addresses["mqtt_host"], own_stack.addresses["mqtt_port"]
    with FirmwareA(address, f"ESP_{secrets.token_hex(4).upper()}", interval_s=0.3) as device:
        set_up(own_stack, rest, device)
        esp_id, pump = device.board.esp_id, device.board.flash.actuators[PUMP]
        stop = {"esp_id": esp_id, "reason": "hand in pump"}
        wait_until(lambda: rest.post("/api/v1/actuators/emergency_stop", json=stop).is_success, "a stop is taken")
        wait_until(lambda: pump.stopped, "the device is stopped")
        before = len(device.board.heard_on(f"actuator/{PUMP}/command"))

        command, emergency = device.board.topic(f"actuator/{PUMP}/command"), device.board.topic("actuator/emergency")
        on = {"command": "ON", "value": 1, "duration": 0, "timestamp": 0, "correlation_id": "x"}
        clear = {"command": "clear_emergency", "auth_token": esp_id}
        tried: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
            ("mqtt.out.god.MOCK_X.mock", command, on, {}),
            ("mqtt.out.god.MOCK_X", command, on, {}),
            (f"mqtt.out.god.{esp_id}.setup", command, on, {}),
            (f"mqtt.out.god.{esp_id}.command.{PUMP + 1}", command, on, {}),
            (f"mqtt.out.other.{esp_id}.command.{PUMP}", command, on, {}),
            (f"mqtt.urgent.god.{esp_id}", command, on, {}),
            (f"mqtt.out.god.{esp_id}.stop", emergency, clear, {}),
            ("mqtt.out.god.MOCK_X.mock", emergency, clear, {}),
            ("mqtt.urgent.god.MOCK_X", emergency, clear, {}),
            ("mqtt.urgent.broadcast.all", "kaiser/broadcast/emergency", clear, {}),
            (
                "mqtt.urgent.broadcast.all",
                "kaiser/broadcast/emergency",
                {"command": "emergency_stop"},
                {"retain": True},
            ),
            (
                f"mqtt.out.god.{esp_id}.command.{PUMP}",
                command,
                on,
                {"receipt": "esp.actuator.sent.god.X.1.a\r\nPUB x 0"},
            ),
        ]
        entries = asyncio.run(_put_and_wait(own_stack, tried))
        assert len(device.board.heard_on(f"actuator/{PUMP}/command")) == before
        assert device.board.heard_on("kaiser/broadcast/emergency") == []
        assert (pump.on, pump.stopped) == (False, True)
    assert len(entries) == len(tried)
    assert {each["code"] for each in entries} <= {5201, 5211, 5405}


async def _put_and_wait(stack: Stack, tried: list[tuple[str, str, dict[str, Any], dict[str, Any]]]) -> list[Any]:
    """Put messages into the OUTBOX as a service might; the rejections, once the outbox is empty."""
    client = await nats.connect(stack.addresses["nats_url"])
    try:
        jetstream = client.jetstream()
        first = (await jetstream.stream_info("REJECTED")).state.last_seq
        for subject, topic, body, fields in tried:
            message = {"topic": topic, "payload": json.dumps(body), **fields}
            await jetstream.publish(subject, json.dumps(message).encode())
        for _ in range(1200):
            if not (await jetstream.stream_info("OUTBOX")).state.messages:
                break
            await asyncio.sleep(0.05)
        last = (await jetstream.stream_info("REJECTED")).state.last_seq
        found = [await jetstream.get_msg("REJECTED", seq) for seq in range(first + 1, last + 1)]
    finally:
        await client.close()
    return [json.loads(each.data or b"") for each in found]


def test_a_stream_that_is_gone_is_told_of_each_service_that_reads_it(own_stack: Stack, rest: httpx.Client):
    def ready() -> dict[str, bool]:
        status = rest.get("/api/v1/system/status").json()
        return {each["service"]: each["ready"] for each in status["services"]}

    wait_until(lambda: all(ready().values()), "everything is ready")
    asyncio.run(_delete(own_stack, "DEVICES"))
    readers = ("health", "actuator", "sensor", "simulator")
    wait_until(lambda: not any(ready()[name] for name in readers), "its readers are not ready")
    asyncio.run(_delete(own_stack, "OUTBOX"))
    wait_until(lambda: not ready()["ingest"], "ingest is not ready")


async def _delete(stack: Stack, stream: str) -> None:
    client = await nats.connect(stack.addresses["nats_url"])
    try:
        await client.jetstream().delete_stream(stream)
    finally:
        await client.close()
