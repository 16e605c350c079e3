"""Broker profiles: switched at run time under load, and back when the new broker does not come up."""

import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from firmware_a import FirmwareA
from firmware_b import FirmwareB
from firmware_device import Board
from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.system import MqttProfiles, SwitchProfile

ADA = Caller(user="ada", role="admin")
ESP = "ESP_0001"


@asynccontextmanager
async def asking(world: Any) -> AsyncIterator[Bus]:
    async with connect(world.bus, "tests") as bus:
        yield bus


async def switch(bus: Bus, profile: str) -> MqttProfiles:
    request = SwitchProfile(profile=profile)
    return await call(bus, "ingest", "switch_profile", request, MqttProfiles, caller=ADA, timeout_s=60.0)


async def test_a_switch_under_load_loses_nothing_and_outlives_a_restart(
    world: Any, mosquitto_factory: Callable[..., Any], make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    await world.approve([ESP])
    other = mosquitto_factory()
    ingest = world.ingest(KAISER_MQTT_PROFILES=json.dumps({"mock": {"host": other.host, "port": other.port}}))
    await until(ingest.connected)
    device = await world.device()
    watcher = await world.device()
    await watcher.subscribe(f"kaiser/{world.site}/server/status")
    topic = world.topic(ESP, "sensor/34/data")
    async with asking(world) as bus:
        assert await switch(bus, "live") == MqttProfiles(
            active="live", address=f"mqtt://{world.broker.host}:{world.broker.port}", profiles=["live", "mock"]
        )
        assert ingest.total("kaiser_ingest_reconnects_total") == 0
        for number in range(3000):
            await device.publish(number, topic, make_reading(ESP, number))
        await until(lambda: ingest.total("kaiser_ingest_messages_total") > 100, every_s=0.005)
        assert (await switch(bus, "mock")).active == "mock"
        assert ingest.accounts_balance()
        world.broker, first = other, world.broker
        at_other = await world.device()
        await at_other.publish(5000, topic, make_reading(ESP, 5000))
        await until(lambda: _has(world, 5000))
        ingest.kill()
        ingest.start()
        await until(ingest.connected)
        assert await call(bus, "ingest", "mqtt_profiles", Nothing(), MqttProfiles, caller=ADA) == MqttProfiles(
            active="mock", address=f"mqtt://{other.host}:{other.port}", profiles=["live", "mock"]
        )
        assert _states(watcher) == ["online", "offline"], "it is not back for a moment at the broker that it left"
        assert (await switch(bus, "live")).active == "live"
        await until(lambda: _states(watcher) == ["online", "offline", "online"])
        world.broker = first
    await device.all_acknowledged()
    await until(lambda: _all(world, {*range(3000), 5000}))
    assert ingest.accounts_balance()


async def _has(world: Any, number: int) -> bool:
    return any(body["raw"] == number for _, body in await world.stored("SENSORS"))


async def _all(world: Any, numbers: set[int]) -> bool:
    stored = [body["raw"] for _, body in await world.stored("SENSORS")]
    return set(stored) == numbers and len(stored) == len(numbers)


async def test_a_switch_to_a_broker_that_is_away_returns_to_the_old_one_and_says_why(
    world: Any, free_port: Callable[[], int], make_reading: Callable[..., bytes], until: Callable[..., Any]
) -> None:
    await world.approve([ESP])
    nowhere = json.dumps({"mock": {"host": "127.0.0.1", "port": free_port()}})
    ingest = world.ingest(KAISER_MQTT_PROFILES=nowhere, KAISER_MQTT_SWITCH_S="1.5")
    await until(ingest.connected)
    device = await world.device()
    async with asking(world) as bus:
        for number in range(500):
            await device.publish(number, world.topic(ESP, "sensor/34/data"), make_reading(ESP, number))
        with pytest.raises(RpcError, match="refused") as caught:
            await switch(bus, "mock")
        assert (caught.value.problem.status, caught.value.problem.code) == (502, 5106)
        await until(ingest.connected, within_s=60.0)
        with pytest.raises(RpcError) as caught:
            await switch(bus, "nothing")
        assert caught.value.problem.status == 404
        assert (await call(bus, "ingest", "mqtt_profiles", Nothing(), MqttProfiles, caller=ADA)).active == "live"
    await device.all_acknowledged()
    await until(lambda: _all(world, set(range(500))))
    assert ingest.accounts_balance()


CONFIG = {
    "config_id": "c1",
    "correlation_id": "c1",
    "actuators": [{"gpio": 25, "actuator_type": "pump", "actuator_name": "Pump"}],
}


@pytest.mark.parametrize(
    ("server_of", "host", "client_id"),
    [
        ("mosquitto", "127.0.0.1", ""),
        ("mosquitto", "127.0.0.1", "another"),
        ("mosquitto", "localhost", ""),
        ("nats_mqtt", "127.0.0.1", ""),
    ],
    ids=["one session", "two sessions", "another name of the broker", "one session of MQTT 3.1.1"],
)
async def test_a_switch_on_one_broker_moves_no_pump_of_either_generation(
    request: pytest.FixtureRequest,
    world_at: Callable[[Any], Any],
    until: Callable[..., Any],
    server_of: str,
    host: str,
    client_id: str,
) -> None:
    """Both profiles name the broker of the devices: firmware B would put its pump to its default at `offline`."""
    world = world_at(request.getfixturevalue(server_of))
    second = {"host": host, "port": world.broker.port, "client_id": client_id and f"{client_id}-{world.site}"}
    ingest = world.ingest(KAISER_MQTT_PROFILES=json.dumps({"second": second}), KAISER_MQTT_WILL_DELAY_S="600")
    await until(ingest.connected)
    server = await world.device()
    await server.subscribe(f"kaiser/{world.site}/server/status")
    await until(lambda: _states(server) == ["online"])
    broker, site = (world.broker.host, world.broker.port), world.site
    with (
        FirmwareA(broker, _new_id(), site, interval_s=0.1) as a,
        FirmwareB(broker, _new_id(), site, interval_s=0.1) as b,
    ):
        boards = (a.board, b.board)
        ack = {"status": "online", "handover_epoch": 1}
        await _say(server, b.board, "system/heartbeat/ack", ack)
        await until(lambda: b.registered)
        for board in boards:
            await _say(server, board, "config", CONFIG)
            await until(lambda: 25 in board.flash.actuators)  # noqa: B023
            await _say(server, board, "actuator/25/command", {"command": "ON", "value": 1, "duration": 0})
            await until(lambda: board.flash.actuators[25].on)  # noqa: B023
        async with asking(world) as bus:
            for profile in ("second", "live", "second"):
                assert (await switch(bus, profile)).active == profile
        await until(lambda: len(_states(server)) >= 4, "every session has said that it is online")
        assert _states(server) == ["online"] * 4
        assert [board.flash.actuators[25].on for board in boards] == [True, True]
        offline = json.dumps({"status": "offline", "timestamp": 0, "reason": "a test"}).encode()
        await server.publish(0, f"kaiser/{site}/server/status", offline)
        await until(lambda: not b.board.flash.actuators[25].on, "generation B goes by the status")
        assert a.board.flash.actuators[25].on, "generation A does not read the status"


def _new_id() -> str:
    return f"TEST_{secrets.token_hex(4).upper()}"


async def _say(server: Any, board: Board, tail: str, body: dict[str, Any]) -> None:
    await server.publish(0, board.topic(tail), json.dumps(body).encode())


def _states(device: Any) -> list[str]:
    return [json.loads(payload)["status"] for _, payload in device.heard]
