"""The tables of the schema `sensor`, stated once; `tests/test_tables.py` compares the migrations with them.

Tables with a `chunk` are hypertables with chunks of that length where TimescaleDB is installed; otherwise they are
partitioned by day or month and have their own index on time. With TimescaleDB's community licence the rollups are views
of continuous aggregates. If the previous version created the tables, they also have its old key until `old_keys.drop`
removes it.
"""

from datetime import timedelta
from typing import Any

from kaiser_common.runtime.columns import NO_TEXT, NOW, TIME
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    Identity,
    Index,
    MetaData,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(schema="sensor")

_ON_TIME: dict[str, Any] = {
    "postgresql_using": "brin",
    "postgresql_with": {"autosummarize": "on"},
    "info": {"only_partitioned": True},
}
"""A hypertable has an index on time already."""

data = Table(
    "data",
    metadata,
    Column("time", TIME, nullable=False),
    Column("esp_id", Text, nullable=False),
    Column("gpio", SmallInteger, nullable=False),
    Column("sensor_type", Text, nullable=False),
    Column("raw", Double),
    Column("raw_value", Double),
    Column("value", Double),
    Column("unit", Text),
    Column("quality", Text, nullable=False),
    Column("processing_mode", Text, nullable=False),
    Column("data_source", Text, nullable=False),
    Column("clock", Text, nullable=False),
    Column("address", Text, nullable=False, server_default=NO_TEXT),
    postgresql_partition_by="RANGE (time)",
    info={"chunk": timedelta(days=1)},
)
Index("data_time", data.c.time, **_ON_TIME)
Index("data_key", data.c.esp_id, data.c.gpio, data.c.sensor_type, data.c.address, data.c.time, unique=True)

latest = Table(
    "latest",
    metadata,
    Column("time", TIME, nullable=False),
    Column("esp_id", Text, nullable=False),
    Column("gpio", SmallInteger, nullable=False),
    Column("sensor_type", Text, nullable=False),
    Column("raw", Double),
    Column("raw_value", Double),
    Column("value", Double),
    Column("unit", Text),
    Column("quality", Text, nullable=False),
    Column("processing_mode", Text, nullable=False),
    Column("data_source", Text, nullable=False),
    Column("clock", Text, nullable=False),
    Column("address", Text, nullable=False, server_default=NO_TEXT),
    Column("received_at", TIME),
    Column("device_ts", BigInteger),
    postgresql_with={"fillfactor": 50},
)
Index("latest_key", latest.c.esp_id, latest.c.gpio, latest.c.sensor_type, latest.c.address, unique=True)

configs = Table(
    "configs",
    metadata,
    Column("esp_id", Text, nullable=False),
    Column("gpio", SmallInteger, nullable=False),
    Column("sensor_type", Text, nullable=False),
    Column("config", JSONB, nullable=False),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
    Column("address", Text, nullable=False, server_default=NO_TEXT),
)
Index("configs_key", configs.c.esp_id, configs.c.gpio, configs.c.sensor_type, configs.c.address, unique=True)

rollup_pending = Table(
    "rollup_pending",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("rollup", Text, nullable=False),
    Column("esp_id", Text),
    Column("from_at", TIME, nullable=False),
    Column("to_at", TIME, nullable=False),
)
Index("rollup_pending_due", rollup_pending.c.rollup, rollup_pending.c.from_at, rollup_pending.c.id)

rollup_state = Table(
    "rollup_state",
    metadata,
    Column("rollup", Text, primary_key=True),
    Column("complete_to", TIME, nullable=False),
)

policies = Table(
    "policies",
    metadata,
    Column("name", Text, primary_key=True),
    Column("applied", Text, nullable=False),
)

day_checks = Table(
    "day_checks",
    metadata,
    Column("day", Date, primary_key=True),
    Column("checked_at", TIME, nullable=False),
    Column("raw", BigInteger, nullable=False),
    Column("minutes", BigInteger, nullable=False),
    Column("hours", BigInteger, nullable=False),
    Column("sensors", BigInteger, nullable=False),
    Column("complete", BigInteger, nullable=False),
    Column("silent", BigInteger, nullable=False),
)

rollup_1m = Table(
    "rollup_1m",
    metadata,
    Column("time", TIME, nullable=False),
    Column("esp_id", Text, nullable=False),
    Column("gpio", SmallInteger, nullable=False),
    Column("sensor_type", Text, nullable=False),
    Column("min", Double),
    Column("max", Double),
    Column("avg", Double),
    Column("last", Double),
    Column("count", BigInteger, nullable=False),
    Column("address", Text, nullable=False, server_default=NO_TEXT),
    postgresql_partition_by="RANGE (time)",
    info={"chunk": timedelta(days=7)},
)
Index("rollup_1m_time", rollup_1m.c.time, **_ON_TIME)
Index(
    "rollup_1m_key",
    rollup_1m.c.esp_id,
    rollup_1m.c.gpio,
    rollup_1m.c.sensor_type,
    rollup_1m.c.address,
    rollup_1m.c.time,
    unique=True,
)

rollup_1h = Table(
    "rollup_1h",
    metadata,
    Column("time", TIME, nullable=False),
    Column("esp_id", Text, nullable=False),
    Column("gpio", SmallInteger, nullable=False),
    Column("sensor_type", Text, nullable=False),
    Column("min", Double),
    Column("max", Double),
    Column("avg", Double),
    Column("last", Double),
    Column("count", BigInteger, nullable=False),
    Column("address", Text, nullable=False, server_default=NO_TEXT),
    postgresql_partition_by="RANGE (time)",
    info={"chunk": timedelta(days=30)},
)
Index("rollup_1h_time", rollup_1h.c.time, **_ON_TIME)
Index(
    "rollup_1h_key",
    rollup_1h.c.esp_id,
    rollup_1h.c.gpio,
    rollup_1h.c.sensor_type,
    rollup_1h.c.address,
    rollup_1h.c.time,
    unique=True,
)

measurements = Table(
    "measurements",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("esp_id", Text, nullable=False),
    Column("gpio", SmallInteger, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", TIME, nullable=False),
    Column("answered_at", TIME),
    Column("success", Boolean),
    Column("message", Text),
    Column("address", Text, nullable=False, server_default=NO_TEXT),
)
Index("measurements_requested", measurements.c.requested_at)

stale = Table(
    "stale",
    metadata,
    Column("esp_id", Text, nullable=False),
    Column("gpio", SmallInteger, nullable=False),
    Column("sensor_type", Text, nullable=False),
    Column("time", TIME, nullable=False),
    Column("address", Text, nullable=False, server_default=NO_TEXT),
)
Index("stale_key", stale.c.esp_id, stale.c.gpio, stale.c.sensor_type, stale.c.address, unique=True)

intervals = Table(
    "intervals",
    metadata,
    Column("esp_id", Text, primary_key=True),
    Column("gpio", SmallInteger, primary_key=True, autoincrement=False),
    Column("sensor_type", Text, primary_key=True),
    Column("address", Text, primary_key=True, server_default=NO_TEXT),
    Column("interval_s", Double),
    Column("learned_at", TIME, nullable=False),
)
