"""Cursors of the actuators' lists: only what a page gave out asks the database anything."""

from datetime import UTC, datetime

import pytest
from kaiser_actuator.api.registry import ActuatorRegistryApi
from kaiser_common.bus.rpc import Caller, RpcError
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
