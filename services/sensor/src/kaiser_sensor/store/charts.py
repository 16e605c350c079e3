"""Charts: a sensor's values by bucket, from a rollup and from the readings that it does not have yet."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from kaiser_common.runtime.statements import equal, fetch_all
from psycopg.rows import tuple_row
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Double,
    Select,
    Table,
    cast,
    column,
    exists,
    func,
    literal,
    literal_column,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.selectable import TableValuedAlias

from kaiser_sensor.domain.rollups import Rollup, RollupProgress, Span, from_readings, widened
from kaiser_sensor.store import Connection, tables

Key = tuple[str, int, str | None, str | None]
"""esp_id, gpio, sensor_type, address; None: any."""

_TIME = DateTime(timezone=True)


async def buckets(
    connection: Connection,
    key: Key,
    from_at: datetime,
    to_at: datetime,
    bucket_s: int,
    rollup: Rollup | None,
    progress: RollupProgress | None,
) -> list[tuple[datetime, int, float | None, float | None, float | None, float | None]]:
    """One sensor's values by bucket, empty buckets included: start, count, min, max, avg, last.

    Buckets start at multiples of `bucket_s` since 1970 and are whole, also the first and the last; what is bad or in
    error does not count. A rollup gives what it has (`progress` None: all of it), the readings give the rest.
    """
    width = timedelta(seconds=bucket_s)
    asked = widened(Span(from_at, to_at), width)
    rest = [asked] if rollup is None else [] if progress is None else from_readings(asked, rollup, progress)
    parts = [] if rollup is None else [_of_rollup(key, asked, rest, tables.metadata.tables[rollup.table])]
    p = union_all(*parts, _of_readings(key, asked, rest)).cte("part").c
    found = select(
        func.date_bin(literal(width), p.time, literal_column("'epoch'"), type_=_TIME).label("start"),
        cast(func.sum(p["count"]), BigInteger).label("count"),
        func.min(p.min).label("min"),
        func.max(p.max).label("max"),
        (func.sum(p.total) / func.sum(p["count"])).label("avg"),
        func.array_agg(aggregate_order_by(p.last, p.time.desc()), type_=ARRAY(Double))[1].label("last"),
    )
    f = found.group_by(literal_column("1")).cte("found").c
    last = asked.to_at - timedelta(microseconds=1)
    starts = func.generate_series(literal(asked.from_at, _TIME), literal(last, _TIME), literal(width))
    series = starts.table_valued(column("start", _TIME), name="series").render_derived()
    statement = select(series.c.start, func.coalesce(f["count"], 0), f.min, f.max, f.avg, f.last)
    statement = statement.join_from(series, f.start.table, f.start == series.c.start, isouter=True)
    return await fetch_all(connection, tuple_row, statement.order_by(series.c.start))


def _of_readings(key: Key, asked: Span, rest: Sequence[Span]) -> Select[Any]:
    """The readings of a sensor in these spans that count, as parts of buckets."""
    c, spans = tables.data.c, _spans(rest)
    values = (c.value.label(name) for name in ("min", "max", "total", "last"))
    reading = select(c.time, *values, literal_column("1").label("count")).where(
        *_of_sensor(c, key, asked),
        *(c.time >= spans.c.from_at, c.time < spans.c.to_at),
        *(c.value.between(literal_column("-1e15"), literal_column("1e15")), c.quality != "bad", c.quality != "error"),
    )
    found = reading.lateral("reading")
    return select(found).select_from(spans.join(found, true()))


def _of_rollup(key: Key, asked: Span, rest: Sequence[Span], table: Table) -> Select[Any]:
    """The buckets of a sensor in a rollup outside these spans."""
    c, spans = table.c, _spans(rest)
    is_rest = exists().where(c.time >= spans.c.from_at, c.time < spans.c.to_at)
    total = (c.avg * c["count"]).label("total")
    return select(c.time, c.min, c.max, total, c.last, c["count"]).where(*_of_sensor(c, key, asked), ~is_rest)


def _of_sensor(c: ReadOnlyColumnCollection[str, Column[Any]], key: Key, asked: Span) -> list[ColumnElement[bool]]:
    esp_id, gpio, sensor_type, address = key
    wanted = equal({c.esp_id: esp_id, c.gpio: gpio, c.sensor_type: sensor_type, c.address: address})
    return [*wanted, c.time >= asked.from_at, c.time < asked.to_at]


def _spans(spans: Sequence[Span]) -> TableValuedAlias:
    starts, ends = ([span.from_at for span in spans], [span.to_at for span in spans])
    rows = func.unnest(literal(starts, ARRAY(_TIME)), literal(ends, ARRAY(_TIME)))
    return rows.table_valued(column("from_at", _TIME), column("to_at", _TIME), name="rest").render_derived()
