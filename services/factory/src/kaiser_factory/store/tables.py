"""The tables of the schema `factory`, stated once; `tests/test_tables.py` compares the migrations with them.

`transitions` and `samples` are hypertables with chunks of seven days where TimescaleDB is installed, else they are
partitioned by month.
"""

from datetime import timedelta

from kaiser_common.runtime.columns import NO, NO_TEXT, TIME
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(schema="factory")


transitions = Table(
    "transitions",
    metadata,
    Column("time", TIME, nullable=False),
    Column("env", Text, nullable=False),
    Column("serial", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("action_id", Text, nullable=False, server_default=NO_TEXT),
    Column("command", Text),
    Column("result", Text),
    Column("length_mm", Double),
    PrimaryKeyConstraint("env", "serial", "what", "time", "value", "action_id"),
    CheckConstraint("what IN ('action', 'connection', 'availability', 'node')", name="transitions_what_check"),
    postgresql_partition_by="RANGE (time)",
    info={"chunk": timedelta(days=7)},
)

samples = Table(
    "samples",
    metadata,
    Column("time", TIME, nullable=False),
    Column("env", Text, nullable=False),
    Column("serial", Text, nullable=False),
    Column("battery_percent", Double),
    Column("battery_voltage", Double),
    Column("charging", Boolean),
    Column("driving", Boolean),
    Column("node", Text),
    Column("waiting", Boolean),
    PrimaryKeyConstraint("env", "serial", "time"),
    postgresql_partition_by="RANGE (time)",
    info={"chunk": timedelta(days=7)},
)

orders = Table(
    "orders",
    metadata,
    Column("env", Text, primary_key=True),
    Column("order_id", Text, primary_key=True),
    Column("type", Text),
    Column("order_type", Text),
    Column("state", Text, nullable=False),
    Column("workpiece_id", Text),
    Column("request_id", Text),
    Column("started_at", TIME),
    Column("stopped_at", TIME),
    Column("lead_ms", BigInteger),
    Column("first_seen_at", TIME, nullable=False),
    Column("changed_at", TIME, nullable=False),
    Column("skew_ms", BigInteger),
    Column("record", JSONB, nullable=False),
)
Index("orders_by_time", orders.c.env, orders.c.first_seen_at.desc(), orders.c.order_id)
Index("orders_by_change", orders.c.env, orders.c.changed_at)
Index("orders_of_workpiece", orders.c.env, orders.c.workpiece_id, postgresql_where=orders.c.workpiece_id.is_not(None))

steps = Table(
    "steps",
    metadata,
    Column("env", Text, primary_key=True),
    Column("action_id", Text, primary_key=True),
    Column("serial", Text, nullable=False),
    Column("agv", Boolean, nullable=False),
    Column("command", Text),
    Column("running_at", TIME),
    Column("finished_at", TIME),
    Column("result", Text),
    Column("changed_at", TIME, nullable=False),
)
Index("steps_by_time", steps.c.changed_at)

stock = Table(
    "stock",
    metadata,
    Column("env", Text, primary_key=True),
    Column("hbw", Text, primary_key=True),
    Column("location", Text, primary_key=True),
    Column("type", Text),
    Column("workpiece_id", Text),
    Column("state", Text),
    Column("changed_at", TIME, nullable=False),
)

stock_changes = Table(
    "stock_changes",
    metadata,
    Column("env", Text, primary_key=True),
    Column("hbw", Text, primary_key=True),
    Column("location", Text, primary_key=True),
    Column("time", TIME, primary_key=True),
    Column("type", Text),
    Column("workpiece_id", Text),
    Column("state", Text),
)
Index("stock_changes_of_workpiece", stock_changes.c.env, stock_changes.c.workpiece_id, stock_changes.c.time)

quality = Table(
    "quality",
    metadata,
    Column("quality_id", BigInteger, Identity(always=True), primary_key=True),
    Column("env", Text, nullable=False),
    Column("time", TIME, nullable=False),
    Column("txt", Text, nullable=False),
    Column("num", Integer),
    Column("result", Text, nullable=False),
    Column("classification", Text),
    Column("mime", Text, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("picture", LargeBinary),
    UniqueConstraint("env", "txt", "time", name="quality_env_txt_time_key"),
)
Index("quality_by_time", quality.c.env, quality.c.time)
Index("quality_with_picture", quality.c.env, quality.c.quality_id, postgresql_where=quality.c.picture.is_not(None))

order_ids = Table(
    "order_ids",
    metadata,
    Column("env", Text, primary_key=True),
    Column("order_id", Text, primary_key=True),
    Column("next", BigInteger, nullable=False),
)

header_ids = Table(
    "header_ids",
    metadata,
    Column("env", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("next", BigInteger, nullable=False),
)

begun = Table(
    "begun",
    metadata,
    Column("env", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
)

commands = Table(
    "commands",
    metadata,
    Column("command_id", Text, primary_key=True),
    Column("env", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("request_key", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("username", Text, nullable=False),
    Column("request", JSONB, nullable=False),
    Column("topic", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("free", Boolean, nullable=False, server_default=NO),
    Column("after_action_id", Text),
    Column("sequence_id", Text),
    Column("state", Text, nullable=False),
    Column("queued_at", TIME, nullable=False),
    Column("serial", Text),
    Column("entry", JSONB),
    Column("changed_at", TIME, nullable=False, server_default=text("now()")),
    UniqueConstraint("env", "request_key", "step", name="commands_env_request_key_step_key"),
)
Index("commands_by_time", commands.c.env, commands.c.queued_at.desc(), commands.c.command_id)
Index("commands_by_change", commands.c.changed_at)
Index(
    "commands_open",
    commands.c.env,
    postgresql_where=text("state IN ('waiting', 'queued', 'sent', 'unconfirmed', 'accepted')"),
)
