"""Cursors of the actuators' lists: only what a page gave out asks the database anything; and failed commands."""

from datetime import UTC, datetime, timedelta

import pytest
from kaiser_actuator.api.commands import CommandApi
from kaiser_actuator.api.registry import ActuatorRegistryApi
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.actuators import ActuatorsQuery, HistoryQuery
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings

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
