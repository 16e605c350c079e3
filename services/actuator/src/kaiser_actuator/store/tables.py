"""The tables of the schema `actuator`, stated once; `tests/test_tables.py` compares the migrations with them.

`history` is a hypertable with chunks of one day where TimescaleDB is installed, else it is partitioned by day.
"""

from datetime import timedelta

from kaiser_common.runtime.columns import TIME, ZERO
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(schema="actuator")


actuators = Table(
    "actuators",
    metadata,
    Column("esp_id", Text, primary_key=True),
    Column("gpio", Integer, primary_key=True, autoincrement=False),
    Column("kaiser_id", Text, nullable=False),
    Column("registered", Boolean, nullable=False),
    Column("settings", JSONB, nullable=False),
    Column("state", Boolean),
    Column("value", Double),
    Column("reported_at", TIME),
    Column("last_error", Text),
    Column("guard_command_id", Text),
    Column("guard_since", TIME),
    Column("guard_due_at", TIME),
    Column("guard_tries", Integer, nullable=False, server_default=ZERO),
    Column("on_since", TIME),
    Column("last_state", Boolean),
    postgresql_with={"fillfactor": 50},
)
Index("actuators_guard", actuators.c.guard_due_at, postgresql_where=actuators.c.guard_due_at.is_not(None))

commands = Table(
    "commands",
    metadata,
    Column("command_id", Text, primary_key=True),
    Column("number", BigInteger, Identity(always=True), nullable=False),
    Column("esp_id", Text, nullable=False),
    Column("gpio", Integer, nullable=False),
    Column("kaiser_id", Text, nullable=False),
    Column("command", Text, nullable=False),
    Column("value", Double, nullable=False),
    Column("duration_s", Integer, nullable=False),
    Column("reason", Text),
    Column("issued_by", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("state", Text, nullable=False),
    Column("state_reason", Text),
    Column("message", Text),
    Column("queued_at", TIME, nullable=False),
    Column("dispatched_at", TIME),
    Column("sent_at", TIME),
    Column("ended_at", TIME),
    Column("expires_at", TIME, nullable=False),
    Column("deadline_at", TIME, nullable=False),
    Column("body_hash", Text),
    CheckConstraint(
        "state IN ('queued', 'sent', 'acknowledged', 'failed', 'expired', 'cancelled')", name="commands_state_check"
    ),
    postgresql_with={"fillfactor": 80},
)
Index(
    "commands_idempotency",
    commands.c.esp_id,
    commands.c.gpio,
    commands.c.idempotency_key,
    unique=True,
    postgresql_where=commands.c.idempotency_key.is_not(None),
)
Index("commands_actuator", commands.c.esp_id, commands.c.gpio, commands.c.queued_at)
Index(
    "commands_open",
    commands.c.esp_id,
    commands.c.gpio,
    commands.c.number,
    postgresql_where=text("state IN ('queued', 'sent')"),
)
Index("commands_deadline", commands.c.deadline_at, postgresql_where=text("state IN ('queued', 'sent')"))
Index("commands_ended", commands.c.ended_at, postgresql_where=commands.c.ended_at.is_not(None))

emergencies = Table(
    "emergencies",
    metadata,
    Column("emergency_id", Text, primary_key=True),
    Column("key", Text, nullable=False),
    Column("esp_id", Text),
    Column("gpio", Integer),
    Column("reason", Text, nullable=False),
    Column("raised_by", Text, nullable=False),
    Column("raised_at", TIME, nullable=False),
    Column("cleared_by", Text),
    Column("clear_reason", Text),
    Column("cleared_at", TIME),
    Column("number", BigInteger),
    Column("cleared_seq", BigInteger),
)
Index("emergencies_in_force", emergencies.c.key, postgresql_where=emergencies.c.cleared_at.is_(None))
Index("emergencies_cleared", emergencies.c.cleared_at, postgresql_where=emergencies.c.cleared_at.is_not(None))

history = Table(
    "history",
    metadata,
    Column("time", TIME, nullable=False),
    Column("esp_id", Text, nullable=False),
    Column("gpio", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("state", Boolean),
    Column("value", Double),
    Column("command", Text),
    Column("command_id", Text),
    Column("success", Boolean),
    Column("alert_type", Text),
    Column("message", Text),
    Column("actor", Text),
    PrimaryKeyConstraint("esp_id", "gpio", "time", "kind", "key"),
    postgresql_partition_by="RANGE (time)",
    info={"chunk": timedelta(days=1)},
)
