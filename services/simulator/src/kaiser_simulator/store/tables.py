"""The schema `simulator`, as the migrations lead to it: its one statement; `tests/test_tables.py` compares them."""

from sqlalchemy import Boolean, Column, DateTime, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(schema="simulator")

_TIME = DateTime(timezone=True)
_NO = text("false")
_NOW = text("now()")

mocks = Table(
    "mocks",
    metadata,
    Column("esp_id", Text, primary_key=True),
    Column("setup", JSONB, nullable=False),
    Column("life", JSONB, nullable=False),
    Column("deleted", Boolean, nullable=False, server_default=_NO),
    Column("created_at", _TIME, nullable=False, server_default=_NOW),
    Column("updated_at", _TIME, nullable=False, server_default=_NOW),
    postgresql_with={"fillfactor": 50},
)
