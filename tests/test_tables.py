"""`store/tables.py` of a service states its schema; the migrations must lead to the same one.

The other side of the comparison is the server's own catalogue: one database is migrated, in another the tables are
made from their statement. Alembic compares columns, types, defaults and indexes; what it cannot see (CHECKs, keys,
exclusions, foreign keys, the WHERE of a partial index, how a table is partitioned, its fill factor) is compared as
PostgreSQL writes it out. This is done on plain PostgreSQL and on both editions of TimescaleDB, where they are to be
had: there, chunks of hypertables are compared with the stated ones, continuous aggregates are views and left out.
"""

import asyncio
import importlib
from datetime import timedelta
from importlib.metadata import entry_points

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from kaiser_sensor.store import old_keys
from sqlalchemy import MetaData, create_engine
from sqlalchemy.pool import NullPool

STATED = {
    entry.name: entry.value.replace(".migrations", ".store.tables")
    for entry in sorted(entry_points(group="kaiser.migrations"))
}
"""The statement of every schema that a service migrates."""

NOT_STATED = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND (c.relispartition OR c.relkind = 'v' OR c.relname = 'alembic_version')
"""
TABLES = """
    SELECT 'table ' || c.relname, concat_ws(' ', c.reloptions::text, pg_get_partkeydef(c.oid)), c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind IN ('r', 'p')
"""
INDEXES = """
    SELECT indexname, regexp_replace(indexdef, ' ON (ONLY )?', ' ON '), tablename FROM pg_indexes WHERE schemaname = %s
"""
CONSTRAINTS = """
    SELECT c.conrelid::regclass || '.' || c.conname, pg_get_constraintdef(c.oid), t.relname
    FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace JOIN pg_class t ON t.oid = c.conrelid
    WHERE n.nspname = %s AND c.contype IN ('c', 'p', 'u', 'f', 'x')
"""
CHUNKS = """
    SELECT hypertable_name, time_interval FROM timescaledb_information.dimensions WHERE hypertable_schema = %s
"""


def metadata_of(schema: str) -> MetaData:
    found: MetaData = importlib.import_module(STATED[schema]).metadata
    return found


def connect(uri: str) -> psycopg.Connection:
    """A connection that the WebAssembly server takes too."""
    return psycopg.connect(uri, autocommit=True, prepare_threshold=None)


def engine_of(uri: str):
    return create_engine("postgresql+psycopg://", creator=lambda: connect(uri), poolclass=NullPool)


@pytest.fixture(scope="module")
def stated(make_database) -> str:
    """A database of plain PostgreSQL in which the tables were made from their statement alone."""
    return make_stated(make_database())


@pytest.fixture
def own_stated(make_database) -> str:
    """As `stated`, to be changed."""
    return make_stated(make_database())


def make_stated(uri: str) -> str:
    with connect(uri) as connection:
        for schema in STATED:
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            connection.execute(f"CREATE SCHEMA {schema}")
    engine = engine_of(uri)
    for schema in STATED:
        metadata_of(schema).create_all(engine)
    return uri


@pytest.fixture(scope="module")
def migrated(storage) -> str:
    """A database of the level after the migrations and what the sensor service does to its keys at its start."""

    async def start() -> None:
        async with await psycopg.AsyncConnection.connect(storage, prepare_threshold=None) as connection:
            await old_keys.drop(connection)

    asyncio.run(start())
    return storage


def only_partitioned(schema: str) -> set[str]:
    return {
        str(index.name)
        for table in metadata_of(schema).tables.values()
        for index in table.indexes
        if index.info.get("only_partitioned")
    }


def differences(uri: str, schema: str) -> list[object]:
    """The changes by which Alembic would make a database as the tables are stated."""
    with connect(uri) as connection:
        left_out = {name for (name,) in connection.execute(NOT_STATED, (schema,)).fetchall()}
        if chunks_of(connection, schema) is not None:
            left_out |= only_partitioned(schema) | {f"{table}_time_idx" for table in stated_chunks(schema)}

    def is_ours(item: object, name: str | None, kind: str, reflected: bool, other: object) -> bool:
        table = getattr(item, "table", None)
        return name not in left_out and (table is None or table.name not in left_out)

    with engine_of(uri).connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": lambda name, kind, parents: kind != "schema" or name == schema,
                "include_object": is_ours,
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        return list(compare_metadata(context, metadata_of(schema)))


def written_out(uri: str, schema: str) -> dict[str, tuple[str, str]]:
    """Tables, indexes and constraints as the server writes them, each with its table."""
    with connect(uri) as connection:
        left_out = {name for (name,) in connection.execute(NOT_STATED, (schema,)).fetchall()}
        rows = [row for query in (TABLES, INDEXES, CONSTRAINTS) for row in connection.execute(query, (schema,))]
    return {name: (text, table) for name, text, table in rows if table not in left_out}


def chunks_of(connection: psycopg.Connection, schema: str) -> dict[str, timedelta] | None:
    """The length of the chunks of each hypertable; None without TimescaleDB."""
    if connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'").fetchone() is None:
        return None
    return dict(connection.execute(CHUNKS, (schema,)).fetchall())


def stated_chunks(schema: str) -> dict[str, timedelta]:
    tables = metadata_of(schema).tables.values()
    return {table.name: table.info["chunk"] for table in tables if "chunk" in table.info}


@pytest.mark.parametrize("schema", STATED)
def test_the_migrations_lead_to_the_stated_tables(schema, migrated):
    assert differences(migrated, schema) == []


@pytest.mark.parametrize("schema", STATED)
def test_what_alembic_cannot_see_is_as_it_is_stated(schema, migrated, stated):
    found, expected = written_out(migrated, schema), written_out(stated, schema)
    with connect(migrated) as connection:
        chunks = chunks_of(connection, schema)
    if chunks is not None:
        there = {table for _, table in found.values()}
        assert chunks == {table: length for table, length in stated_chunks(schema).items() if table in there}
        by_timescaledb = {f"{table}_time_idx" for table in chunks}
        not_there = only_partitioned(schema) | {f"table {table}" for table in stated_chunks(schema)}
        found = {name: each for name, each in found.items() if name not in by_timescaledb | not_there}
        expected = {name: each for name, each in expected.items() if name not in not_there and each[1] in there}
    assert found == expected


DRIFTS = {
    "a column more": "ALTER TABLE health.devices ADD COLUMN colour text",
    "another type": "ALTER TABLE health.devices ALTER COLUMN boot TYPE bigint",
    "nullable": "ALTER TABLE health.devices ALTER COLUMN hardware_type DROP NOT NULL",
    "no index": "DROP INDEX health.devices_state",
    "another default": "ALTER TABLE health.devices ALTER COLUMN online SET DEFAULT true",
    "another CHECK": "ALTER TABLE health.devices DROP CONSTRAINT devices_state_check",
    "another WHERE": "DROP INDEX health.devices_online; CREATE INDEX devices_online ON health.devices (last_seen_at)",
    "another fill factor": "ALTER TABLE health.devices SET (fillfactor = 90)",
    "an exclusion": "ALTER TABLE health.devices ADD EXCLUDE USING btree (ip WITH =)",
    "no foreign key": "ALTER TABLE gateway.families DROP CONSTRAINT families_username_fkey",
    "not unique": "ALTER TABLE factory.quality DROP CONSTRAINT quality_env_txt_time_key",
}


@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS.keys())
def test_a_drift_is_found(drift, own_stated):
    schema = drift.split(".")[0].split()[-1]
    before = written_out(own_stated, schema)
    with connect(own_stated) as connection:
        connection.execute(drift)
    assert differences(own_stated, schema) != [] or written_out(own_stated, schema) != before
