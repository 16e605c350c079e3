"""The tables of the schema `logic`, stated once; `tests/test_tables.py` compares the migrations with them."""

from kaiser_common.runtime.columns import TIME
from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(schema="logic")


rules = Table(
    "rules",
    metadata,
    Column("rule_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("devices", ARRAY(Text), nullable=False),
    Column("settings", JSONB, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False),
    Column("updated_by", Text, nullable=False),
)
Index("rules_name", rules.c.name, rules.c.rule_id)

executions = Table(
    "executions",
    metadata,
    Column("execution_id", Text, primary_key=True),
    Column("rule_id", Text, nullable=False),
    Column("rule_name", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("trigger", JSONB, nullable=False),
    Column("decisions", JSONB, nullable=False),
    Column("actions", JSONB, nullable=False),
    Column("started_at", TIME, nullable=False),
    Column("ended_at", TIME),
    Column("duration_ms", BigInteger),
)
Index("executions_time", executions.c.started_at.desc(), executions.c.execution_id.desc())
Index("executions_rule", executions.c.rule_id, executions.c.started_at.desc(), executions.c.execution_id.desc())
