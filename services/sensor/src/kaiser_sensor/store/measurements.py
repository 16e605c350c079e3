"""The SQL of measurements that were asked for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from kaiser_common.contract.schemas.sensor import SensorResponse
from psycopg import AsyncConnection

Connection = AsyncConnection[Any]

Asked = tuple[str, str, int, datetime, datetime | None, bool | None, str | None, str]
"""request_id, esp_id, gpio, requested_at, answered_at, success, message, address."""

_COLUMNS = "request_id, esp_id, gpio, requested_at, answered_at, success, message, address"


async def ask(
    connection: Connection, request_id: str, esp_id: str, gpio: int, requested_by: str, now: datetime, address: str = ""
) -> None:
    """Remember a request, before it is sent."""
    await connection.execute(
        "INSERT INTO sensor.measurements (request_id, esp_id, gpio, requested_by, requested_at, address)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (request_id, esp_id, gpio, requested_by, now, address),
    )


async def read(connection: Connection, request_id: str) -> Asked | None:
    """One request; None when there is none of this id."""
    cursor = await connection.execute(
        f"SELECT {_COLUMNS} FROM sensor.measurements WHERE request_id = %s", (request_id,)
    )
    return await cursor.fetchone()


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
