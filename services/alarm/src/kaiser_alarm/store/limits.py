"""The SQL of limits, of the position up to which events are read, and of the owners that are still to be asked."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from kaiser_common.contract.schemas.api.alarms import LimitsBody, LimitsKey, LimitsQuery, PutLimits, SensorLimits
from kaiser_common.contract.schemas.sensor import type_of
from kaiser_common.runtime.cursors import parse_cursor
from kaiser_common.runtime.statements import among, equal, execute, fetch_all, fetch_one, row_of, to_ms
from psycopg.rows import tuple_row
from sqlalchemy import Select, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.elements import ClauseElement

from kaiser_alarm.domain.limits import Sensor
from kaiser_alarm.store import Connection, tables

_c = tables.limits.c
_KEY = (_c.esp_id, _c.gpio, _c.sensor_type, _c.address)
_COLUMNS = (*_KEY, _c.hi_hi, _c.hi, _c.lo, _c.lo_lo, _c.hysteresis, _c.delay_s)
_SELECT: Select[Any] = select(*_COLUMNS, to_ms(_c.changed_at), _c.changed_by)


class ReadElsewhere(Exception):
    """Another process has read on: what is known here is out of date."""


async def read_all(connection: Connection) -> dict[Sensor, SensorLimits]:
    """The limits of all sensors."""
    found = [_limits(row) for row in await fetch_all(connection, tuple_row, _SELECT)]
    return {sensor_of(each.sensor): each for each in found}


async def read(connection: Connection, key: LimitsKey) -> SensorLimits | None:
    """The limits of a sensor."""
    row = await fetch_one(connection, tuple_row, _SELECT.where(tuple_(*_KEY) == row_of(*sensor_of(key))))
    return None if row is None else _limits(row)


async def of_sensors(connection: Connection, keys: Sequence[LimitsKey]) -> list[SensorLimits]:
    """The limits of sensors; those without limits are left out."""
    wanted = {sensor_of(key) for key in keys}
    of_devices = among(_c.esp_id, sorted({sensor.esp_id for sensor in wanted}))
    found = await fetch_all(connection, tuple_row, _SELECT.where(of_devices).order_by(*_KEY))
    return [each for each in map(_limits, found) if sensor_of(each.sensor) in wanted]


async def put_where_missing(connection: Connection, found: Mapping[Sensor, LimitsBody], by: str, now: datetime) -> None:
    """Set limits of sensors that have none."""
    for sensor, body in found.items():
        add = insert(tables.limits).values(
            {**sensor._asdict(), **body.model_dump(), "changed_at": now, "changed_by": by}
        )
        await execute(connection, add.on_conflict_do_nothing(index_elements=list(_KEY)))


async def page(connection: Connection, query: LimitsQuery) -> list[SensorLimits]:
    """A page of limits by sensor, one more than the limit if there are more."""
    statement = _SELECT.where(*equal({_c.esp_id: query.esp_id}))
    if query.cursor is not None:
        statement = statement.where(tuple_(*_KEY) > row_of(*parse_cursor(query.cursor, str, int, str, str)))
    found = await fetch_all(connection, tuple_row, statement.order_by(*_KEY).limit(query.limit + 1))
    return [_limits(row) for row in found]


async def put(connection: Connection, request: PutLimits, by: str, now: datetime) -> None:
    """Set the limits of a sensor as a whole."""
    key = sensor_of(request.sensor)._asdict()
    add = insert(tables.limits).values({**key, **request.limits.model_dump(), "changed_at": now, "changed_by": by})
    changed = {name: each for name, each in add.excluded.items() if name not in key}
    await execute(connection, add.on_conflict_do_update(index_elements=list(_KEY), set_=changed))


async def delete(connection: Connection, key: LimitsKey) -> bool:
    """Remove the limits of a sensor; False where it has none."""
    cursor = await execute(connection, tables.limits.delete().where(tuple_(*_KEY) == row_of(*sensor_of(key))))
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
    c, place = tables.position.c, {"created": after[0], "sequence": after[1]}
    statement: ClauseElement
    if before is None:
        statement = insert(tables.position).values(stream=stream, **place).on_conflict_do_nothing()
    else:
        from_there = (c.stream == stream, c.created == before[0], c.sequence == before[1])
        statement = update(tables.position).where(*from_there).values(place)
    cursor = await execute(connection, statement)
    if cursor.rowcount != 1:
        raise ReadElsewhere(f"another process has read {stream} on from {before}")


async def owed(connection: Connection, stream: str) -> set[str]:
    """The owners whose current state must still be asked."""
    cursor = await connection.execute("SELECT owed FROM alarm.position WHERE stream = %s", (stream,))
    row = await cursor.fetchone()
    return set() if row is None else set(row[0].split())


async def owe(connection: Connection, stream: str, owners: Iterable[str]) -> None:
    """Note whose current state must be asked; stored, so that a restart asks too."""
    wanted = " ".join(sorted(owners))
    await connection.execute("UPDATE alarm.position SET owed = %s WHERE stream = %s", (wanted, stream))


def sensor_of(key: LimitsKey) -> Sensor:
    """The key of a sensor, with its type as readings have it."""
    return Sensor(key.esp_id, key.gpio, type_of(key.sensor_type), key.address)


def _limits(row: tuple[Any, ...]) -> SensorLimits:
    names = [str(column.name) for column in _COLUMNS]
    found = dict(zip(names, row, strict=False))
    return SensorLimits(
        sensor=LimitsKey.model_validate({name: found[name] for name in names[:4]}),
        limits=LimitsBody.model_validate({name: found[name] for name in names[4:]}),
        changed_at=row[-2],
        changed_by=row[-1],
    )
