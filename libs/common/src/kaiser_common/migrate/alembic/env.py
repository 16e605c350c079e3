"""Alembic's environment for one service's schema; command.py passes connection parameters, schema, owner and lock."""

import psycopg
from alembic import context
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

attributes = context.config.attributes
schema: str = attributes["schema"]


def _connect() -> psycopg.Connection:
    connection = psycopg.connect(attributes["uri"], **attributes["options"])
    if attributes["owner"] is not None:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(attributes["owner"])))
        connection.commit()  # else a rollback would take it back
    connection.execute("SELECT pg_advisory_lock(%s)", (attributes["lock"],))  # until the connection is closed
    connection.commit()
    return connection


engine = create_engine("postgresql+psycopg://", creator=_connect, poolclass=NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, version_table_schema=schema, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
