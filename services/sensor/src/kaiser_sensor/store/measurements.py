"""The SQL of measurements that were asked for."""

from collections.abc import Sequence
from datetime import datetime

from kaiser_common.contract.schemas.sensor import SensorResponse
from kaiser_common.runtime.statements import execute, fetch_one
from psycopg.rows import tuple_row
from sqlalchemy import select

from kaiser_sensor.store import Connection
from kaiser_sensor.store.tables import measurements

Asked = tuple[str, str, int, datetime, datetime | None, bool | None, str | None, str]
"""request_id, esp_id, gpio, requested_at, answered_at, success, message, address."""

_c = measurements.c


async def ask(
    connection: Connection, request_id: str, esp_id: str, gpio: int, requested_by: str, now: datetime, address: str = ""
) -> None:
    """Remember a request, before it is sent."""
    asked = measurements.insert().values(
        request_id=request_id,
        esp_id=esp_id,
        gpio=gpio,
        requested_by=requested_by,
        requested_at=now,
        address=address,
    )
    await execute(connection, asked)


async def read(connection: Connection, request_id: str) -> Asked | None:
    """One request; None if there is none with this id."""
    statement = select(
        *(_c.request_id, _c.esp_id, _c.gpio, _c.requested_at, _c.answered_at, _c.success, _c.message, _c.address)
    )
    return await fetch_one(connection, tuple_row, statement.where(_c.request_id == request_id))


async def answer(connection: Connection, responses: Sequence[SensorResponse], now: datetime) -> set[tuple[str, str]]:
    """Note what devices answered, each request once; request_id and esp_id of those that were not answered before.

    An answer counts for its own device's request only.
    """
    cursor = await connection.execute(
        """
        UPDATE sensor.measurements AS asked SET answered_at = %s, success = said.success, message = said.message
        FROM unnest(%s::text[], %s::text[], %s::boolean[], %s::text[]) AS said (request_id, esp_id, success, message)
        WHERE asked.request_id = said.request_id AND asked.esp_id = said.esp_id AND asked.answered_at IS NULL
        RETURNING asked.request_id, asked.esp_id
        """,
        (
            now,
            [response.request_id for response in responses],
            [response.esp_id for response in responses],
            [response.success for response in responses],
            [response.message for response in responses],
        ),
    )
    return {(row[0], row[1]) for row in await cursor.fetchall()}
