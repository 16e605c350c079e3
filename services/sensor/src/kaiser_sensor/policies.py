"""The policies of TimescaleDB's community edition: refresh, compression and retention, by the settings."""

from collections.abc import Iterable
from dataclasses import dataclass

from kaiser_common.database import Level, detect_level

from kaiser_sensor.rollup_store import Connection, kept_by_service
from kaiser_sensor.settings import SensorSettings


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy by its name: how an older one is removed and this one added; `setting` tells when it has to be."""

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
            " timescaledb.compress_segmentby = 'esp_id, gpio, sensor_type', timescaledb.compress_orderby = 'time')"
        )
    cursor = await connection.execute("SELECT name, applied FROM sensor.policies")
    applied = dict(await cursor.fetchall())
    changed = [
        policy
        for policy in policies(settings, continuous=not await kept_by_service(connection))
        if applied.get(policy.name) != policy.setting
    ]
    for policy in changed:
        await connection.execute(policy.remove)
        await connection.execute(policy.add)
        await connection.execute(
            "INSERT INTO sensor.policies (name, applied) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET applied = excluded.applied",
            (policy.name, policy.setting),
        )
    return [policy.name for policy in changed]


def policies(settings: SensorSettings, *, continuous: bool) -> Iterable[Policy]:
    """What the settings ask for; `continuous`: the rollups are continuous aggregates."""
    compress = f"INTERVAL '{settings.sensor_compress_after_days} days'"
    yield Policy(
        "compress data",
        compress,
        "SELECT remove_compression_policy('sensor.data', if_exists => true)",
        f"SELECT add_compression_policy('sensor.data', {compress})",
    )
    kept = {"sensor.data": settings.sensor_retention_days}
    if continuous:
        kept |= dict.fromkeys(("sensor.rollup_1m", "sensor.rollup_1h"), settings.sensor_rollup_retention_days)
        # A window one day wider than what may come late; its end is the newest bucket that is over.
        start = f"INTERVAL '{settings.sensor_late_days + 1} days'"
        every = f"INTERVAL '{settings.sensor_rollup_every_s:g} seconds'"
        for name, width in (("rollup_1m", "1 minute"), ("rollup_1h", "1 hour")):
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
