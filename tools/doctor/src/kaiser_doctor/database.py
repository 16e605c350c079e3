"""PostgreSQL: is a commit kept, do schemas match the services, is tomorrow's partition there, are connections left."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from kaiser_common.contract.errors import line_of
from kaiser_common.migrate.command import newest_revisions
from kaiser_common.runtime.database import Level, connection_options, connection_uri, detect_level
from psycopg import AsyncConnection

from kaiser_doctor.clock import of_clock
from kaiser_doctor.findings import Finding, green, in_bytes, red, unseen, yellow
from kaiser_doctor.settings import DoctorSettings

ABOUT = "database"
_MIGRATE = "run kaiser-migrate"
_LONGEST_CHUNK = timedelta(days=7)
_WANTED_CHUNK = timedelta(days=1)
_CROWDED = 0.8
_SERIES = ("sensor.data", "health.heartbeats")

Connection = AsyncConnection[tuple[Any, ...]]


async def look(settings: DoctorSettings) -> list[Finding]:
    """Everything that PostgreSQL can say to our role."""
    try:
        connection = await AsyncConnection.connect(
            connection_uri(settings), autocommit=True, **connection_options(settings, "doctor")
        )
    except psycopg.Error as error:
        text = f"does not take us: {line_of(error)}"
        return [red(ABOUT, text, "start it, or set KAISER_DATABASE_URL, _PASSWORD_FILE to what it expects")]
    async with connection:
        return [
            *await _level(connection),
            *of_durability(await _settings(connection)),
            *of_revisions(await _revisions(connection), newest_revisions()),
            *await _series(connection),
            *await _room(connection),
            *await _clock(connection),
        ]


async def _level(connection: Connection) -> list[Finding]:
    level = await detect_level(connection)
    version = (await _one(connection, "SHOW server_version"))[0]
    if level is Level.PLAIN:
        text = f"PostgreSQL {version} without TimescaleDB: days are partitions, which sensor makes and drops"
        return [green(ABOUT, text)]
    return [green(ABOUT, f"PostgreSQL {version}, {level.value}")]


async def _settings(connection: Connection) -> dict[str, str]:
    names = ["fsync", "full_page_writes", "synchronous_commit", "autovacuum", "data_checksums"]
    cursor = await connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [names])
    return dict(await cursor.fetchall())


def of_durability(settings: dict[str, str]) -> list[Finding]:
    """Settings of the server that give up what was committed."""
    findings = [
        red(ABOUT, f"{name} is off: a crash of the machine loses or spoils what was committed", f"set {name} = on")
        for name in ("fsync", "full_page_writes", "synchronous_commit")
        if settings.get(name) == "off"
    ]
    if settings.get("autovacuum") == "off":
        findings.append(yellow(ABOUT, "autovacuum is off: tables only grow", "set autovacuum = on"))
    if settings.get("data_checksums") == "off":
        text = "has no checksums: a spoilt page shows only when it is read wrongly"
        findings.append(yellow(ABOUT, text, "pg_checksums --enable while the server is stopped"))
    return findings or [green(ABOUT, "keeps what it commits")]


async def _revisions(connection: Connection) -> dict[str, str | None]:
    """The revision of each schema of ours; None where there is none."""
    found: dict[str, str | None] = {}
    for schema in newest_revisions():
        if not await _exists(connection, f"{schema}.alembic_version"):
            found[schema] = None
            continue
        try:
            row = await _one(connection, f'SELECT version_num FROM "{schema}".alembic_version')
        except psycopg.errors.InsufficientPrivilege:
            continue
        found[schema] = row[0]
    return found


def of_revisions(current: dict[str, str | None], newest: dict[str, str]) -> list[Finding]:
    """Schemas that are not at the revision of the installed services."""
    findings: list[Finding] = []
    for schema, wanted in newest.items():
        if schema not in current:
            findings.append(unseen(f"schema {schema}", "our role may not read its version", "ask as its owner"))
        elif current[schema] != wanted:
            is_at = current[schema] or "not there"
            findings.append(red(f"schema {schema}", f"is {is_at}, its service needs {wanted}", _MIGRATE))
    return findings or [green(ABOUT, "every schema is at its service's version")]


async def _series(connection: Connection) -> list[Finding]:
    findings: list[Finding] = []
    has_timescale = await detect_level(connection) is not Level.PLAIN
    for table in _SERIES:
        if not await _exists(connection, table):
            continue
        if has_timescale:
            row = await _one(
                connection,
                "SELECT time_interval FROM timescaledb_information.dimensions"
                " WHERE hypertable_schema || '.' || hypertable_name = %s",
                table,
            )
            findings += of_chunks(table, row[0] if row else None)
        else:
            findings += await _partitions(connection, table)
    return findings


def of_chunks(table: str, interval: timedelta | None) -> list[Finding]:
    """The chunk interval of a hypertable: rows are dropped by chunk, and inserts need a chunk's indexes in memory."""
    fix = f"SELECT set_chunk_time_interval('{table}', INTERVAL '1 day')"
    if interval is None:
        return [red(ABOUT, f"{table} is no hypertable: old data cannot be dropped", "restore it from a back-up")]
    if interval > _LONGEST_CHUNK:
        text = f"{table} has chunks of {interval.days} days: retention drops whole ones, inserts outgrow memory"
        return [red(ABOUT, text, fix)]
    if interval != _WANTED_CHUNK:
        return [yellow(ABOUT, f"{table} has chunks of {interval}, made for one day", fix)]
    return [green(ABOUT, f"{table} has chunks of a day")]


async def _partitions(connection: Connection, table: str) -> list[Finding]:
    schema, name = table.split(".")
    tomorrow = f"{schema}.{name}_{datetime.now(UTC) + timedelta(days=1):%Y%m%d}"
    try:
        stray = await _one(connection, f"SELECT count(*) FROM (SELECT 1 FROM {table}_other LIMIT 100001) AS stray")
    except psycopg.errors.InsufficientPrivilege:
        return [unseen(ABOUT, f"our role may not read {table}", "ask as a role that may read all, such as Grafana's")]
    return of_partitions(table, await _exists(connection, tomorrow), int(stray[0]))


def of_partitions(table: str, tomorrow: bool, stray: int) -> list[Finding]:
    """Day partitions of plain PostgreSQL: tomorrow's must be there, and few rows outside of any."""
    findings = []
    if not tomorrow:
        text = f"{table} has no partition for tomorrow: rows will go to the default one"
        findings.append(yellow(ABOUT, text, "is its service running? it makes them every hour"))
    if stray > 100_000:
        text = f"{table} has over 100,000 rows outside of its day partitions: retention deletes them one by one"
        findings.append(yellow(ABOUT, text, "install TimescaleDB, or move them; see docs/operating.md"))
    return findings or [green(ABOUT, f"{table} has its partition for tomorrow")]


async def _room(connection: Connection) -> list[Finding]:
    used, most = await _one(
        connection,
        "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
        " current_setting('max_connections')::int",
    )
    cursor = await connection.execute(
        "SELECT slot_name::text, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint"
        " FROM pg_replication_slots WHERE NOT active AND NOT pg_is_in_recovery()"
    )
    slots = [(str(name), int(held or 0)) for name, held in await cursor.fetchall()]
    size = await _one(connection, "SELECT pg_database_size(current_database())")
    return [*of_room(int(used), int(most), slots), green(ABOUT, f"holds {in_bytes(size[0])}")]


def of_room(used: int, most: int, idle_slots: list[tuple[str, int]]) -> list[Finding]:
    """Connections, and unused replication slots (with the bytes of WAL that each keeps)."""
    findings = [
        red(
            ABOUT,
            f"slot {name} is idle and keeps {in_bytes(held)} of WAL: the disk fills",
            f"SELECT pg_drop_replication_slot('{name}')",
        )
        for name, held in idle_slots
    ]
    if used > _CROWDED * most:
        text = f"{used} of {most} connections are taken"
        findings.append(yellow(ABOUT, text, "raise max_connections, or lower KAISER_DATABASE_POOL_SIZE"))
    return findings


async def _exists(connection: Connection, table: str) -> bool:
    """Whether there is such a table, by the catalogue: a role without rights on a schema may read that."""
    found = await _one(
        connection,
        "SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        *table.split("."),
    )
    return bool(found)


async def _clock(connection: Connection) -> list[Finding]:
    asked_at = time.time()
    row = await _one(connection, "SELECT extract(epoch FROM clock_timestamp())::float8")
    return of_clock("the database", float(row[0]), asked_at, time.time())


async def _one(connection: Connection, statement: str, *arguments: Any) -> tuple[Any, ...]:
    cursor = await connection.execute(statement, arguments or None)
    return await cursor.fetchone() or ()
