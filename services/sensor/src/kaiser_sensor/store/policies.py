"""Sets the policies of TimescaleDB's community edition (refresh, compression, retention) as the settings say."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kaiser_common.runtime.database import Level, detect_level
from kaiser_common.runtime.statements import execute
from sqlalchemy.dialects.postgresql import insert

from kaiser_sensor.settings import SensorSettings
from kaiser_sensor.store import Connection
from kaiser_sensor.store.tables import policies as _table

_AGGREGATES = ("rollup_1m_by_address", "rollup_1h_by_address")
_OLD_AGGREGATES = ("rollup_1m_before", "rollup_1h_before")
"""Of the time before addresses (migration 0006): they are only dropped from."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy by its name: how an older one is removed and this one added; `setting` shows when that is needed."""

    name: str
    setting: str
    remove: str
    add: str


async def apply(connection: Connection, settings: SensorSettings) -> list[str]:
    """Make the policies say what the settings say, in the caller's transaction; the names of those that changed.

    A server whose level rose gets them at the next start. One that changed its mind by hand keeps its own until a
    setting changes.
    """
    if not await _has_policies(connection):
        return []
    if not await _is_compressed(connection):
        await connection.execute(
            "ALTER TABLE sensor.data SET (timescaledb.compress,"
            " timescaledb.compress_segmentby = 'esp_id, gpio, sensor_type, address',"
            " timescaledb.compress_orderby = 'time')"
        )
    cursor = await connection.execute("SELECT name, applied FROM sensor.policies")
    applied = dict(await cursor.fetchall())
    changed = [
        policy
        for policy in policies(settings, await _aggregates(connection))
        if applied.get(policy.name) != policy.setting
    ]
    for policy in changed:
        await connection.execute(policy.remove)
        await connection.execute(policy.add)
        noted = insert(_table).values(name=policy.name, applied=policy.setting)
        noted = noted.on_conflict_do_update(index_elements=["name"], set_={"applied": noted.excluded.applied})
        await execute(connection, noted)
    return [policy.name for policy in changed]


def policies(settings: SensorSettings, aggregates: Sequence[str]) -> Iterable[Policy]:
    """The policies that the settings require; `aggregates`: the existing continuous aggregates."""
    compress = f"INTERVAL '{settings.sensor_compress_after_days} days'"
    yield Policy(
        "compress data",
        compress,
        "SELECT remove_compression_policy('sensor.data', if_exists => true)",
        f"SELECT add_compression_policy('sensor.data', {compress})",
    )
    kept = {"sensor.data": settings.sensor_retention_days}
    if aggregates:
        kept |= {f"sensor.{name}": settings.sensor_rollup_retention_days for name in aggregates}
        # A window one day wider than what may come late; its end is the newest bucket that is over.
        start = f"INTERVAL '{settings.sensor_late_days + 1} days'"
        every = f"INTERVAL '{settings.sensor_rollup_every_s:g} seconds'"
        for name, width in zip(_AGGREGATES, ("1 minute", "1 hour"), strict=True):
            yield Policy(
                f"refresh {name}",
                f"{start} {every}",
                f"SELECT remove_continuous_aggregate_policy('sensor.{name}', if_exists => true)",
                f"SELECT add_continuous_aggregate_policy('sensor.{name}', start_offset => {start},"
                f" end_offset => INTERVAL '{width}', schedule_interval => {every})",
            )
    for table, days in kept.items():
        yield Policy(
            f"retain {table}",
            f"{days} days",
            f"SELECT remove_retention_policy('{table}', if_exists => true)",
            f"SELECT add_retention_policy('{table}', INTERVAL '{days} days')",
        )


async def _aggregates(connection: Connection) -> list[str]:
    """The continuous aggregates that there are; none where the rollups are tables."""
    cursor = await connection.execute(
        "SELECT view_name FROM timescaledb_information.continuous_aggregates"
        " WHERE view_schema = 'sensor' AND view_name = ANY(%s) ORDER BY view_name",
        ([*_AGGREGATES, *_OLD_AGGREGATES],),
    )
    return [row[0] for row in await cursor.fetchall()]


async def _has_policies(connection: Connection) -> bool:
    """Whether the server takes policies, and its tables are such that they can have them."""
    if await detect_level(connection) is not Level.COMMUNITY:
        return False
    cursor = await connection.execute("SELECT relkind FROM pg_class WHERE oid = 'sensor.data'::regclass")
    row = await cursor.fetchone()
    return row is not None and row[0] == "r"  # a partitioned table made before TimescaleDB came is none


async def _is_compressed(connection: Connection) -> bool:
    cursor = await connection.execute(
        "SELECT compression_enabled FROM timescaledb_information.hypertables"
        " WHERE hypertable_schema = 'sensor' AND hypertable_name = 'data'"
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])
