"""What a broker can say when it does not want us, and how ingest takes it."""

import json
from collections.abc import Callable
from typing import Any

import pytest


async def system_events(client: Any) -> list[dict[str, Any]]:
    """The system events from now on."""
    told: list[dict[str, Any]] = []

    async def note(message: Any) -> None:
        told.append(json.loads(message.data))

    await client.subscribe("event.system_event.>", cb=note)
    await client.flush()
    return told


async def test_a_session_taken_over_is_told_and_not_fought(
    world_at: Callable[[Any], Any], scripted_broker: Any, until: Callable[..., Any]
) -> None:
    async with scripted_broker(farewell=b"\xe0\x02\x8e\x00") as broker:
        world = world_at(broker)
        async with world.client() as client:
            told = await system_events(client)
            ingest = world.ingest()
            await until(lambda: any(each["code"] == 5108 for each in told), 15.0)
            await until(lambda: len(broker.connects) == 2, 15.0)
    assert "0x8e session taken over" in ingest.log()
    assert broker.connects[1] - broker.connects[0] >= 4.9


@pytest.mark.parametrize(
    ("script", "logged"),
    [
        ({"connack": 0x87}, ("0x87 not authorized", 5107)),
        ({"connack": 0x86}, ("0x86 bad user name or password", 5107)),
        ({"connack": 0x88}, ("0x88 server unavailable", 5106)),
        ({"suback": 0x87}, ("0x87 not authorized", 5107)),
        ({"suback": 0}, ("refused filters", 5106)),
        ({"puback": 0x97}, ("0x97 quota exceeded", 5106)),
    ],
)
async def test_a_refusal_is_logged_with_its_meaning_and_does_not_count_as_up(
    world_at: Callable[[Any], Any],
    scripted_broker: Any,
    until: Callable[..., Any],
    script: dict[str, int],
    logged: tuple[str, int],
) -> None:
    reason, code = logged
    async with scripted_broker(**script) as broker:
        world = world_at(broker)
        ingest = world.ingest()
        await until(lambda: reason in ingest.log(), 15.0)
        line = next(json.loads(each) for each in ingest.log().splitlines() if reason in each)
        assert line["code"] == code
        status, body = ingest.get("/readyz")
        assert status == 503
        assert reason in json.loads(body)["checks"]["mqtt"]
        assert not ingest.connected()
        assert ingest.stop() == 0
