"""The tables of the schema `alarm`, stated once; `tests/test_tables.py` compares the migrations with them."""

from kaiser_common.runtime.columns import TIME
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
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(schema="alarm")


alarms = Table(
    "alarms",
    metadata,
    Column("alarm_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("esp_id", Text),
    Column("gpio", Integer),
    Column("sensor_type", Text),
    Column("address", Text),
    Column("times", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("raised_at", TIME, nullable=False),
    Column("last_raised_at", TIME, nullable=False),
    Column("acknowledged_at", TIME),
    Column("acknowledged_by", Text),
    Column("cleared_at", TIME),
    Column("closed_at", TIME),
    Column("shelved_until", TIME),
    Column("shelved_by", Text),
    Column("facts", JSONB, nullable=False, server_default=text("'{}'")),
    CheckConstraint("severity IN ('critical', 'warning', 'info')", name="alarms_severity_check"),
    CheckConstraint("state IN ('raised', 'acknowledged', 'cleared', 'closed')", name="alarms_state_check"),
)
Index("alarms_open", alarms.c.kind, alarms.c.source, unique=True, postgresql_where=alarms.c.state != text("'closed'"))
Index("alarms_by_time", alarms.c.raised_at, alarms.c.alarm_id)
Index("alarms_of_device", alarms.c.esp_id, alarms.c.raised_at, postgresql_where=alarms.c.esp_id.is_not(None))
_UNTIL = func.coalesce(alarms.c.cleared_at, text("'infinity'::timestamptz"))
Index("alarms_until", _UNTIL)
Index("alarms_of_device_until", alarms.c.esp_id, _UNTIL, postgresql_where=alarms.c.esp_id.is_not(None))
Index("alarms_closed", alarms.c.closed_at, postgresql_where=alarms.c.closed_at.is_not(None))

steps = Table(
    "steps",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("alarm_id", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("what", Text, nullable=False),
    Column("at", TIME, nullable=False),
    Column("by", Text),
    Column("note", Text),
    Column("alarm", JSONB, nullable=False),
    Column("is_published", Boolean, nullable=False, server_default=text("false")),
    UniqueConstraint("alarm_id", "step", name="steps_alarm_id_step_key"),
)
Index("steps_unpublished", steps.c.number, postgresql_where=~steps.c.is_published)
Index("steps_at", steps.c.at)

limits = Table(
    "limits",
    metadata,
    Column("esp_id", Text, nullable=False),
    Column("gpio", Integer, nullable=False),
    Column("sensor_type", Text, nullable=False),
    Column("address", Text, nullable=False, server_default=text("''")),
    Column("hi_hi", Double),
    Column("hi", Double),
    Column("lo", Double),
    Column("lo_lo", Double),
    Column("hysteresis", Double, nullable=False, server_default=text("0")),
    Column("delay_s", Integer, nullable=False, server_default=text("0")),
    Column("changed_at", TIME, nullable=False),
    Column("changed_by", Text, nullable=False),
    PrimaryKeyConstraint("esp_id", "gpio", "sensor_type", "address"),
)

position = Table(
    "position",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("created", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("owed", Text, nullable=False, server_default=text("''")),
)

channels = Table(
    "channels",
    metadata,
    Column("channel_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("changed_at", TIME, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("last_sent_at", TIME),
    Column("last_failed_at", TIME),
    Column("last_error", Text),
)

routes = Table(
    "routes",
    metadata,
    Column("route_id", Text, primary_key=True),
    Column("route", JSONB, nullable=False),
    Column("changed_at", TIME, nullable=False),
    Column("changed_by", Text, nullable=False),
)

notifications = Table(
    "notifications",
    metadata,
    Column("key", Text, primary_key=True),
    Column("alarm_id", Text, nullable=False),
    Column("channel_id", Text, nullable=False),
    Column("bundle", Text, nullable=False),
    Column("is_summary", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("next_try_at", TIME, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("ended_at", TIME),
    Column("error", Text),
    CheckConstraint("state IN ('waiting', 'sent', 'failed', 'dropped')", name="notifications_state_check"),
)
Index(
    "notifications_waiting",
    notifications.c.next_try_at,
    postgresql_where=notifications.c.state == text("'waiting'"),
)
Index("notifications_of_alarm", notifications.c.alarm_id, notifications.c.created_at)
Index("notifications_at", notifications.c.created_at)
