"""The SQL of mocks: the only writer of `simulator.mocks`."""

from collections.abc import Iterable
from typing import Any

from kaiser_common.runtime.statements import execute, execute_many, fetch_all
from psycopg.rows import scalar_row, tuple_row
from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from kaiser_simulator.domain.device import MockDevice
from kaiser_simulator.store import Connection
from kaiser_simulator.store.tables import mocks

_c = mocks.c
_ADD = insert(mocks).values(esp_id=bindparam("esp_id"), setup=bindparam("setup"), life=bindparam("life"))
_PUT = _ADD.on_conflict_do_update(
    index_elements=[_c.esp_id],
    set_={"setup": _ADD.excluded.setup, "life": _ADD.excluded.life, "deleted": False, "updated_at": func.now()},
)
_PUT_LIFE = (
    update(mocks).where(_c.esp_id == bindparam("of"), ~_c.deleted).values(life=bindparam("life"), updated_at=func.now())
)


async def save(connection: Connection, devices: Iterable[MockDevice]) -> None:
    """Write mocks as they are, new ones and known ones."""
    rows = [
        {"esp_id": device.esp_id, "setup": device.setup.model_dump_json(), "life": device.life.model_dump_json()}
        for device in devices
    ]
    await execute_many(connection, _PUT, rows)


async def save_life(connection: Connection, devices: Iterable[MockDevice]) -> None:
    """Write what known mocks went through."""
    rows = [{"of": device.esp_id, "life": device.life.model_dump_json()} for device in devices]
    await execute_many(connection, _PUT_LIFE, rows)


async def load(connection: Connection) -> list[tuple[str, Any, Any]]:
    """esp_id, setup and life of every mock that is not deleted."""
    statement = select(_c.esp_id, _c.setup, _c.life).where(~_c.deleted).order_by(_c.esp_id)
    return await fetch_all(connection, tuple_row, statement)


async def bury(connection: Connection, esp_id: str) -> None:
    """Delete a mock but for its tombstone."""
    statement = update(mocks).where(_c.esp_id == esp_id).values(deleted=True, updated_at=func.now())
    await execute(connection, statement)


async def buried(connection: Connection, limit: int) -> list[str]:
    """Deleted mocks that health may still know, oldest first."""
    statement = select(_c.esp_id).where(_c.deleted).order_by(_c.updated_at).limit(limit)
    return await fetch_all(connection, scalar_row, statement)


async def forget(connection: Connection, esp_id: str) -> None:
    """Remove a tombstone; a mock that was created again with the id stays."""
    await execute(connection, delete(mocks).where(_c.esp_id == esp_id, _c.deleted))
