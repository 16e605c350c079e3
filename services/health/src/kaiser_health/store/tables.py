"""The tables of the schema `health`, stated once; `tests/test_tables.py` compares the migrations with them.

`heartbeats` is a hypertable with chunks of one day where TimescaleDB is installed, else it is partitioned by day.
"""

from datetime import timedelta

from kaiser_common.runtime.columns import NO, NO_ITEMS, NO_TEXT, NOW, TIME
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
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

metadata = MetaData(schema="health")


devices = Table(
    "devices",
    metadata,
    Column("esp_id", Text, primary_key=True),
    Column("kaiser_id", Text, nullable=False),
    Column("name", Text),
    Column("hardware_type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("online", Boolean, nullable=False, server_default=NO),
    Column("zone_id", Text),
    Column("firmware_version", Text),
    Column("ip", Text),
    Column("metadata", JSONB, nullable=False, server_default=NO_ITEMS),
    Column("uptime_s", BigInteger),
    Column("heap_free", BigInteger),
    Column("wifi_rssi", Integer),
    Column("sensor_count", Integer),
    Column("actuator_count", Integer),
    Column("last_seen_at", TIME),
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("approved_at", TIME),
    Column("heartbeat_timeout_s", Integer),
    Column("will_at", TIME),
    Column("kaiser_id_fixed", Boolean, nullable=False, server_default=NO),
    Column("generation", Text, nullable=False, server_default=text("'A'")),
    Column("boot", Integer, nullable=False, server_default=text("0")),
    Column("boot_sequence_id", Text),
    Column("beat_at", TIME),
    Column("emergency_token", Text),
    Column("details", JSONB, nullable=False, server_default=NO_ITEMS),
    Column("away_at", TIME),
    CheckConstraint("state IN ('pending', 'approved', 'rejected')", name="devices_state_check"),
    CheckConstraint("heartbeat_timeout_s > 0", name="devices_heartbeat_timeout_s_check"),
    CheckConstraint("generation IN ('A', 'B')", name="devices_generation_check"),
    postgresql_with={"fillfactor": 50},
)
Index("devices_state", devices.c.state, devices.c.esp_id)
Index("devices_zone", devices.c.zone_id, devices.c.esp_id, postgresql_where=devices.c.zone_id.is_not(None))
Index("devices_online", devices.c.last_seen_at, postgresql_where=devices.c.online)

zones = Table(
    "zones",
    metadata,
    Column("zone_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("position", Integer, nullable=False, server_default=text("0")),
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
)

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("time", TIME, nullable=False),
    Column("esp_id", Text, nullable=False),
    Column("uptime_s", BigInteger),
    Column("heap_free", BigInteger),
    Column("wifi_rssi", Integer),
    Column("sensor_count", Integer),
    Column("actuator_count", Integer),
    PrimaryKeyConstraint("esp_id", "time"),
    postgresql_partition_by="RANGE (time)",
    info={"chunk": timedelta(days=1)},
)

pushes = Table(
    "pushes",
    metadata,
    Column("push_id", Text, primary_key=True),
    Column("esp_id", Text, nullable=False),
    Column("kaiser_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_try_at", TIME, nullable=False),
    Column("message", Text),
    Column("failures", JSONB, nullable=False, server_default=text("'[]'")),
    Column("created_at", TIME, nullable=False),
    Column("ended_at", TIME),
    Column("answers", JSONB, nullable=False, server_default=NO_ITEMS),
    CheckConstraint("kind IN ('config', 'zone', 'subzone', 'command')", name="pushes_kind_check"),
    CheckConstraint("state IN ('pending', 'applied', 'partial', 'failed', 'timeout')", name="pushes_state_check"),
)
Index("pushes_pending", pushes.c.next_try_at, postgresql_where=pushes.c.state == text("'pending'"))
Index("pushes_of_device", pushes.c.esp_id, pushes.c.kind, pushes.c.created_at.desc())

device_errors = Table(
    "device_errors",
    metadata,
    Column("esp_id", Text, primary_key=True),
    Column("ts", TIME, primary_key=True),
    Column("error_code", Integer, primary_key=True, autoincrement=False),
    Column("severity", Text, nullable=False),
    Column("category", Text),
    Column("message", Text, nullable=False),
    Column("text_digest", Text, primary_key=True, server_default=text("''")),
)

owed_events = Table(
    "owed_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", TIME, nullable=False, server_default=NOW),
    Column("actor", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("before", JSONB),
    Column("after", JSONB),
    Column("key", Text),
    Column("service", Text, nullable=False, server_default=text("'health'")),
    Column("address", Text, nullable=False, server_default=NO_TEXT),
    Column("outcome", Text, nullable=False, server_default=text("'done'")),
    Column("detail", Text, nullable=False, server_default=NO_TEXT),
)
Index("audit_log_key", audit_log.c.key, unique=True)
Index("audit_log_target", audit_log.c.target, audit_log.c.id)
Index("audit_log_at", audit_log.c.at)
