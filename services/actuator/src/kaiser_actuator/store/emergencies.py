"""The SQL of emergency stops: who raised and cleared them, why and when."""

from datetime import datetime
from enum import Enum
from typing import Any, LiteralString

from kaiser_common.contract.schemas.api.actuators import Emergency
from kaiser_common.contract.times import time_of
from kaiser_common.runtime.statements import fetch_one
from psycopg.rows import tuple_row
from sqlalchemy import ColumnElement, func, literal_column
from sqlalchemy.dialects.postgresql import insert

from kaiser_actuator.domain.emergencies import key_of
from kaiser_actuator.store import Connection
from kaiser_actuator.store.tables import emergencies

_IS_NEW: ColumnElement[bool] = literal_column("xmax = 0")
"""Of a row that was inserted, and not changed."""
_STOP = (
    "emergency_id, esp_id, gpio, reason, raised_by, (extract(epoch FROM raised_at) * 1000)::bigint AS raised_ms, number"
)
"""In the order in which `_to_stop` takes them."""


class Addition(Enum):
    """The change of the table when a stop was added."""

    NEW = "new"
    RENUMBERED = "renumbered"
    UNCHANGED = "unchanged"


async def add(connection: Connection, stop: Emergency) -> Addition:
    """Keep a stop. The number of one that is there only grows: a stop whose clear was given up has a new one, and a
    replica that has not read that yet brings the older one."""
    add = insert(emergencies).values(
        emergency_id=stop.emergency_id,
        key=key_of(stop.esp_id, stop.gpio),
        esp_id=stop.esp_id,
        gpio=stop.gpio,
        reason=stop.reason,
        raised_by=stop.raised_by,
        raised_at=time_of(stop.raised_at),
        number=stop.number,
    )
    put = add.on_conflict_do_update(
        index_elements=["emergency_id"],
        set_={"number": add.excluded.number},
        where=add.excluded.number > func.coalesce(emergencies.c.number, -1),
    )
    row = await fetch_one(connection, tuple_row, put.returning(_IS_NEW))
    if row is None:
        return Addition.UNCHANGED
    return Addition.NEW if row[0] else Addition.RENUMBERED


async def clear(
    connection: Connection, stop: Emergency, cleared_by: str, reason: str, at: datetime, sequence: int
) -> int:
    """Note that a stop is over, and older ones of its target; how many were in force. A newer press stays.

    `sequence`: the place in the stream DEVICES up to which alerts are echoes of it, 0 for none.
    """
    cursor = await connection.execute(
        """
        UPDATE actuator.emergencies SET cleared_by = %s, clear_reason = %s, cleared_at = %s, cleared_seq = %s
        WHERE key = %s AND cleared_at IS NULL AND (emergency_id = %s OR coalesce(number, 0) < %s)
        """,
        (
            cleared_by,
            reason,
            at,
            sequence,
            key_of(stop.esp_id, stop.gpio),
            stop.emergency_id,
            stop.number or 0,
        ),
    )
    return cursor.rowcount


async def covering(connection: Connection, esp_id: str, gpio: int) -> dict[str, Emergency]:
    """The stops in force over an actuator, by key: what another replica raised a moment ago is among them."""
    keys = [key_of(None, None), key_of(esp_id, None), key_of(esp_id, gpio)]
    return await _in_force(connection, "AND key = ANY(%s)", (keys,))


async def is_known(connection: Connection, emergency_id: str) -> bool:
    """Whether a stop was raised before, in force or not."""
    cursor = await connection.execute("SELECT 1 FROM actuator.emergencies WHERE emergency_id = %s", (emergency_id,))
    return await cursor.fetchone() is not None


async def is_cleared(connection: Connection, emergency_id: str) -> bool:
    """Whether a stop was cleared."""
    cursor = await connection.execute(
        "SELECT 1 FROM actuator.emergencies WHERE emergency_id = %s AND cleared_at IS NOT NULL", (emergency_id,)
    )
    return await cursor.fetchone() is not None


async def is_over(connection: Connection, stop: Emergency) -> bool:
    """Whether a stop, in the table or not, was cleared, or a newer one of its target since it was raised."""
    cursor = await connection.execute(
        """
        SELECT 1 FROM actuator.emergencies WHERE key = %s AND cleared_at IS NOT NULL
          AND (emergency_id = %s OR (cleared_at >= %s AND number > %s))
        """,
        (key_of(stop.esp_id, stop.gpio), stop.emergency_id, time_of(stop.raised_at), stop.number),
    )
    return await cursor.fetchone() is not None


async def is_echo(connection: Connection, esp_id: str, gpio: int | None, sequence: int, received_at: datetime) -> bool:
    """Whether an alert of an actuator (gpio None: the device) stands in the stream before the clear of a stop of it.

    Clocks only bound how old that clear may be, for a stream that was recreated counts from 1 again.
    """
    cursor = await connection.execute(
        """
        SELECT count(*) FROM actuator.emergencies
        WHERE cleared_at IS NOT NULL AND cleared_at > %(received_at)s - interval '1 hour'
          AND (cleared_seq >= %(sequence)s OR (cleared_seq IS NULL AND cleared_at >= %(received_at)s))
          AND (esp_id IS NULL OR esp_id = %(esp_id)s)
          AND (gpio IS NULL OR %(gpio)s::int IS NULL OR gpio = %(gpio)s)
        """,
        {"esp_id": esp_id, "gpio": gpio, "sequence": sequence, "received_at": received_at},
    )
    row = await cursor.fetchone()
    return bool(row and row[0])


async def cleared_unconfirmed(connection: Connection, since: datetime) -> list[Emergency]:
    """The stops of devices that were cleared since a time and whose device said nothing then."""
    cursor = await connection.execute(
        f"SELECT {_STOP} FROM actuator.emergencies WHERE cleared_at >= %s AND cleared_seq = 0 AND esp_id IS NOT NULL",
        (since,),
    )
    return [_to_stop(row) for row in await cursor.fetchall()]


async def in_force(connection: Connection) -> dict[str, Emergency]:
    """The newest stop of each key that is not cleared. A press that was written down only after a newer one of its key
    was cleared is over: the clear was of both."""
    return await _in_force(connection, "", ())


async def _in_force(connection: Connection, condition: LiteralString, values: tuple[Any, ...]) -> dict[str, Emergency]:
    cursor = await connection.execute(
        f"""
        SELECT DISTINCT ON (key) key, {_STOP}
        FROM actuator.emergencies e WHERE cleared_at IS NULL {condition}
          AND NOT EXISTS (SELECT 1 FROM actuator.emergencies c
                          WHERE c.key = e.key AND c.cleared_at >= e.raised_at AND c.number > e.number)
        ORDER BY key, raised_at DESC
        """,
        values,
    )
    return {row[0]: _to_stop(row[1:]) for row in await cursor.fetchall()}


def _to_stop(row: tuple[Any, ...]) -> Emergency:
    names = ("emergency_id", "esp_id", "gpio", "reason", "raised_by", "raised_at", "number")
    return Emergency.model_validate(dict(zip(names, row, strict=True)))
