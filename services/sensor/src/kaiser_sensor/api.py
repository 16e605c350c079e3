"""What the sensor service answers to the gateway."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Any

from kaiser_common.database import DatabasePool
from kaiser_common.errors import Code
from kaiser_common.rpc import Caller, Method, RpcError
from kaiser_common.schemas.api.sensors import LatestQuery, ReadingItem, ReadingsPage, ReadingsQuery

from kaiser_sensor import store
from kaiser_sensor.rows import COLUMNS, Row

Key = tuple[datetime, int, str]


class SensorApi:
    """The handlers; each reads in a transaction of its own."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool

    def methods(self) -> dict[str, Method[Any, Any]]:
        """By the name of the method."""
        return {"latest": Method(LatestQuery, self.latest), "data": Method(ReadingsQuery, self.data)}

    async def latest(self, query: LatestQuery, caller: Caller) -> ReadingsPage:
        """The newest reading of each sensor."""
        async with self._pool.connection() as connection:
            rows = await store.latest(connection, query.esp_id)
        return ReadingsPage(items=[to_item(row) for row in rows])

    async def data(self, query: ReadingsQuery, caller: Caller) -> ReadingsPage:
        """A page of readings."""
        now = datetime.now(UTC)
        to_at = _at(query.to_ms) or now + timedelta(days=1)
        from_at = _at(query.from_ms) or min(now, to_at) - timedelta(days=1)
        if from_at >= to_at:
            raise RpcError(422, Code.VALUE_OUT_OF_RANGE, "from must be before to", "from")
        async with self._pool.connection() as connection:
            rows = await store.readings(
                connection,
                query.esp_id,
                gpio=query.gpio,
                sensor_type=query.sensor_type,
                from_at=from_at,
                to_at=to_at,
                after=parse_cursor(query.cursor) if query.cursor else None,
                limit=query.limit,
            )
        more = len(rows) == query.limit
        return ReadingsPage(items=[to_item(row) for row in rows], next_cursor=to_cursor(rows[-1]) if more else None)


def to_item(row: Row) -> ReadingItem:
    """A row as the API gives it."""
    fields = dict(zip(COLUMNS, row, strict=True))
    return ReadingItem(ts=round(row[0].timestamp() * 1000), **fields)


def to_cursor(row: Row) -> str:
    """An opaque mark after this row."""
    return base64.urlsafe_b64encode(f"{row[0].timestamp():.6f} {row[2]} {row[3]}".encode()).decode()


def parse_cursor(cursor: str) -> Key:
    """What `to_cursor` made. RpcError 422 for anything else."""
    try:
        seconds, gpio, sensor_type = base64.urlsafe_b64decode(cursor).decode().split(" ", 2)
        return datetime.fromtimestamp(float(seconds), UTC), int(gpio), sensor_type
    except (ValueError, binascii.Error, OverflowError, OSError) as error:
        raise RpcError(422, Code.FIELD_TYPE_MISMATCH, "cursor is none that was given out", "cursor") from error


def _at(ms: int | None) -> datetime | None:
    try:
        return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, f"no time: {ms}", "from") from error
