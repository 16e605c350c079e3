"""The SQL of silent sensors."""

from collections.abc import Sequence
from datetime import datetime

from kaiser_common.runtime.statements import execute_many, insert_of

from kaiser_sensor.domain.rows import ADDRESS, COLUMNS, Row
from kaiser_sensor.store import Connection
from kaiser_sensor.store.intervals import INTERVAL_S, IS_ACTIVE, WATCHED, Key
from kaiser_sensor.store.tables import stale

_NAMES = ", ".join(f"latest.{column}" for column in COLUMNS)
_ADD = insert_of(stale, ("esp_id", "gpio", "sensor_type", "address", "time"))
_PUT = _ADD.on_conflict_do_update(
    index_elements=["esp_id", "gpio", "sensor_type", "address"], set_={"time": _ADD.excluded.time}
)

Silent = tuple[Row, int, int, int | None]
"""The newest reading of a silent sensor, when it was received (ms), when three intervals were over (ms), and when it
was last left out because it was inactive (ms)."""

_RECEIVED_AT = "coalesce(latest.received_at, latest.time)"
_MISSED = f"%(intervals)s * make_interval(secs => {INTERVAL_S})"


async def silent(
    connection: Connection, now: datetime, listening_since: datetime, intervals: int, limit: int
) -> list[Silent]:
    """The newest readings of sensors that have missed this many intervals since and are not published as stale.

    A sensor's silence counts from when its newest reading was received, so its clock does not matter. Its interval is
    the configured one, else the learned one; a sensor that is configured as inactive is not watched. Intervals before
    `listening_since` do not count, because Kaiser may not have received readings then.
    """
    cursor = await connection.execute(
        f"""
        SELECT {_NAMES}, (extract(epoch FROM {_RECEIVED_AT}) * 1000)::bigint,
               (extract(epoch FROM {_RECEIVED_AT} + {_MISSED}) * 1000)::bigint,
               CASE WHEN stale.time > latest.time THEN (extract(epoch FROM stale.time) * 1000)::bigint END
        FROM {WATCHED}
        LEFT JOIN sensor.stale AS stale
            ON (stale.esp_id, stale.gpio, stale.sensor_type, stale.address)
             = (latest.esp_id, latest.gpio, latest.sensor_type, latest.address)
        WHERE {IS_ACTIVE}
          AND greatest({_RECEIVED_AT}, %(since)s)
              < %(now)s - {_MISSED}
          AND stale.time IS DISTINCT FROM latest.time
        ORDER BY latest.time LIMIT %(limit)s
        """,
        {"now": now, "since": listening_since, "intervals": intervals, "limit": limit},
    )
    return [(row[:-3], *row[-3:]) for row in await cursor.fetchall()]


async def note_told(connection: Connection, rows: Sequence[Row]) -> None:
    """Record that these readings were published as stale."""
    told = [
        {"esp_id": row[1], "gpio": row[2], "sensor_type": row[3], "address": row[ADDRESS], "time": row[0]}
        for row in rows
    ]
    await execute_many(connection, _PUT, told)


async def unwatched(connection: Connection, limit: int) -> list[Key]:
    """The sensors that were published as stale, and are configured as inactive now."""
    cursor = await connection.execute(
        f"""
        SELECT stale.esp_id, stale.gpio, stale.sensor_type, stale.address
        FROM {WATCHED}
        JOIN sensor.stale AS stale
            ON (stale.esp_id, stale.gpio, stale.sensor_type, stale.address)
             = (latest.esp_id, latest.gpio, latest.sensor_type, latest.address)
        WHERE NOT {IS_ACTIVE} AND stale.time = latest.time
        ORDER BY 1, 2, 3, 4 LIMIT %s
        """,
        [limit],
    )
    return await cursor.fetchall()


async def leave(connection: Connection, keys: Sequence[Key], now: datetime) -> None:
    """Record when these sensors were published as not watched: once active, they are published as stale again."""
    await connection.execute(
        """
        UPDATE sensor.stale AS stale SET time = %s
        FROM unnest(%s::text[], %s::smallint[], %s::text[], %s::text[]) AS one (esp_id, gpio, sensor_type, address)
        WHERE (stale.esp_id, stale.gpio, stale.sensor_type, stale.address)
            = (one.esp_id, one.gpio, one.sensor_type, one.address)
        """,
        [now, *(list(column) for column in zip(*keys, strict=True))],
    )
