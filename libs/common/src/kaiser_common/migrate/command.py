"""The migrate step: every installed service's tables, then the streams, consumers and buckets of the bus.

Run before the services (`kaiser-migrate`); idempotent, safe to run twice at the same time (an advisory lock), and
compatible with the previous version of the services. Killed half-way: run it again.
"""

import argparse
import asyncio
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import psycopg
import structlog
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg import sql

from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.declare import apply
from kaiser_common.contract.errors import line_of
from kaiser_common.runtime.database import connection_options, connection_uri
from kaiser_common.runtime.logs import set_up_logging
from kaiser_common.runtime.settings import CommonSettings, SettingsError, load

log = structlog.get_logger()

LOCK = 0x6B616973  # "kais"
"""The advisory lock that a migrating process holds."""
_WAIT_S = 60.0


class MigrationFailed(Exception):
    """The text says in one line what could not be done."""


def main() -> None:
    """Entry point of `kaiser-migrate`."""
    parser = argparse.ArgumentParser(prog="kaiser-migrate", description=__doc__)
    parser.add_argument("--only", choices=["database", "bus"], help="do one half only")
    only = parser.parse_args().only
    try:
        settings = load(CommonSettings)
        set_up_logging("migrate", settings.log_level, settings.log_format)
        if only != "bus":
            migrate_database(settings)
        if only != "database":
            asyncio.run(_declare_bus(settings))
    except (SettingsError, MigrationFailed) as error:
        print(f"kaiser-migrate: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2 if isinstance(error, SettingsError) else 1)


def migrate_database(settings: CommonSettings) -> None:
    """Bring each service's schema to its newest version, waiting up to a minute for the server."""
    schemas = {entry.name: entry.value for entry in entry_points(group="kaiser.migrations")}
    with _connect(settings) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        _create_timescaledb(connection)
        owners = {schema: _owner(connection, schema) for schema in sorted(schemas)}
        for schema, owner in owners.items():
            connection.execute(
                sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(
                    sql.Identifier(schema), sql.Identifier(owner) if owner else sql.SQL("CURRENT_USER")
                )
            )
    for schema, owner in owners.items():  # each takes the lock again, on the one connection that is open then
        command.upgrade(_alembic_config(settings, schema, schemas[schema], owner), "head")
        log.info("schema_migrated", schema=schema, owner=owner)


def _owner(connection: psycopg.Connection[tuple[object, ...]], schema: str) -> str | None:
    """The role `kaiser_<schema>` where there is one that we may take (deploy/timescale/roles.sql); None: ourselves."""
    role = f"kaiser_{schema}"
    found = connection.execute(
        "SELECT 1 FROM pg_roles WHERE rolname = %s AND pg_has_role(rolname, 'MEMBER')", (role,)
    ).fetchone()
    return role if found else None


def newest_revisions() -> dict[str, str]:
    """The revision that each installed service's migrations lead to, by schema."""
    found = {}
    for entry in entry_points(group="kaiser.migrations"):
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "alembic"))
        config.set_main_option("version_locations", f"{entry.value}:versions")
        config.set_main_option("path_separator", "newline")
        found[entry.name] = ScriptDirectory.from_config(config).get_current_head() or ""
    return found


def _connect(settings: CommonSettings) -> psycopg.Connection[tuple[object, ...]]:
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            return psycopg.connect(connection_uri(settings), **connection_options(settings, "migrate"))
        except psycopg.OperationalError as error:
            reason = line_of(error)
            if time.monotonic() > deadline:
                raise MigrationFailed(f"the database does not answer: {reason}; set KAISER_DATABASE_URL") from error
            log.warning("database_unreachable", error=reason)
            time.sleep(1.0)


def _create_timescaledb(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Create the extension where the server has it; without the right to, an administrator has done it or not."""
    there = connection.execute(
        "SELECT installed_version FROM pg_available_extensions WHERE name = 'timescaledb'"
    ).fetchone()
    if there is None or there[0] is not None:
        return
    try:
        with connection.transaction():
            connection.execute("CREATE EXTENSION timescaledb")
        log.info("timescaledb_created")
    except psycopg.Error as error:
        log.warning("timescaledb_not_created", error=line_of(error))


def _alembic_config(settings: CommonSettings, schema: str, package: str, owner: str | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "alembic"))
    config.set_main_option("version_locations", f"{package}:versions")
    config.set_main_option("path_separator", "newline")
    config.attributes["uri"] = connection_uri(settings)
    config.attributes["options"] = connection_options(settings, "migrate")
    config.attributes["schema"] = schema
    config.attributes["owner"] = owner
    config.attributes["lock"] = LOCK
    return config


async def _declare_bus(settings: CommonSettings) -> None:
    try:
        async with asyncio.timeout(_WAIT_S), connect(settings, "migrate") as bus:
            await _apply_when_ready(bus, settings.nats_replicas)
    except TimeoutError as error:
        raise MigrationFailed(
            f"NATS at {settings.nats_address} does not answer within {_WAIT_S:g} s; set KAISER_NATS_URL"
        ) from error


async def _apply_when_ready(bus: Bus, replicas: int) -> None:
    changes = await apply(bus, replicas)
    log.info("bus_declared", changed=changes)
