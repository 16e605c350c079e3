"""`store/tables.py` of a service states its schema; the migrations must lead to the same one.

The other side of the comparison is the server's own catalogue: one database is migrated, in another the tables are
made from their statement. Alembic compares columns, types, defaults and indexes; what it cannot see (CHECKs, the WHERE
of a partial index, the order of an index's columns) is compared as PostgreSQL writes it out. `heartbeats` and other
time series are partitioned by the migrations alone, so partitions are left out.
"""

import importlib

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, create_engine
from sqlalchemy.pool import NullPool

STATED = {"health": "kaiser_health.store.tables"}
"""Schemas that have their statement. The list only grows."""

PARTITIONED = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND (c.relispartition OR c.relname = 'alembic_version')
"""
INDEXES = """
    SELECT indexname, regexp_replace(indexdef, ' ON (ONLY )?', ' ON ') FROM pg_indexes WHERE schemaname = %s
"""
CHECKS = """
    SELECT c.conrelid::regclass || '.' || c.conname, pg_get_constraintdef(c.oid)
    FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE n.nspname = %s AND c.contype IN ('c', 'p')
"""


def metadata_of(schema: str) -> MetaData:
    found: MetaData = importlib.import_module(STATED[schema]).metadata
    return found


def engine_of(uri: str):
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(uri), poolclass=NullPool)


@pytest.fixture
def stated(make_database) -> str:
    """A database in which the tables were made from their statement alone."""
    uri = make_database()
    with psycopg.connect(uri, autocommit=True) as connection:
        for schema in STATED:
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            connection.execute(f"CREATE SCHEMA {schema}")
    for schema in STATED:
        metadata_of(schema).create_all(engine_of(uri))
    return uri


def differences(uri: str, schema: str) -> list[object]:
    """What Alembic would have to change in a database to make it as the tables are stated."""
    with psycopg.connect(uri) as connection:
        left_out = {name for (name,) in connection.execute(PARTITIONED, (schema,)).fetchall()}

    def is_ours(item: object, name: str | None, kind: str, reflected: bool, other: object) -> bool:
        table = getattr(item, "table", None)
        owner = name if table is None else table.name
        return owner not in left_out

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


def written_out(uri: str, schema: str) -> dict[str, str]:
    """Indexes, CHECKs and primary keys as the server writes them."""
    with psycopg.connect(uri) as connection:
        left_out = {name for (name,) in connection.execute(PARTITIONED, (schema,)).fetchall()}
        rows = [*connection.execute(INDEXES, (schema,)).fetchall(), *connection.execute(CHECKS, (schema,)).fetchall()]
    return {name: text for name, text in rows if not any(name.find(each) >= 0 for each in left_out)}


@pytest.mark.parametrize("schema", sorted(STATED))
def test_the_migrations_lead_to_the_stated_tables(schema, database):
    assert differences(database, schema) == []


@pytest.mark.parametrize("schema", sorted(STATED))
def test_checks_keys_and_partial_indexes_are_those_that_are_stated(schema, database, stated):
    assert written_out(database, schema) == written_out(stated, schema)


DRIFTS = {
    "a column more": "ALTER TABLE health.devices ADD COLUMN colour text",
    "another type": "ALTER TABLE health.devices ALTER COLUMN boot TYPE bigint",
    "nullable": "ALTER TABLE health.devices ALTER COLUMN hardware_type DROP NOT NULL",
    "no index": "DROP INDEX health.devices_state",
    "another default": "ALTER TABLE health.devices ALTER COLUMN online SET DEFAULT true",
    "another CHECK": "ALTER TABLE health.devices DROP CONSTRAINT devices_state_check",
    "another WHERE": "DROP INDEX health.devices_online; CREATE INDEX devices_online ON health.devices (last_seen_at)",
}


@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS.keys())
def test_a_drift_is_found(drift, stated):
    before = written_out(stated, "health")
    with psycopg.connect(stated, autocommit=True) as connection:
        connection.execute(drift)
    assert differences(stated, "health") != [] or written_out(stated, "health") != before
