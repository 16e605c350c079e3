"""The rest of the connection's reader between two batches: what arrives waits in the socket, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.mqtt import client
from kaiser_ingest.mqtt.client import MqttPublication
from kaiser_ingest.mqtt.connection import MqttConnection
from kaiser_ingest.mqtt.profiles import Profile

TOPIC = "kaiser/god/esp/ESP_A/sensor/4/data"
FOR_EVER_S = 3600.0
WITHIN_S = 120.0


@asynccontextmanager
async def connected(broker: Any) -> AsyncIterator[tuple[MqttConnection, list[Incoming]]]:
    """A connection that listens to TOPIC, and what it has received."""
    came: list[Incoming] = []
    connection = MqttConnection(
        Profile(host=broker.host, port=broker.port),
        client_id="test-rest",
        mqtt5=True,
        generation=1,
        will=MqttPublication("kaiser/god/server/status", b"{}"),
        keepalive_s=30,
        session_expiry_s=0,
        will_delay_s=0,
        receive_maximum=100,
        kept_bytes=1024,
        on_messages=came.extend,
        clean=True,
    )
    await connection.connect()
    try:
        await connection.subscribe([TOPIC])
        yield connection, came
    finally:
        connection.abort()


def numbers(came: list[Incoming]) -> list[int]:
    return [int(message.payload) for message in came]


async def test_what_arrives_in_a_rest_waits_in_the_socket_until_it_is_read(
    world: Any, until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LONGEST_REST_S", FOR_EVER_S)
    async with connected(world.broker) as (connection, came):
        device = await world.device()
        connection.rest()
        for number in range(3):
            await device.publish(number, TOPIC, b"%d" % number)
        await device.all_acknowledged()
        assert numbers(came) == []

        def read() -> bool:
            connection.rest()  # a read that finds nothing ends it
            connection.read()
            return len(came) == 3

        await until(read)
        assert numbers(came) == [0, 1, 2]
        await device.close()


async def test_after_a_read_that_finds_nothing_a_message_is_read_when_it_comes(
    world: Any, until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LONGEST_REST_S", FOR_EVER_S)
    async with connected(world.broker) as (connection, came):
        device = await world.device()
        connection.rest()
        connection.read()
        await device.publish(7, TOPIC, b"7")
        await until(lambda: numbers(came) == [7])
        await device.close()


async def test_a_rest_ends_without_a_read(world: Any, until: Callable[..., Any]) -> None:
    """NATS is away: the pipeline asks for nothing, but the window is to fill, and the broker's answers are read."""
    async with connected(world.broker) as (connection, came):
        device = await world.device()
        for number in range(3):
            connection.rest()
            await device.publish(number, TOPIC, b"%d" % number)
            await until(lambda: len(came) == number + 1)  # noqa: B023
        await device.close()


async def test_no_answer_of_the_broker_waits_for_the_end_of_a_rest(
    world: Any, until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop is published again where its PUBACK does not come."""
    monkeypatch.setattr(client, "LONGEST_REST_S", FOR_EVER_S)
    async with connected(world.broker) as (connection, came):
        connection.rest()
        assert await connection.publish(MqttPublication("kaiser/god/x", b"1"), WITHIN_S) < 0x80
        connection.rest()
        assert await connection.answers(WITHIN_S)
        answer = connection.send(MqttPublication("kaiser/god/x", b"1"))
        connection.rest()
        async with asyncio.timeout(WITHIN_S):
            await answer
        device = await world.device()
        await device.publish(1, TOPIC, b"1")
        await until(lambda: numbers(came) == [1])
        await device.close()


async def test_a_reader_that_was_paused_in_a_rest_reads_again_when_it_may(
    world: Any, until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LONGEST_REST_S", FOR_EVER_S)
    async with connected(world.broker) as (connection, came):
        device = await world.device()
        connection.rest()
        connection.pause()
        connection.rest()
        await device.publish(1, TOPIC, b"1")
        await device.all_acknowledged()
        connection.read()
        assert numbers(came) == []
        connection.resume()
        await until(lambda: numbers(came) == [1])
        await device.close()


async def test_the_end_of_a_connection_is_seen_in_a_rest(mosquitto_factory: Callable[..., Any]) -> None:
    broker = mosquitto_factory()
    async with connected(broker) as (connection, _):
        connection.rest()
        broker.kill()
        async with asyncio.timeout(WITHIN_S):
            assert (await connection.closed()).code is None
