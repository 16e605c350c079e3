"""The tables of the schema `recorder`, stated once; `tests/test_tables.py` compares the migrations with them."""

from kaiser_common.runtime.columns import NO, TIME, ZERO
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(schema="recorder")

recordings = Table(
    "recordings",
    metadata,
    Column("recording_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("env", Text),
    Column("filters", ARRAY(Text), nullable=False),
    Column("dialects", ARRAY(Text), nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("ended_at", TIME),
    Column("from_at", TIME),
    Column("next_sequence", BigInteger),
    Column("first_us", BigInteger),
    Column("last_us", BigInteger),
    Column("messages", BigInteger, nullable=False, server_default=ZERO),
    Column("bytes", BigInteger, nullable=False, server_default=ZERO),
    Column("missing", BigInteger, nullable=False, server_default=ZERO),
    Column("naive", Boolean, nullable=False, server_default=NO),
    Column("bad_lines", BigInteger, nullable=False, server_default=ZERO),
    Column("skipped", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("meta", Text),
    CheckConstraint("source IN ('live', 'import')", name="recordings_source_check"),
    CheckConstraint("state IN ('recording', 'importing', 'ready', 'failed', 'deleted')", name="recordings_state_check"),
)
Index("recordings_by_time", recordings.c.created_at.desc(), recordings.c.recording_id)

messages = Table(
    "messages",
    metadata,
    Column("recording_id", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("topic", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("qos", SmallInteger, nullable=False),
    Column("retained", Boolean, nullable=False),
    PrimaryKeyConstraint("recording_id", "number"),
)

replays = Table(
    "replays",
    metadata,
    Column("replay_id", Text, primary_key=True),
    Column("recording_id", Text, nullable=False),
    Column("env", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("ends_as", Text),
    Column("reason", Text),
    Column("speed", Double),
    Column("filters", ARRAY(Text)),
    Column("exclude", ARRAY(Text), nullable=False),
    Column("begin_number", BigInteger, nullable=False),
    Column("end_number", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("turn", BigInteger, nullable=False),
    Column("first_us", BigInteger, nullable=False),
    Column("last_us", BigInteger, nullable=False),
    Column("position_us", BigInteger, nullable=False),
    Column("repeats", Boolean, nullable=False),
    Column("shift", Text, nullable=False),
    Column("shift_ms", BigInteger, nullable=False),
    Column("armed", Boolean, nullable=False),
    Column("expected", JSONB),
    Column("sent", BigInteger, nullable=False, server_default=ZERO),
    Column("left_out", BigInteger, nullable=False, server_default=ZERO),
    Column("failed", BigInteger, nullable=False, server_default=ZERO),
    Column("refused", BigInteger, nullable=False, server_default=ZERO),
    Column("drift_ms", BigInteger, nullable=False, server_default=ZERO),
    Column("passed", Boolean),
    Column("differences", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("created_at", TIME, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("ended_at", TIME),
    CheckConstraint(
        "state IN ('running', 'paused', 'checking', 'done', 'stopped', 'failed')", name="replays_state_check"
    ),
    CheckConstraint("phase IN ('entering', 'snapshot', 'messages', 'checking', 'ending')", name="replays_phase_check"),
)
Index("replays_by_time", replays.c.created_at.desc(), replays.c.replay_id)
Index("replays_open", replays.c.env, unique=True, postgresql_where=replays.c.ended_at.is_(None))
