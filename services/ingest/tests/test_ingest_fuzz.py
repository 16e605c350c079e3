"""Random and mutated payloads through the running ingest: no crash, and every one accounted for."""

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GOLDEN = json.loads((Path(__file__).parents[3] / "tests/golden/device-messages.json").read_text())
ESP_IDS = ("ESP_0A1B2C3D", "MOCK_001", "ESP_FFFFFFFF")


def mutated(payload: bytes, dice: random.Random) -> bytes:
    """A payload with some bytes changed, dropped, doubled, or quite another one."""
    choice = dice.randrange(8)
    data = bytearray(payload)
    if choice == 0:
        return dice.randbytes(dice.randrange(60))
    if choice == 1:
        return payload.replace(b":", dice.choice([b":-", b":[", b":1e", b'":"', b"::"]), 1)
    if choice == 2:
        return payload.replace(b"true", dice.choice([b"null", b"1", b"NaN", b'"\\u0000"', b"{}"]))
    if choice == 3:
        return payload.replace(b"1767225600", str(dice.choice([0, -1, 10**18, 10**30, 1.5])).encode())
    for _ in range(dice.randrange(1, 4)):
        if data:
            at = dice.randrange(len(data))
            if choice == 4:
                del data[at]
            elif choice == 5:
                data[at:at] = data[at : at + dice.randrange(9)]
            else:
                data[at] = dice.randrange(256)
    return bytes(data)


@pytest.mark.parametrize("payloads", [20_000, pytest.param(200_000, marks=pytest.mark.faults)])
async def test_no_payload_crashes_ingest_and_every_one_is_accounted_for(
    world: Any, until: Callable[..., Any], worlds_site: Callable[[str], str], payloads: int
) -> None:
    await world.approve(ESP_IDS)
    ingest = world.ingest()
    await until(ingest.connected)
    dice = random.Random(20_260_101)
    examples = [(worlds_site(each["topic"]), each["payload"].encode()) for each in GOLDEN]
    device = await world.device()
    pid = ingest.pid
    for number in range(payloads):
        topic, payload = dice.choice(examples)
        await device.publish(number, topic, mutated(payload, dice))
    await device.all_acknowledged(120.0)
    assert len(device.acknowledged) == payloads
    await until(lambda: ingest.total("kaiser_ingest_messages_total") >= payloads, within_s=120.0, every_s=0.2)
    await until(lambda: not ingest.total("kaiser_ingest_in_flight_messages"))
    assert ingest.accounts_balance()
    # more where the broker sent some again, after a connection that broke on a busy machine
    assert ingest.total("kaiser_ingest_received_messages_total") >= payloads
    results: Counter[str] = Counter()
    for name, value in ingest.metrics().items():
        if name.startswith("kaiser_ingest_messages_total{"):
            results[name.partition('result="')[2].partition('"')[0]] += int(value)
    rejected_alone = len(await world.stored("REJECTED"))
    assert results["published"] + results["rejected"] + results["ignored"] == payloads
    assert results["rejected"] > payloads // 4
    assert results["published"] > payloads // 20
    assert rejected_alone == ingest.total("kaiser_ingest_rejected_total") >= results["rejected"]
    assert ingest.pid == pid
    assert "crashed" not in ingest.log()
    assert ingest.stop() == 0
