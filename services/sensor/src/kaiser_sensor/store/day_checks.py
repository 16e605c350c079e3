"""The SQL of the checks of a day: whether rollups count every stored reading, and how many readings arrived."""

from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

from kaiser_common.runtime.statements import execute, fetch_all
from psycopg.rows import class_row
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from kaiser_sensor.domain.completeness import day_span
from kaiser_sensor.store import Connection
from kaiser_sensor.store.tables import day_checks

COMPLETE = 0.99
"""A sensor's day is complete with this share of its expected readings: clocks and intervals drift a little."""


@dataclass(frozen=True, slots=True)
class DayCheck:
    """Readings of a day that count, as stored and by each rollup; configured sensors, and of them the complete and the
    silent ones."""

    day: date
    raw: int
    minutes: int
    hours: int
    sensors: int
    complete: int
    silent: int


async def due(connection: Connection, today: date, late_days: int) -> list[date]:
    """Days to check: yesterday, the one whose readings can come late no more, and those that differed."""
    wanted = [today - timedelta(days=1), today - timedelta(days=late_days + 1)]
    cursor = await connection.execute(
        """
        SELECT wanted.day FROM unnest(%(wanted)s::date[]) AS wanted (day)
        LEFT JOIN sensor.day_checks AS done ON done.day = wanted.day AND done.checked_at >= %(today)s
        WHERE done.day IS NULL
        UNION SELECT day FROM sensor.day_checks WHERE (raw <> minutes OR raw <> hours) AND day >= %(oldest)s
        ORDER BY day
        """,
        {"wanted": wanted, "today": day_span(today)[0], "oldest": today - timedelta(days=late_days + 2)},
    )
    return [row[0] for row in await cursor.fetchall()]


async def check(connection: Connection, day: date) -> DayCheck:
    """Count a day."""
    start, end = day_span(day)
    cursor = await connection.execute(
        """
        SELECT (SELECT count(*) FROM sensor.data WHERE time >= %(start)s AND time < %(end)s
                AND value BETWEEN -1e15 AND 1e15 AND quality NOT IN ('bad', 'error')),
               (SELECT coalesce(sum(count), 0)::bigint FROM sensor.rollup_1m
                WHERE time >= %(start)s AND time < %(end)s),
               (SELECT coalesce(sum(count), 0)::bigint FROM sensor.rollup_1h
                WHERE time >= %(start)s AND time < %(end)s)
        """,
        {"start": start, "end": end},
    )
    counts = await cursor.fetchone()
    cursor = await connection.execute(
        """
        WITH received AS (
            SELECT esp_id, gpio, sensor_type, address, count(*) AS readings FROM sensor.data
            WHERE time >= %(start)s AND time < %(end)s GROUP BY 1, 2, 3, 4
        ), shares AS (
            SELECT coalesce(sum(readings), 0)::float8 / (86400 / (configs.config ->> 'interval_s')::integer) AS share
            FROM sensor.configs AS configs
            LEFT JOIN received ON received.esp_id = configs.esp_id AND received.gpio = configs.gpio
                AND received.sensor_type = configs.sensor_type AND configs.address IN ('', received.address)
            WHERE (configs.config ->> 'active')::boolean
            GROUP BY configs.esp_id, configs.gpio, configs.sensor_type, configs.address, configs.config
        )
        SELECT count(*), count(*) FILTER (WHERE share >= %(complete)s), count(*) FILTER (WHERE share = 0) FROM shares
        """,
        {"start": start, "end": end, "complete": COMPLETE},
    )
    sensors = await cursor.fetchone()
    return DayCheck(day, *(counts or ()), *(sensors or ()))


async def keep(connection: Connection, found: DayCheck, now: datetime) -> None:
    """Remember what was found of a day, in place of what was found before."""
    put = insert(day_checks).values(checked_at=now, **asdict(found))
    changed = {name: each for name, each in put.excluded.items() if name != "day"}
    await execute(connection, put.on_conflict_do_update(index_elements=[day_checks.c.day], set_=changed))


async def recent(connection: Connection, today: date, late_days: int) -> list[DayCheck]:
    """The results of the days that may still differ, newest first."""
    c = day_checks.c
    statement = select(c.day, c.raw, c.minutes, c.hours, c.sensors, c.complete, c.silent)
    statement = statement.where(c.day >= today - timedelta(days=late_days + 2)).order_by(c.day.desc())
    return await fetch_all(connection, class_row(DayCheck), statement)
