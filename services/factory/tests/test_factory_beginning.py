"""A mock factory begins without the rows of the one before; rows of a live one are never deleted."""

from collections.abc import Callable
from typing import Any

import psycopg
from kaiser_common.contract.schemas.api.factory import FactoryModules, FactoryOrdersPage, FactoryOrdersQuery
from kaiser_factory.store.beginning import _TABLES

AGAIN = "again"
ORDER = {"orderId": "o1", "type": "WHITE", "orderType": "PRODUCTION", "state": "FINISHED", "productionSteps": []}
PICK = {"id": "a1", "command": "PICK", "state": "FINISHED"}
STOCK = {"stockItems": [{"hbw": "S1", "location": "A1", "workpiece": {"type": "WHITE", "id": "04", "state": "RAW"}}]}
CHECK = {"data": "data:image/png;base64,AAAA", "result": "PASSED", "num": 1}
AGV = {"serialNumber": "5iO4", "lastNodeId": "1", "driving": False, "errors": []}


def counts(database: str, env: str) -> dict[str, int]:
    """How many rows of an environment each table has."""
    with psycopg.connect(database) as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM factory.{table} WHERE env = %s", (env,)).fetchone()[0]
            for table in _TABLES
        }


async def test_a_mock_factory_begins_without_the_rows_of_the_one_before(
    plant: Any, until: Callable[..., Any], database: str
) -> None:
    await until(lambda: plant.answers("modules", None, FactoryModules))

    def happen() -> None:
        plant.publish("module/v1/ff/S1/state", {"serialNumber": "S1", "actionState": PICK})
        plant.publish("fts/v1/ff/5iO4/state", AGV)
        plant.publish("ccu/order/completed", [ORDER])
        plant.publish("ccu/state/stock", STOCK)
        plant.publish("/j1/txt/1/i/quality_check", CHECK)

    def every_table_has_rows(env: str) -> bool:
        happen()
        return all(counts(database, env).values())

    async def ended() -> bool:
        found = await plant.answers("orders", FactoryOrdersQuery(), FactoryOrdersPage)
        return found is not None and [each.order_id for each in found.items] == ["o1"]

    await until(lambda: every_table_has_rows(plant.env))
    await plant.switch(AGAIN)
    await until(lambda: every_table_has_rows(AGAIN))

    # The same epoch goes on after a kill.
    before = counts(database, AGAIN)
    plant.factory.kill()
    plant.factory.start()
    await until(ended)
    after = counts(database, AGAIN)
    assert all(after[table] >= before[table] for table in _TABLES)

    # The next one begins with nothing.
    await plant.switch(plant.env)
    await plant.switch(AGAIN)
    await until(lambda: not any(counts(database, AGAIN).values()))
    assert all(counts(database, plant.env).values())
    await until(lambda: every_table_has_rows(AGAIN))
    await until(ended)
