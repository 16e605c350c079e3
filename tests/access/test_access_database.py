"""In the database each service owns its schema and sees no other's; Grafana reads what it may."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from kaiser_common.migrate.command import migrate_database
from kaiser_common.runtime.settings import CommonSettings
from roles import as_role, run_roles
from secured import DEPLOY, ROOT

SCHEMAS = ("sensor", "actuator", "health", "logic", "alarm", "simulator", "factory", "recorder", "gateway")
SHOWN = tuple(schema for schema in SCHEMAS if schema != "gateway")


@pytest.fixture(scope="module")
def url_of(tmp_path_factory, server_folder: Path, secrets_folder: Path) -> Iterator[Callable[[str], str]]:
    """`url_of(role)`: where the role finds a database that was set up as compose does it, twice."""
    from kaiser_stack.postgres import Postgres
    from kaiser_stack.private import PrivateServer

    home = server_folder / "roles"
    server = PrivateServer(Postgres(home, shared_buffers="64MB", durable=False), home / "log")
    server.start()
    try:
        url = server.server.url()
        for _ in range(2):
            run_roles(url, secrets_folder)
            migrate_database(CommonSettings(database_url=as_role(url, "kaiser_migrate")))
        yield lambda role: as_role(url, role)
    finally:
        server.kill()


def ask(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        cursor = connection.execute(statement)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []


def tables(url: str, schema: str) -> list[str]:
    found = ask(url, f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}' ORDER BY 1")
    return [name for (name,) in found]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_service_owns_all_of_its_schema(url_of, schema):
    superuser = url_of("postgres")
    assert ask(superuser, f"SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = '{schema}'") == [
        (f"kaiser_{schema}",)
    ]
    owners = ask(
        superuser,
        f"SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = '{schema}'::regnamespace",
    )
    assert owners == [(f"kaiser_{schema}",)]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_service_sees_no_other_services_tables(url_of, schema):
    for other in SCHEMAS:
        if other != schema:
            for table in tables(url_of("postgres"), other):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    ask(url_of(f"kaiser_{schema}"), f"SELECT FROM {other}.{table} LIMIT 1")


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_service_can_make_nothing_outside_of_its_schema_and_no_roles(url_of, schema):
    url = url_of(f"kaiser_{schema}")
    for statement in (
        "CREATE SCHEMA more",
        "CREATE TABLE public.more (x int)",
        "CREATE ROLE more",
        "CREATE DATABASE more",
        "SELECT pg_read_file('/etc/passwd')",
        "SET ROLE kaiser_migrate",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(url, statement)


def test_a_service_does_in_its_schema_what_upkeep_asks_for(url_of):
    url = url_of("kaiser_sensor")
    ask(
        url,
        "CREATE TABLE IF NOT EXISTS sensor.data_20300101 PARTITION OF sensor.data"
        " FOR VALUES FROM ('2030-01-01') TO ('2030-01-02')",
    )
    ask(url, "DROP TABLE sensor.data_20300101")
    ask(url, "CREATE TEMP TABLE staging (LIKE sensor.data)")


@pytest.mark.parametrize("schema", SHOWN)
def test_grafana_reads_what_services_measured_and_did_and_changes_nothing(url_of, schema):
    url = url_of("kaiser_grafana")
    for table in tables(url_of("postgres"), schema):
        ask(url, f"SELECT FROM {schema}.{table} LIMIT 1")
        with pytest.raises((psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.InsufficientPrivilege)):
            ask(url, f"DELETE FROM {schema}.{table}")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"DELETE FROM {schema}.{table}")  # type: ignore[call-overload]


def test_grafana_does_not_see_accounts(url_of):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(url_of("kaiser_grafana"), "SELECT * FROM gateway.users")


def test_the_migration_makes_the_schemas_and_reads_nothing_that_is_in_them(url_of):
    for schema in SCHEMAS:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(url_of("kaiser_migrate"), f"SELECT FROM {schema}.alembic_version")


def test_a_password_that_was_changed_holds_after_the_roles_were_made_again(url_of, secrets_folder):
    before = ask(url_of("postgres"), "SELECT rolpassword FROM pg_authid WHERE rolname = 'kaiser_sensor'")
    (secrets_folder / "database-sensor").write_text("another\n")
    run_roles(url_of("postgres"), secrets_folder)
    after = ask(url_of("postgres"), "SELECT rolpassword FROM pg_authid WHERE rolname = 'kaiser_sensor'")
    assert before != after
    assert all(text.startswith("SCRAM-SHA-256$") for ((text,),) in (before, after))


def test_no_role_is_above_the_others(url_of):
    above = "rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
    assert ask(url_of("postgres"), f"SELECT rolname FROM pg_roles WHERE rolname LIKE 'kaiser%' AND ({above})") == []


def test_each_service_with_tables_has_a_role():
    roles = (DEPLOY / "timescale/roles.sql").read_text()
    packages = {path.parent.name.removeprefix("kaiser_") for path in (ROOT / "services").glob("*/src/*/migrations")}
    assert packages == set(SCHEMAS)
    assert all(f"\\set name {name}\n" in roles for name in packages)
