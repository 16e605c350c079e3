"""The schema `gateway`, as the migrations lead to it: its one statement. `tests/test_tables.py` holds them together."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    Sequence,
    Table,
    Text,
    text,
)

metadata = MetaData(schema="gateway")

_TIME = DateTime(timezone=True)
_NONE = text("''")
_NOW = text("now()")

generations = Sequence("generations", metadata=metadata)

users = Table(
    "users",
    metadata,
    Column("username", Text, primary_key=True),
    Column("password_hash", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
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
    Column("expires_at", _TIME, nullable=False),
)
Index("families_username", families.c.username, families.c.expires_at)

access_log = Table(
    "access_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", _TIME, nullable=False, server_default=_NOW),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default=_NONE),
)
Index("access_log_at", access_log.c.at)
