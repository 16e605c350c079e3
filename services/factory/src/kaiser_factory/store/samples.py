"""The SQL of samples: availabilities that changed, and positions of AGVs. Adding a sample twice changes nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from kaiser_common.runtime.statements import execute_many
from kaiser_factory_dialect.view import MachineRow
from sqlalchemy import bindparam
from sqlalchemy.dialects.postgresql import insert

from kaiser_factory.store import Connection
from kaiser_factory.store.tables import samples, transitions

_OF_AGV = ("battery_percent", "battery_voltage", "charging", "driving", "node")


class AgvSample(NamedTuple):
    """How an AGV is now. waiting: for its load."""

    row: MachineRow
    waiting: bool | None = None


async def add_availabilities(connection: Connection, env: str, at: datetime, rows: Sequence[MachineRow]) -> None:
    """Store what the availability of machines is from now on."""
    changed = insert(transitions).values(
        time=at, env=env, serial=bindparam("serial"), what="availability", value=bindparam("value")
    )
    values = [{"serial": row.serial, "value": row.availability} for row in rows]
    await execute_many(connection, changed.on_conflict_do_nothing(), values)


async def add_agvs(connection: Connection, env: str, at: datetime, sampled: Sequence[AgvSample]) -> None:
    """Store a sample of each of these AGVs."""
    names = ("serial", *_OF_AGV, "waiting")
    statement = insert(samples).values({"time": at, "env": env, **{name: bindparam(name) for name in names}})
    values = [
        {"serial": row.serial, "waiting": waiting, **{name: getattr(row, name) for name in _OF_AGV}}
        for row, waiting in sampled
    ]
    await execute_many(connection, statement.on_conflict_do_nothing(), values)
