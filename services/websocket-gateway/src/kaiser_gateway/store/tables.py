"""The tables of the schema `gateway`, stated once; `tests/test_tables.py` compares the migrations with them."""

from kaiser_common.runtime.columns import NO_TEXT, NOW, TIME
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(schema="gateway")


generations = Sequence("generations", metadata=metadata)

users = Table(
    "users",
    metadata,
    Column("username", Text, primary_key=True),
    Column("password_hash", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("generation", BigInteger, nullable=False, server_default=generations.next_value()),
    CheckConstraint("role IN ('viewer', 'operator', 'admin')", name="users_role_check"),
)

families = Table(
    "families",
    metadata,
    Column("family", Text, primary_key=True),
    Column("username", Text, ForeignKey("gateway.users.username", ondelete="CASCADE"), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("token_id", Text, nullable=False),
    Column("expires_at", TIME, nullable=False),
    Column("begun_at", TIME, nullable=False, server_default=NOW),
    Column("used_at", TIME, nullable=False, server_default=NOW),
    Column("address", Text, nullable=False, server_default=NO_TEXT),
    Column("agent", Text, nullable=False, server_default=NO_TEXT),
)
Index("families_username", families.c.username, families.c.expires_at)

ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("family", Text, primary_key=True),
    Column("ended_at", TIME, nullable=False, server_default=NOW),
)
Index("ended_sessions_at", ended_sessions.c.ended_at)

starts = Table(
    "starts",
    metadata,
    Column("service", Text, nullable=False),
    Column("replica", Text, nullable=False),
    Column("started_at", TIME, nullable=False),
    Column("version", Text, nullable=False),
    PrimaryKeyConstraint("started_at", "service", "replica"),
)

access_log = Table(
    "access_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", TIME, nullable=False, server_default=NOW),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default=NO_TEXT),
    Column("before", JSONB),
    Column("after", JSONB),
)
Index("access_log_at", access_log.c.at)
Index(
    "access_log_sign_ins",
    access_log.c.actor,
    access_log.c.id,
    postgresql_where=access_log.c.action == text("'sign_in'"),
)
