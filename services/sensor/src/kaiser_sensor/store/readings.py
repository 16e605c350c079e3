"""The SQL of readings: the only writer of `sensor.data` and `sensor.latest`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from kaiser_common.runtime.statements import equal, fetch_all, row_of, to_ms
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from sqlalchemy import select, tuple_

from kaiser_sensor.domain.rollups import MINUTE, touched
from kaiser_sensor.domain.rows import COLUMNS, Row, SensorKey
from kaiser_sensor.domain.unwritten import Arrival
from kaiser_sensor.store import Connection, tables
from kaiser_sensor.store import rollups as rollup_store
from kaiser_sensor.store.arrays import columns, literal

ReadingKey = tuple[datetime, int, str, str]
"""time, gpio, sensor_type, address."""

_KEY = ("esp_id", "gpio", "sensor_type", "address")
_LATEST = (*COLUMNS, "received_at", "device_ts")
_NAMES = ", ".join(COLUMNS)
_NAMES_BUT_TIME = ", ".join(COLUMNS[1:])
_CAME = f"""
        SELECT to_timestamp(seconds) AS time, {_NAMES_BUT_TIME},
               to_timestamp(received_s) AS received_at, device_ts, number
        FROM unnest(
            %s::float8[], %s::text[], %s::smallint[], %s::text[], %s::float8[], %s::float8[], %s::float8[],
            %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::float8[], %s::bigint[]
        ) WITH ORDINALITY AS came (seconds, {_NAMES_BUT_TIME}, received_s, device_ts, number)
"""
_UPSERT_NEWEST = f"""
        INSERT INTO sensor.latest AS latest ({_NAMES}, received_at, device_ts)
        SELECT DISTINCT ON ({", ".join(_KEY)}) {_NAMES}, received_at, device_ts FROM came
        ORDER BY {", ".join(_KEY)}, least(time, received_at) DESC, number
        ON CONFLICT ({", ".join(_KEY)}) DO UPDATE
        SET {", ".join(f"{name} = excluded.{name}" for name in _LATEST if name not in _KEY)}
        WHERE least(latest.time, coalesce(latest.received_at, now())) < least(excluded.time, excluded.received_at)
"""
_STORE_NEW = f"INSERT INTO sensor.data ({_NAMES}) SELECT {_NAMES} FROM came ON CONFLICT DO NOTHING RETURNING 1"
_INSERT = f"WITH came AS ({_CAME}), stored AS ({_STORE_NEW}){{also}} SELECT count(*) FROM stored"
_NEWEST_TOO = f", newest AS ({_UPSERT_NEWEST})"
_NOTED_TOO = f", noted AS ({rollup_store.NOTE} WHERE EXISTS (SELECT FROM stored))"
_INSERTS = {
    (latest, noted): _INSERT.format(also=_NEWEST_TOO * latest + _NOTED_TOO * noted)
    for latest in (False, True)
    for noted in (False, True)
}
"""All tables in one round trip; sensors in the order of their keys, so that two replicas lock in the same order.

The newest reading of a sensor is by its time, which counts as no later than it was received: a clock that was ahead
does not hide what comes after it was put right."""
_NEWEST = f"WITH came AS ({_CAME}) {_UPSERT_NEWEST}"
_COPY = f"COPY sensor.data ({_NAMES}) FROM STDIN (FORMAT BINARY)"
_TYPES = ("timestamptz", "text", "int2", "text", "float8", "float8", "float8", *["text"] * 6)
_DIFFERENT = f"""
    WITH came AS ({_CAME})
    SELECT number - 1 FROM came CROSS JOIN LATERAL (
        SELECT raw, raw_value, value, processing_mode FROM sensor.data AS data
        WHERE data.esp_id = came.esp_id AND data.gpio = came.gpio AND data.sensor_type = came.sensor_type
          AND data.address = came.address AND data.time = came.time
        LIMIT 1
    ) AS kept
    WHERE kept.raw IS DISTINCT FROM came.raw OR kept.raw_value IS DISTINCT FROM came.raw_value
       OR (kept.value IS DISTINCT FROM came.value
           AND kept.processing_mode <> 'library' AND came.processing_mode <> 'library')
    ORDER BY number
"""
"""A value made by a library may differ for the same reading: the calibration was changed in between."""


@dataclass(frozen=True, slots=True)
class Stored:
    """How many rows were new, and which (by their index) are of a key whose stored values are different."""

    new: int
    different: list[int]


async def copy_new(connection: Connection, rows: Sequence[Row], *, note_rollups: bool) -> bool:
    """Store readings of which none is there yet, as `insert` does without `latest`, and in two thirds of its time.

    It must be the first thing of its transaction. False: one of them is there already, or the database refuses one or
    all of this way; then the transaction is rolled back, and `insert` is to decide.
    """
    try:
        async with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.set_types(_TYPES)
            for row in rows:
                await copy.write_row(row)
    except (psycopg.IntegrityError, psycopg.DataError, psycopg.NotSupportedError):
        await connection.rollback()
        return False
    if note_rollups:
        await rollup_store.note(connection, MINUTE, touched(rows))
    return True


@asynccontextmanager
async def each_statement_alone(connection: Connection) -> AsyncIterator[None]:
    """Each statement of the block is a transaction of its own, without the round trips of BEGIN and COMMIT.

    A connection that cannot be put back, as after a cancellation, is closed: the pool opens another one.
    """
    await connection.set_autocommit(True)
    try:
        yield
    finally:
        if connection.info.transaction_status == TransactionStatus.IDLE:
            await connection.set_autocommit(False)
        else:
            await connection.close()


async def put_latest(connection: Connection, rows: Sequence[Row], arrivals: Sequence[Arrival]) -> None:
    """Put the newest of each sensor into `sensor.latest`, unless a newer one is there."""
    await connection.execute(_NEWEST, _values(rows, arrivals))


def _values(rows: Sequence[Row], arrivals: Sequence[Arrival]) -> list[str]:
    return [*columns(rows), *(literal(column) for column in zip(*arrivals, strict=True))]


async def insert(
    connection: Connection,
    rows: Sequence[Row],
    arrivals: Sequence[Arrival] | None = None,
    *,
    note_rollups: bool,
    latest: bool = True,
) -> Stored:
    """Store readings, and with `latest` the newest of each sensor, in one statement, so also in one transaction.

    The same reading again changes nothing, nor does one with other values under the same key; which those are is in
    the result, so new + repeated + different are as many as came. `arrivals`: of each row, by default its time.
    `note_rollups`: the service refreshes the rollups, so remember what is out of date.
    """
    if arrivals is None:
        arrivals = [(row[0].timestamp(), None) for row in rows]
    values = _values(rows, arrivals)
    noted = rollup_store.note_values(MINUTE, touched(rows)) if note_rollups else ()
    cursor = await connection.execute(_INSERTS[latest, note_rollups], (*values, *noted))
    found = await cursor.fetchone()
    new = 0 if found is None else int(found[0])
    if new == len(rows):
        return Stored(new, [])
    cursor = await connection.execute(_DIFFERENT, values)
    return Stored(new, [row[0] for row in await cursor.fetchall()])


LatestRow = tuple[Row, int | None, int | None]
"""A row, when it was received (ms; None: before that was kept) and the device's own time (ms)."""


async def latest(
    connection: Connection,
    esp_id: str | None,
    *,
    address: str | None = None,
    sensor_type: str | None = None,
    after: SensorKey | None = None,
    limit: int = 10_000,
) -> list[LatestRow]:
    """The newest reading of each sensor, of one device or of all, of a type, after a key, in the order of the keys."""
    c = tables.latest.c
    key = tuple(c[name] for name in _KEY)
    statement = select(*(c[name] for name in COLUMNS), to_ms(c.received_at), c.device_ts)
    statement = statement.where(*equal({c.esp_id: esp_id, c.address: address, c.sensor_type: sensor_type}))
    if after is not None:
        statement = statement.where(tuple_(*key) > row_of(*after))
    found = await fetch_all(connection, tuple_row, statement.order_by(*key).limit(limit))
    return [(row[:-2], row[-2], row[-1]) for row in found]


async def drop_replaced(connection: Connection) -> int:
    """Delete newest readings from before addresses were kept, if their sensors have since sent with an address."""
    cursor = await connection.execute(
        """
        DELETE FROM sensor.latest AS old WHERE address = '' AND received_at IS NULL AND EXISTS (
            SELECT FROM sensor.latest AS new
            WHERE new.esp_id = old.esp_id AND new.gpio = old.gpio AND new.sensor_type = old.sensor_type
              AND new.address <> '')
        """
    )
    return cursor.rowcount


async def readings(
    connection: Connection,
    esp_id: str,
    *,
    gpio: int | None,
    sensor_type: str | None,
    address: str | None,
    from_at: datetime,
    to_at: datetime,
    after: ReadingKey | None,
    limit: int,
) -> list[Row]:
    """Readings of a device in [from_at, to_at), oldest first; `after` is the key of the last one already had."""
    c = tables.data.c
    key = (c.time, c.gpio, c.sensor_type, c.address)
    statement = select(*(c[name] for name in COLUMNS)).where(c.esp_id == esp_id, c.time >= from_at, c.time < to_at)
    statement = statement.where(*equal({c.gpio: gpio, c.sensor_type: sensor_type, c.address: address}))
    if after is not None:
        statement = statement.where(tuple_(*key) > row_of(*after))
    return await fetch_all(connection, tuple_row, statement.order_by(*key).limit(limit))


async def received(
    connection: Connection, esp_id: str, from_at: datetime, to_at: datetime
) -> list[tuple[int, str, str, int, int]]:
    """Of each configured, active sensor of a device: gpio, type, address, interval in s, readings in [from_at, to_at).

    A configuration without an address counts the readings of all sensors of its type at its place.
    """
    cursor = await connection.execute(
        """
        SELECT configs.gpio, configs.sensor_type, configs.address, (configs.config ->> 'interval_s')::integer,
               count(data.time)
        FROM sensor.configs AS configs
        LEFT JOIN sensor.data AS data ON data.esp_id = configs.esp_id AND data.gpio = configs.gpio
            AND data.sensor_type = configs.sensor_type AND configs.address IN ('', data.address)
            AND data.time >= %(from_at)s AND data.time < %(to_at)s
        WHERE configs.esp_id = %(esp_id)s AND (configs.config ->> 'active')::boolean
        GROUP BY configs.esp_id, configs.gpio, configs.sensor_type, configs.address, configs.config
        ORDER BY configs.gpio, configs.sensor_type, configs.address
        """,
        {"esp_id": esp_id, "from_at": from_at, "to_at": to_at},
    )
    return await cursor.fetchall()
