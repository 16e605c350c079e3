"""Cursors of the actuators' lists: only what a page gave out asks the database anything; and failed commands."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from kaiser_actuator.api.commands import CommandApi
from kaiser_actuator.api.registry import ActuatorRegistryApi
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.actuators import (
    ActuatorKey,
    ActuatorSettings,
    ActuatorsQuery,
    CommandId,
    Emergency,
    HistoryQuery,
    PutActuator,
)
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from psycopg_pool import PoolTimeout

ADA = Caller(user="ada", role="viewer", request_id="r1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def registry(database):
    async with open_pool(CommonSettings(database_url=database), "test") as pool:
        yield ActuatorRegistryApi(pool, {}, {}, lambda: NOW)


@pytest.mark.parametrize(
    "cursor",
    ["9223372036854775808", "9999999999999999999", "ESP_A.9223372036854775808", "ESP_A", "ESP_A.", "ESP_A.-1", "", "."],
)
async def test_an_actuators_cursor_beyond_its_column_is_refused(registry, cursor):
    with pytest.raises(RpcError) as refused:
        await registry.list_actuators(ActuatorsQuery(cursor=cursor), ADA)
    assert (refused.value.problem.status, refused.value.problem.field) == (422, "cursor")


@pytest.mark.parametrize(
    "cursor", ["9223372036854775808 status k", "99999999999999 status k", "x status k", "1 status", "-1 status k", ""]
)
async def test_a_cursor_of_the_history_beyond_every_time_is_refused(registry, cursor):
    query = HistoryQuery(esp_id="ESP_A", gpio=25, cursor=cursor)
    with pytest.raises(RpcError) as refused:
        await registry.history(query, ADA)
    assert (refused.value.problem.status, refused.value.problem.field) == (422, "cursor")


@pytest.mark.parametrize("cursor", ["ESP_A.0", "ESP_ZZZ.999", "weird.text.48"])
async def test_a_cursor_in_its_bounds_is_answered(registry, cursor):
    page = await registry.list_actuators(ActuatorsQuery(cursor=cursor, limit=5), ADA)
    assert page.next_cursor is None or page.items


class Registry(dict):
    """The mirror of the registry, which says when it was asked first."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    def get(self, key, default=None):
        self.asked.set()
        return super().get(key, default)


ACTUATORS = """
    INSERT INTO actuator.actuators (esp_id, gpio, kaiser_id, registered, settings)
    SELECT 'ESP_' || lpad((number / 40)::text, 4, '0'), number % 40, 'god', true, '{}'
    FROM generate_series(0, 1199) AS number
"""


async def test_a_stop_that_comes_while_a_long_list_is_looked_through_waits_for_one_block_of_it(make_database):
    devices, stops = Registry(), {}

    async def stop() -> None:
        await devices.asked.wait()
        stops["all"] = Emergency(emergency_id="1", reason="leak", raised_by="ada", raised_at=1)

    async with open_pool(CommonSettings(database_url=make_database()), "test") as pool:
        async with pool.connection() as connection:
            await connection.execute(ACTUATORS)
        api = ActuatorRegistryApi(pool, devices, stops, lambda: NOW)
        stopping = asyncio.create_task(stop())
        page = await api.list_actuators(ActuatorsQuery(state="stopped", limit=1000), ADA)
        async with asyncio.timeout(60):
            await stopping
    assert [(one.esp_id, one.gpio) for one in page.items] == [
        (f"ESP_{at // 40:04}", at % 40) for at in range(500, 1200)
    ]
    assert page.next_cursor is None


async def test_the_pages_of_a_list_have_each_actuator_once_and_in_order(make_database):
    expected = [(f"ESP_{at // 40:04}", at % 40) for at in range(1200)]
    async with open_pool(CommonSettings(database_url=make_database()), "test") as pool:
        async with pool.connection() as connection:
            await connection.execute(ACTUATORS)
        api = ActuatorRegistryApi(pool, {}, {}, lambda: NOW)
        for narrowed in ({}, {"state": "unknown"}, {"actuator_type": "relay"}, {"state": "unknown", "limit": 600}):
            found, cursor, pages = [], None, 0
            while cursor is not None or not pages:
                page = await api.list_actuators(ActuatorsQuery(**{"limit": 400, **narrowed}, cursor=cursor), ADA)
                found += [(one.esp_id, one.gpio) for one in page.items]
                cursor, pages = page.next_cursor, pages + 1
            assert found == expected
            assert pages == 1200 // narrowed.get("limit", 400)


async def test_a_list_of_a_type_has_the_actuators_that_are_shown_with_it(make_database):
    settings = ['{"actuator_type": "pump"}', '{"actuator_type": "valve"}', "{}", '{"actuator_type": "Not a name!"}',
                '{"actuator_type": 5}', '{"actuator_type": "other"}']  # fmt: skip
    async with open_pool(CommonSettings(database_url=make_database()), "test") as pool:
        async with pool.connection() as connection:
            for gpio, stored in enumerate(settings):
                await connection.execute(
                    "INSERT INTO actuator.actuators (esp_id, gpio, kaiser_id, registered, settings)"
                    " VALUES ('ESP_A', %s, 'god', true, %s)",
                    (gpio, stored),
                )
        api = ActuatorRegistryApi(pool, {}, {}, lambda: NOW)
        every = (await api.list_actuators(ActuatorsQuery(), ADA)).items
        assert [one.actuator_type for one in every] == ["pump", "valve", "relay", "other", "other", "other"]
        for actuator_type in ("pump", "valve", "relay", "other", "fan"):
            found = await api.list_actuators(ActuatorsQuery(actuator_type=actuator_type), ADA)
            assert found.items == [one for one in every if one.actuator_type == actuator_type]


COMMAND = """
    INSERT INTO actuator.commands (command_id, esp_id, gpio, kaiser_id, command, value, duration_s, issued_by, state,
        message, queued_at, ended_at, expires_at, deadline_at)
    VALUES (%s, %s, %s, 'god', 'ON', 1, 0, 'ada', %s, 'jammed', %s, %s, now(), now())
"""


async def test_an_actuator_whose_last_ended_command_failed_is_named(make_database):
    ends = [
        ("ESP_A", 25, ["failed", "acknowledged"]),
        ("ESP_A", 26, ["acknowledged", "expired"]),
        ("ESP_B", 25, ["acknowledged", "failed", "sent"]),  # the one that is open has not ended
        ("ESP_B", 26, []),
        ("ESP_C", 25, ["failed"]),  # the actuator was removed
    ]
    async with open_pool(CommonSettings(database_url=make_database()), "test") as pool:
        async with pool.connection() as connection:
            for esp_id, gpio, states in ends:
                if esp_id != "ESP_C":
                    await connection.execute(
                        "INSERT INTO actuator.actuators (esp_id, gpio, kaiser_id, registered, settings)"
                        " VALUES (%s, %s, 'god', true, '{}')",
                        (esp_id, gpio),
                    )
                for number, state in enumerate(states):
                    at = NOW + timedelta(seconds=number)
                    values = (f"{esp_id}-{gpio}-{number}", esp_id, gpio, state, at, None if state == "sent" else at)
                    await connection.execute(COMMAND, values)
        api = CommandApi(pool, None, {}, None, timedelta(seconds=5), 60, lambda: NOW, lambda _: True)
        found = await api.failed(Nothing(), ADA)
    assert [(one.esp_id, one.gpio, one.state, one.message) for one in found.items] == [
        ("ESP_A", 26, "expired", "jammed"),
        ("ESP_B", 25, "failed", "jammed"),
    ]
    assert found.complete


async def test_whatever_is_read_a_change_finds_a_connection(make_database):
    """A viewer may ask for long lists as often as it likes; stops and alerts need the same connections."""
    device = DeviceRecord(esp_id="ESP_A", kaiser_id="god", state="approved", online=True)
    settings = CommonSettings(database_url=make_database(), database_pool_size=4)
    async with open_pool(settings, "test", timeout_s=60.0) as pool:
        registry = ActuatorRegistryApi(pool, {"ESP_A": device}, {}, lambda: NOW)
        commands = CommandApi(pool, None, {}, None, timedelta(seconds=5), 60, lambda: NOW, lambda _: True)
        key = {"esp_id": "ESP_A", "gpio": 5}
        async with pool.reading(), pool.reading():
            put = PutActuator(**key, settings=ActuatorSettings(actuator_type="pump"))
            assert (await registry.put(put, ADA)).actuator_type == "pump"
            pool.timeout = 0.2
            for reading in (
                registry.list_actuators(ActuatorsQuery(), ADA),
                registry.list_actuators(ActuatorsQuery(state="unknown"), ADA),
                registry.history(HistoryQuery(**key), ADA),
                commands.failed(Nothing(), ADA),
                commands.read(CommandId(command_id="c1"), ADA),
            ):
                with pytest.raises(PoolTimeout, match="other requests read"):
                    await reading
            pool.timeout = 60.0
            assert (await registry.read(ActuatorKey(**key), ADA)).gpio == 5, "asked before a command"
        assert len((await registry.list_actuators(ActuatorsQuery(), ADA)).items) == 1
