"""The SQL of samples: availabilities that changed, and how AGVs go on. The same sample twice changes nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from kaiser_common.contract.schemas.factory import FactoryModule
from kaiser_common.runtime.statements import execute_many
from psycopg import AsyncConnection
from sqlalchemy import bindparam
from sqlalchemy.dialects.postgresql import insert

from kaiser_factory.store.tables import samples, transitions

Connection = AsyncConnection[Any]

_OF_AGV = ("battery_percent", "battery_voltage", "charging", "driving", "node")


async def add_availabilities(connection: Connection, env: str, at: datetime, rows: Sequence[FactoryModule]) -> None:
    """Store what the availability of machines is from now on."""
    changed = insert(transitions).values(
        time=at, env=env, serial=bindparam("serial"), what="availability", value=bindparam("value")
    )
    values = [{"serial": row.serial, "value": row.availability} for row in rows]
    await execute_many(connection, changed.on_conflict_do_nothing(), values)


async def add_agvs(connection: Connection, env: str, at: datetime, rows: Sequence[FactoryModule]) -> None:
    """Store a sample of each of these AGVs."""
    sampled = insert(samples).values(
        {"time": at, "env": env, "serial": bindparam("serial"), **{name: bindparam(name) for name in _OF_AGV}}
    )
    values = [{"serial": row.serial, **{name: getattr(row, name) for name in _OF_AGV}} for row in rows]
    await execute_many(connection, sampled.on_conflict_do_nothing(), values)
