"""The SQL of limits, and of how far the events are read."""

from datetime import datetime
from typing import Any

from kaiser_common.contract.schemas.api.alarms import LimitsBody, LimitsKey, LimitsQuery, PutLimits, SensorLimits
from kaiser_common.contract.schemas.sensor import type_of
from kaiser_common.runtime.cursors import parse_cursor

from kaiser_alarm.domain.limits import Sensor
from kaiser_alarm.store import Connection

_COLUMNS = "esp_id, gpio, sensor_type, address, hi_hi, hi, lo, lo_lo, hysteresis, delay_s"
_SELECTED = f"{_COLUMNS}, (extract(epoch FROM changed_at) * 1000)::bigint, changed_by"


class ReadElsewhere(Exception):
    """Another process has read on: what is known here is out of date."""


async def read_all(connection: Connection) -> dict[Sensor, SensorLimits]:
    """The limits of all sensors."""
    cursor = await connection.execute(f"SELECT {_SELECTED} FROM alarm.limits")
    found = [_limits(row) for row in await cursor.fetchall()]
    return {sensor_of(each.sensor): each for each in found}


async def read(connection: Connection, key: LimitsKey) -> SensorLimits | None:
    """The limits of a sensor."""
    cursor = await connection.execute(
        f"SELECT {_SELECTED} FROM alarm.limits WHERE (esp_id, gpio, sensor_type, address) = (%s, %s, %s, %s)",
        sensor_of(key),
    )
    row = await cursor.fetchone()
    return None if row is None else _limits(row)


async def page(connection: Connection, query: LimitsQuery) -> list[SensorLimits]:
    """A page of limits by sensor, one more than the limit if there are more."""
    after = parse_cursor(query.cursor, str, int, str, str) if query.cursor is not None else ["", -1, "", ""]
    cursor = await connection.execute(
        f"""
        SELECT {_SELECTED} FROM alarm.limits
        WHERE (%s::text IS NULL OR esp_id = %s) AND (esp_id, gpio, sensor_type, address) > (%s, %s, %s, %s)
        ORDER BY esp_id, gpio, sensor_type, address LIMIT %s
        """,
        (query.esp_id, query.esp_id, *after, query.limit + 1),
    )
    return [_limits(row) for row in await cursor.fetchall()]


async def put(connection: Connection, request: PutLimits, by: str, now: datetime) -> None:
    """Set the limits of a sensor as a whole."""
    limits = request.limits
    await connection.execute(
        f"""
        INSERT INTO alarm.limits ({_COLUMNS}, changed_at, changed_by)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (esp_id, gpio, sensor_type, address) DO UPDATE SET hi_hi = excluded.hi_hi, hi = excluded.hi,
            lo = excluded.lo, lo_lo = excluded.lo_lo, hysteresis = excluded.hysteresis, delay_s = excluded.delay_s,
            changed_at = excluded.changed_at, changed_by = excluded.changed_by
        """,
        (
            *sensor_of(request.sensor),
            limits.hi_hi,
            limits.hi,
            limits.lo,
            limits.lo_lo,
            limits.hysteresis,
            limits.delay_s,
            now,
            by,
        ),
    )


async def delete(connection: Connection, key: LimitsKey) -> bool:
    """Remove the limits of a sensor; False where it has none."""
    cursor = await connection.execute(
        "DELETE FROM alarm.limits WHERE (esp_id, gpio, sensor_type, address) = (%s, %s, %s, %s)", sensor_of(key)
    )
    return cursor.rowcount > 0


async def position(connection: Connection, stream: str) -> tuple[str, int] | None:
    """When the stream was created, and the sequence of its last event whose effect is stored."""
    cursor = await connection.execute("SELECT created, sequence FROM alarm.position WHERE stream = %s", (stream,))
    row = await cursor.fetchone()
    return None if row is None else (row[0], row[1])


async def move_position(
    connection: Connection, stream: str, before: tuple[str, int] | None, after: tuple[str, int]
) -> None:
    """Move from where this process left it. ReadElsewhere: another process has moved it."""
    if before is None:
        cursor = await connection.execute(
            "INSERT INTO alarm.position (stream, created, sequence) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (stream, *after),
        )
    else:
        cursor = await connection.execute(
            "UPDATE alarm.position SET created = %s, sequence = %s"
            " WHERE stream = %s AND created = %s AND sequence = %s",
            (*after, stream, *before),
        )
    if cursor.rowcount != 1:
        raise ReadElsewhere(f"another process has read {stream} on from {before}")


def sensor_of(key: LimitsKey) -> Sensor:
    """The key of a sensor, with its type as readings have it."""
    return Sensor(key.esp_id, key.gpio, type_of(key.sensor_type), key.address)


def _limits(row: tuple[Any, ...]) -> SensorLimits:
    names = _COLUMNS.split(", ")
    found = dict(zip(names, row, strict=False))
    return SensorLimits(
        sensor=LimitsKey.model_validate({name: found[name] for name in names[:4]}),
        limits=LimitsBody.model_validate({name: found[name] for name in names[4:]}),
        changed_at=row[-2],
        changed_by=row[-1],
    )
