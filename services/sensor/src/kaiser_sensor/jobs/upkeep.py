"""Maintains the tables: partitions, policies, retention, rollups; one replica at a time.

Killed in the middle: its transaction ends with it, and the next round of any replica does it again.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta

import structlog
from kaiser_common.runtime.database import DatabasePool, detect_level
from kaiser_common.runtime.partitions import (
    drop_days_before,
    drop_rows_before,
    make_day_partitions,
    make_month_partitions,
)

from kaiser_sensor import metrics
from kaiser_sensor.domain.completeness import day_span
from kaiser_sensor.domain.rollups import HOUR, MINUTE, Span
from kaiser_sensor.settings import SensorSettings
from kaiser_sensor.store import Connection, day_checks, old_keys, policies
from kaiser_sensor.store import readings as store
from kaiser_sensor.store import rollups as rollup_store
from kaiser_sensor.store.day_checks import DayCheck

log = structlog.get_logger()


class Upkeep:
    """The rounds; each takes the advisory lock in its transaction, or leaves it to the replica that has it."""

    def __init__(self, pool: DatabasePool, settings: SensorSettings, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._settings = settings
        self._now = now
        self.keeps_rollups = True
        """Whether rollups are the service's to refresh; known after `begin`."""

    async def begin(self) -> None:
        """Find out what the database is, and make what storing needs."""
        async with self._pool.connection() as connection:
            dropped = await old_keys.drop(connection)
            if dropped:
                log.info("old_keys_dropped", tables=dropped)
            self.keeps_rollups = await rollup_store.kept_by_service(connection)
            log.info(
                "database_level",
                found=await detect_level(connection),
                rollups="service" if self.keeps_rollups else "continuous aggregates",
            )
        await self.keep_tables()

    async def keep_tables(self) -> None:
        """Partitions of the days that readings may come for, policies, and what is too old is dropped."""
        now = self._now()
        async with self._pool.connection() as connection:
            if not await rollup_store.lock(connection):
                return
            await make_partitions(connection, now, self._settings)
            changed = await policies.apply(connection, self._settings)
            if changed:
                log.info("policies_changed", policies=changed)
            await drop_old(connection, now, self._settings)
            await store.drop_replaced(connection)

    def oldest(self) -> datetime:
        """The time before which rollups are final: its readings may be dropped already."""
        return self._now() - timedelta(days=self._settings.sensor_retention_days - 1)

    async def refresh(self) -> None:
        """Refresh the rollups, minutes first; each portion is a transaction of its own."""
        now, oldest = self._now(), self.oldest()
        for rollup in (MINUTE, HOUR):
            more = True
            while more:
                async with self._pool.connection() as connection:
                    more = await rollup_store.lock(connection) and await rollup_store.refresh(
                        connection, rollup, now, oldest
                    )
                await asyncio.sleep(0)

    async def check_days(self) -> None:
        """Once a day compare the rollups with the readings and count the readings of each sensor; every replica shows
        the result. A rollup table that differs is rebuilt from the readings.
        """
        today, late_days = self._now().date(), self._settings.sensor_late_days
        async with self._pool.connection() as connection:
            days = await day_checks.due(connection, today, late_days)
        for day in days:
            async with self._pool.connection() as connection:
                if not await rollup_store.lock(connection):
                    break
                found = await day_checks.check(connection, day)
                await day_checks.keep(connection, found, self._now())
                if found.raw != found.minutes or found.raw != found.hours:
                    log.warning("rollup_differs", day=f"{day}", raw=found.raw, minutes=found.minutes, hours=found.hours)
                    if await rollup_store.kept_by_service(connection):
                        await rollup_store.note(connection, MINUTE, [Span(*day_span(day))])
        async with self._pool.connection() as connection:
            show(await day_checks.recent(connection, today, late_days), today - timedelta(days=1))


def show(checks: Sequence[DayCheck], yesterday: date) -> None:
    """Set the metrics to what was found."""
    metrics.ROLLUP_DIFFERENCE.labels("1m").set(sum(abs(check.raw - check.minutes) for check in checks))
    metrics.ROLLUP_DIFFERENCE.labels("1h").set(sum(abs(check.raw - check.hours) for check in checks))
    for check in checks:
        if check.day == yesterday:
            partial = check.sensors - check.complete - check.silent
            for share, sensors in (("complete", check.complete), ("partial", partial), ("silent", check.silent)):
                metrics.SENSORS_YESTERDAY.labels(share).set(sensors)


async def make_partitions(connection: Connection, now: datetime, settings: SensorSettings) -> None:
    """Where the tables are partitioned: the days that readings may come late for, and the coming ones."""
    await make_day_partitions(connection, "sensor.data", now, days_back=settings.sensor_late_days + 1)
    if await rollup_store.kept_by_service(connection):
        await make_day_partitions(connection, "sensor.rollup_1m", now, days_back=settings.sensor_late_days + 1)
        await make_month_partitions(connection, "sensor.rollup_1h", now)


async def drop_old(connection: Connection, now: datetime, settings: SensorSettings) -> None:
    """Drop what is older than its retention; where a policy does that too, there is nothing left to do."""
    await drop_days_before(connection, "sensor.data", now - timedelta(days=settings.sensor_retention_days))
    rollups_before = now - timedelta(days=settings.sensor_rollup_retention_days)
    if await rollup_store.kept_by_service(connection):
        await drop_days_before(connection, "sensor.rollup_1m", rollups_before)
        await drop_days_before(connection, "sensor.rollup_1h", rollups_before)
    await drop_rows_before(connection, "sensor.day_checks", "day", rollups_before)
    before = now - timedelta(days=settings.sensor_retention_days)
    await drop_rows_before(connection, "sensor.measurements", "requested_at", before)
