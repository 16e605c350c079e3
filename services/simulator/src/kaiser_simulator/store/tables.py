"""The tables of the schema `simulator`, stated once; `tests/test_tables.py` compares the migrations with them."""

from kaiser_common.runtime.columns import NO, NOW, TIME
from sqlalchemy import BigInteger, Boolean, Column, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(schema="simulator")


mocks = Table(
    "mocks",
    metadata,
    Column("esp_id", Text, primary_key=True),
    Column("setup", JSONB, nullable=False),
    Column("life", JSONB, nullable=False),
    Column("deleted", Boolean, nullable=False, server_default=NO),
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
    postgresql_with={"fillfactor": 50},
)

factories = Table(
    "factories",
    metadata,
    Column("env", Text, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("setup", JSONB, nullable=False),
    Column("plant", JSONB, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("said", Integer, nullable=False),
    Column("unsent", JSONB, nullable=False),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
    postgresql_with={"fillfactor": 50},
)
