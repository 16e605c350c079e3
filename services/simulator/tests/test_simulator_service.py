"""The simulator as a process: health away, the bus blocked, two replicas, the database away."""

import asyncio
import json
import signal
import time
import weakref
from itertools import pairwise
from typing import Any

import httpx
import psycopg
import pytest
from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.declare import apply
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.mock import (
    CreateMock,
    CreateMocks,
    Mock,
    MockActuatorBody,
    MockId,
    MocksCreated,
    MockSensorBody,
    MocksPage,
    MocksQuery,
)
from kaiser_common.contract.schemas.device import Downlink
from kaiser_common.contract.subjects import downlink_subject
from kaiser_common.contract.topics import BROADCAST
from kaiser_common.migrate.command import migrate_database
from kaiser_common.runtime.settings import CommonSettings
from nats.errors import Error as NatsError

TESTER = Caller(user="ada", role="operator")
A = MockId(esp_id="MOCK_A")


def new_mock(esp_id: str = "MOCK_A", interval_s: float = 0.2) -> CreateMock:
    sensor = MockSensorBody(
        gpio=4, sensor_type="ds18b20", interval_s=interval_s, variation_pattern="DRIFT", variation_range=5
    )
    return CreateMock(esp_id=esp_id, sensors=[sensor], actuators=[MockActuatorBody(gpio=25, actuator_type="pump")])


_READ: weakref.WeakKeyDictionary[Bus, dict[int, tuple[str, str]]] = weakref.WeakKeyDictionary()


async def said(bus, ending: str, esp_id: str = "MOCK_A") -> list[dict[str, Any]]:
    """Messages of a mock on topics that end so, oldest first, as far as OUTBOX still has it (no ingest takes it)."""
    state = (await bus.jetstream.stream_info("OUTBOX")).state
    known = _READ.setdefault(bus, {})
    for sequence in range(max(state.first_seq, max(known, default=0) + 1), state.last_seq + 1):
        body = json.loads((await bus.jetstream.get_msg("OUTBOX", seq=sequence)).data)
        known[sequence] = (body["topic"], body["payload"])
    return [
        json.loads(payload)
        for sequence, (topic, payload) in known.items()
        if sequence >= state.first_seq and f"/{esp_id}/" in topic and topic.endswith(ending)
    ]


async def wills(bus) -> list[str]:
    """The payloads of the mock's wills."""
    state = (await bus.jetstream.stream_info("OUTBOX")).state
    stored = [
        await bus.jetstream.get_msg("OUTBOX", seq=number)
        for number in range(max(1, state.first_seq), state.last_seq + 1)
    ]
    bodies = [json.loads(message.data) for message in stored]
    return [body["payload"] for body in bodies if body["topic"].endswith("/will") and body["retain"]]


async def tell(bus, topic: str, body: dict[str, Any], esp_id: str = "MOCK_A", kaiser_id: str = "god") -> None:
    """Publish as ingest does when MQTT delivers a message for a mock."""
    downlink = Downlink(
        kaiser_id=kaiser_id, esp_id=esp_id, topic=topic, payload=json.dumps(body), received_at=int(time.time() * 1000)
    )
    await bus.publish(downlink_subject(kaiser_id, esp_id), downlink.model_dump_json().encode())


async def command(bus, correlation_id: str, esp_id: str = "MOCK_A", **fields: Any) -> None:
    body = {"command": "ON", "timestamp": int(time.time()), "correlation_id": correlation_id, **fields}
    await tell(bus, f"kaiser/god/esp/{esp_id}/actuator/25/command", body, esp_id)


@pytest.fixture
def operational(ask, until):
    """Waits until a mock is operational."""

    async def operational(esp_id: str = "MOCK_A") -> None:
        async def is_operational() -> bool:
            return (await ask("read", MockId(esp_id=esp_id), Mock)).state == "OPERATIONAL"

        await until(is_operational, f"{esp_id} is operational")

    return operational


async def test_a_mock_made_while_health_is_away_waits_and_boots_when_it_is_back(
    start, bus, health, ask, until, operational
):
    start()
    made = await ask("create", new_mock(), Mock)
    assert (made.registered, made.state, made.running) == (False, "BOOT", True)
    await asked_again(bus)
    assert await said(bus, "") == []
    async with health.there():
        await operational()
    assert health.devices["MOCK_A"].hardware_type == "MOCK_ESP32"


async def asked_again(bus) -> None:
    """Wait until the simulator asks a health that does not answer again to register a mock."""
    asked = await bus.client.subscribe("rpc.health.register_mock")
    await asked.next_msg(timeout=60)
    await asked.unsubscribe()


async def test_a_list_shows_a_mock_that_replays_without_its_csv(start, bus, ask):
    start()
    replays = MockSensorBody(gpio=4, sensor_type="ds18b20", variation_pattern="REPLAY", replay_csv="1\n2\n")
    await ask("create", CreateMock(esp_id="MOCK_A", sensors=[replays]), Mock)
    [listed] = (await ask("list", MocksQuery(), MocksPage)).items
    assert listed.sensors[0].replay_csv is None
    assert (await ask("read", A, Mock)).sensors[0].replay_csv == "1\n2\n"


async def test_a_mock_deleted_while_health_is_away_is_removed_there_when_it_is_back(
    start, bus, health, ask, until, operational, database
):
    start()
    async with health.there():
        await ask("create", new_mock(), Mock)
        await operational()
    await ask("delete", A, Nothing)
    assert "MOCK_A" in health.devices

    async def is_gone() -> bool:
        with psycopg.connect(database) as connection:
            return not health.devices and connection.execute("SELECT 1 FROM simulator.mocks").fetchone() is None

    async with health.there():
        await until(is_gone, "health and the table have forgotten it")
    assert await wills(bus) == [""]


async def test_a_command_is_in_the_table_before_it_is_answered_and_auto_off_survives_a_kill(
    start, bus, health, ask, until, operational, database
):
    process = start()
    async with health.there():
        await ask("create", new_mock(interval_s=60), Mock)
        await operational()
        await command(bus, "c1", duration=4)
        [response] = await until(lambda: said(bus, "/response"), "the mock answered")
        assert (response["success"], response["duration"]) == (True, 4)
        with psycopg.connect(database) as connection:
            row = connection.execute("SELECT life -> 'actuators' -> '25' ->> 'state' FROM simulator.mocks").fetchone()
        assert row == ("true",)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        start()

        async def is_off() -> bool:
            return [body["state"] for body in await said(bus, "/status")][-1] is False

        await until(is_off, "auto-off came after the kill")


async def test_a_command_that_comes_again_after_a_kill_is_answered_again_and_carried_out_once(
    start, bus, health, ask, until, operational
):
    process = start()
    async with health.there():
        await ask("create", new_mock(interval_s=60), Mock)
        await operational()
        await command(bus, "c1", command="TOGGLE")
        await until(lambda: said(bus, "/response"), "the mock answered")
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        start()
        await command(bus, "c1", command="TOGGLE")

        async def both() -> list[dict[str, Any]] | None:
            found = await said(bus, "/response")
            return found if len(found) == 2 else None

        first, again = await until(both, "it answered again")
        assert first == again
        assert (await ask("read", A, Mock)).actuators[0].state is True


async def test_a_broadcast_reaches_every_mock(start, bus, health, ask, until):
    start()
    async with health.there():
        mocks = [new_mock(f"MOCK_B{number}", 60) for number in range(5)]
        await ask("create_many", CreateMocks(devices=mocks), MocksCreated)

        async def all_hello() -> bool:
            return all([await said(bus, "/status", mock.esp_id) for mock in mocks])

        await until(all_hello, "all are there")
        await tell(
            bus,
            "kaiser/broadcast/emergency",
            {"command": "emergency_stop"},
            BROADCAST,
            BROADCAST,
        )

    async def all_stopped() -> bool:
        return all([await said(bus, "/alert", mock.esp_id) for mock in mocks])

    await until(all_stopped, "all have told their stop")


async def test_readings_are_left_out_while_nobody_carries_them_to_mqtt_and_commands_are_answered(
    start, bus, health, ask, until, operational
):
    start(KAISER_SIMULATOR_OUTBOX_LIMIT="30")
    async with health.there():
        await ask("create", new_mock(interval_s=0.1), Mock)
        await operational()
        await until(lambda: has_over(bus, 30), "OUTBOX is over its limit")

        async def stands_still() -> bool:
            before = await said(bus, "/data")
            await asyncio.sleep(0.5)
            return await said(bus, "/data") == before

        await until(stands_still, "readings are left out")
        assert len(await said(bus, "/data")) < 60
        await command(bus, "c1")
        await until(lambda: said(bus, "/response"), "the command is answered")
        await bus.jetstream.purge_stream("OUTBOX")
        await until(lambda: said(bus, "/data"), "readings go on")


async def has_over(bus, count: int) -> bool:
    return (await bus.jetstream.stream_info("OUTBOX")).state.messages > count


async def test_a_mock_whose_pattern_is_not_installed_any_more_leaves_the_others_alone(
    start, bus, health, ask, until, operational, database
):
    process = start()
    async with health.there():
        made = CreateMocks(devices=[new_mock(), new_mock("MOCK_B")])
        await ask("create_many", made, MocksCreated)
        await operational()
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        with psycopg.connect(database) as connection:
            gone = """jsonb_set(setup, '{sensors,0,variation_pattern}', '"GONE"')"""
            connection.execute(f"UPDATE simulator.mocks SET setup = {gone} WHERE esp_id = 'MOCK_B'")
        start()
        killed_ms = int(time.time() * 1000)

        async def goes_on() -> bool:
            return any(reading["ts"] > killed_ms for reading in await said(bus, "/data"))

        await until(goes_on, "the other one goes on")
        with pytest.raises(RpcError, match="no mock MOCK_B"):
            await ask("read", MockId(esp_id="MOCK_B"), Mock)


async def test_of_two_replicas_one_simulates_and_the_other_takes_over(start, bus, health, ask, until, operational):
    first = start()
    async with health.there():
        await ask("create", new_mock(), Mock)
        await operational()
        start()
        await until(lambda: has_over(bus, 20), "readings come")
        first.send_signal(signal.SIGKILL)
        killed_ms = int(time.time() * 1000)

        async def goes_on() -> bool:
            return (await said(bus, "/data"))[-1]["ts"] > killed_ms + 500

        await until(goes_on, "the other one goes on")
    readings = await said(bus, "/data")
    times = [reading["ts"] for reading in readings]
    assert len(times) == len(set(times)), "a reading came twice"
    assert max(after - before for before, after in pairwise(times)) < recovery_ms()
    steps = [(ts - times[0]) // 200 for ts in times]
    assert all((ts - times[0]) % 200 == 0 for ts in times)
    up = [20 + 0.5 * step if step <= 10 else 25 - 0.5 * (step - 10) for step in range(31)]
    down = [15 + 0.5 * step for step in range(1, 21)]
    walk = [*up, *down]
    cycle = [walk[step] if step < len(walk) else walk[11 + (step - 11) % 40] for step in steps]
    assert [reading["value"] for reading in readings] == cycle


def recovery_ms() -> int:
    """Wide, for a machine that is busy with other tests."""
    return 60_000


async def test_readings_go_on_without_the_database_and_a_command_waits_for_it(
    start, bus, health, ask, until, operational, postgres_factory
):
    server = postgres_factory()
    migrate_database(CommonSettings(database_url=server.url))
    start(KAISER_DATABASE_URL=server.url)
    async with health.there():
        await ask("create", new_mock(), Mock)
        await operational()
        server.kill()
        count = len(await said(bus, "/data"))

        async def ten_more() -> bool:
            return len(await said(bus, "/data")) > count + 10

        await until(ten_more, "readings go on")
        await command(bus, "c1")
        assert await said(bus, "/response") == []
        server.start()
        await until(lambda: said(bus, "/response"), "the command is answered", 60.0)


async def test_mocks_go_on_after_nats_was_away(nats_factory, start, until, make_health):
    server = nats_factory()
    settings = CommonSettings(nats_url=server.url)
    process = start(KAISER_NATS_URL=server.url)
    async with connect(settings, "test") as bus:
        await apply(bus)
        async with make_health(bus).there():

            async def is_made() -> bool:
                try:
                    await call(bus, "simulator", "create", new_mock(), Mock, caller=TESTER)
                except RpcError as error:
                    return error.problem.status == 409
                return True

            await until(is_made, "the mock is made")
            await until(lambda: said(bus, "/data"), "readings come")
            server.kill()
            await until(lambda: is_unready(process), "it notices that NATS is away")
            server.start()
            back_ms = int(time.time() * 1000)

            async def goes_on() -> bool:
                try:
                    return any(reading["ts"] > back_ms for reading in await said(bus, "/data"))
                except (NatsError, TimeoutError):
                    return False

            await until(goes_on, "readings go on", 60.0)
            readings = await said(bus, "/data")
    assert process.poll() is None
    times = [reading["ts"] for reading in readings]
    assert len(times) == len(set(times))
    assert all((ts - times[0]) % 200 == 0 for ts in times)


async def readiness(process) -> int | None:
    """The status with which a living simulator answers /readyz, None while it does not answer."""
    assert process.poll() is None
    async with httpx.AsyncClient(timeout=60) as http:
        try:
            return (await http.get(f"http://127.0.0.1:{process.metrics_port}/readyz")).status_code
        except httpx.TransportError:
            return None


async def is_unready(process) -> bool:
    return await readiness(process) == 503


async def is_up(process) -> bool:
    return await readiness(process) == 200


async def test_it_starts_before_anything_is_declared_and_goes_on_once_it_is(nats_factory, database, start, until):
    server = nats_factory()
    settings = CommonSettings(nats_url=server.url)
    process = start(KAISER_NATS_URL=server.url)
    async with connect(settings, "test") as bus:
        await until(lambda: is_up(process), "it is up, and nothing is declared")
        await apply(bus)

        async def holds() -> bool:
            return bool(await (await bus.jetstream.key_value("lease_simulator")).get("simulator"))

        async def tried() -> bool:
            from nats.js.errors import KeyNotFoundError

            try:
                return await holds()
            except KeyNotFoundError:
                return False

        await until(tried, "it holds the lease")


async def test_a_mock_of_generation_b_opens_its_gate_at_the_acknowledgement_and_obeys_from_then_on(
    start, bus, health, ask, until, operational
):
    start()
    made = CreateMock(**{**new_mock().model_dump(), "firmware": "b"})
    async with health.there():
        await ask("create", made, Mock)
        await operational()
    await until(lambda: said(bus, "/session/announce"), "it opens a session")
    await command(bus, "c1")
    [refused] = await until(lambda: said(bus, "/response"), "the command is refused")
    assert (refused["success"], refused["correlation_id"]) == (False, "c1")
    assert (await said(bus, "/data"), await said(bus, "/status")) == ([], [])
    await tell(bus, "kaiser/god/esp/MOCK_A/system/heartbeat/ack", {"status": "online", "handover_epoch": 1})
    await until(lambda: said(bus, "/data"), "readings come")
    await command(bus, "c2")

    async def is_on() -> bool:
        return [status["state"] for status in await said(bus, "/actuator/25/status")][-1]

    await until(is_on, "the pump runs")
    read = await ask("read", A, Mock)
    assert (read.firmware, read.acknowledged, read.actuators[0].state) == ("b", True, True)


async def test_a_mock_that_was_stored_before_there_were_generations_is_loaded_as_generation_a(
    start, bus, health, ask, until, operational, postgres_factory
):
    """The row is as the version before wrote it, and the migration runs over it."""
    server = postgres_factory()
    settings = CommonSettings(database_url=server.url)
    migrate_database(settings)
    setup = {
        "esp_id": "MOCK_A", "kaiser_id": "god", "name": "Old", "firmware_version": "mock-1.0",
        "heartbeat_interval_s": 60, "sensors": [{"gpio": 4, "sensor_type": "DS18B20"}],
        "actuators": [{"gpio": 25, "actuator_type": "pump"}],
    }  # fmt: skip
    life = {"running": False, "state": "BOOT", "sensors": {"4/DS18B20": {"displayed": 7.5, "override": 21.5}}}
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("UPDATE simulator.alembic_version SET version_num = '0001'")
        connection.execute("DROP TABLE simulator.factories")
        connection.execute(
            "INSERT INTO simulator.mocks (esp_id, setup, life) VALUES ('MOCK_A', %s, %s)",
            (json.dumps(setup), json.dumps(life)),
        )
    migrate_database(settings)
    with psycopg.connect(server.url) as connection:
        [(kept,)] = connection.execute("SELECT setup FROM simulator.mocks").fetchall()
    assert kept == {**setup, "firmware": "a"}
    start(KAISER_DATABASE_URL=server.url)
    read = await ask("read", A, Mock)
    assert (read.firmware, read.name, read.sensors[0].override) == ("a", "Old", 21.5)
