"""What the sensor service answers to the gateway."""

import asyncio
import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from kaiser_common.database import DatabasePool
from kaiser_common.errors import Code
from kaiser_common.rpc import Caller, Method, RpcError
from kaiser_common.schemas.api.sensors import (
    Bucket,
    BucketsPage,
    BucketsQuery,
    Completeness,
    CompletenessPage,
    CompletenessQuery,
    LatestQuery,
    ReadingsPage,
    ReadingsQuery,
)

from kaiser_sensor import rollup_store, store
from kaiser_sensor.completeness import day_span, expected_readings, share
from kaiser_sensor.rollups import Span, answers, widened
from kaiser_sensor.rows import COLUMNS, Row

Key = tuple[datetime, int, str]

_MOST_BUCKETS = 10_000
_LONG = 1000
_FIELDS = ("ts", *COLUMNS[1:])


class SensorApi:
    """The handlers; each reads in a transaction of its own.

    `oldest`: the time before which a rollup is final, where the service keeps the rollups; None: the database does.
    """

    def __init__(
        self, pool: DatabasePool, canonical: Callable[[str], str], oldest: Callable[[], datetime] | None
    ) -> None:
        self._pool = pool
        self._canonical = canonical
        self._oldest = oldest

    def methods(self) -> dict[str, Method[Any, Any]]:
        """By the name of the method."""
        return {
            "latest": Method(LatestQuery, self.latest),
            "data": Method(ReadingsQuery, self.data),
            "buckets": Method(BucketsQuery, self.buckets),
            "completeness": Method(CompletenessQuery, self.completeness),
        }

    async def latest(self, query: LatestQuery, caller: Caller) -> ReadingsPage:
        """The newest reading of each sensor."""
        async with self._pool.connection() as connection:
            rows = await store.latest(connection, query.esp_id)
        return await _page(rows)

    async def data(self, query: ReadingsQuery, caller: Caller) -> ReadingsPage:
        """A page of readings."""
        from_at, to_at = _span(query.from_ms, query.to_ms)
        async with self._pool.connection() as connection:
            rows = await store.readings(
                connection,
                query.esp_id,
                gpio=query.gpio,
                sensor_type=self._type(query.sensor_type),
                from_at=from_at,
                to_at=to_at,
                after=parse_cursor(query.cursor) if query.cursor else None,
                limit=query.limit,
            )
        return await _page(rows, to_cursor(rows[-1]) if len(rows) == query.limit else None)

    async def buckets(self, query: BucketsQuery, caller: Caller) -> BucketsPage:
        """One sensor's readings by bucket, from the coarsest rollup that can tell. 422 for more than 10,000 buckets."""
        from_at, to_at = _span(query.from_ms, query.to_ms)
        if (to_at - from_at).total_seconds() / query.bucket_s > _MOST_BUCKETS:
            raise RpcError(
                422, Code.VALUE_OUT_OF_RANGE, f"more than {_MOST_BUCKETS} buckets: take wider ones", "bucket"
            )
        key = (query.esp_id, query.gpio, self._type(query.sensor_type))
        rollup = answers(query.bucket_s)
        async with self._pool.connection() as connection:
            progress = None
            if rollup is not None and self._oldest is not None:
                asked = widened(Span(from_at, to_at), timedelta(seconds=query.bucket_s))
                progress = await rollup_store.progress(connection, rollup, query.esp_id, asked, self._oldest())
            rows = await store.buckets(connection, key, from_at, to_at, query.bucket_s, rollup, progress)
        return BucketsPage(
            items=[
                Bucket(ts=_ms(start), count=count, min=least, max=most, avg=mean, last=last)
                for start, count, least, most, mean, last in rows
            ]
        )

    async def completeness(self, query: CompletenessQuery, caller: Caller) -> CompletenessPage:
        """Of each configured sensor of a device the share of a day's expected readings that came."""
        now = datetime.now(UTC)
        day = query.day or now.date()
        async with self._pool.connection() as connection:
            counts = await store.received(connection, query.esp_id, *day_span(day))
        items = []
        for gpio, sensor_type, interval_s, received in counts:
            expected = expected_readings(day, timedelta(seconds=interval_s), now)
            items.append(
                Completeness(
                    esp_id=query.esp_id,
                    gpio=gpio,
                    sensor_type=sensor_type,
                    day=day,
                    expected=expected,
                    received=received,
                    share=share(received, expected),
                )
            )
        return CompletenessPage(items=items)

    def _type(self, sensor_type: str | None) -> str | None:
        return None if sensor_type is None else self._canonical(sensor_type)


async def _page(rows: Sequence[Row], next_cursor: str | None = None) -> ReadingsPage:
    """A page; a long one is made in a thread, for ten thousand items would hold up the line for a tenth of a second."""
    if len(rows) < _LONG:
        return to_page(rows, next_cursor)
    return await asyncio.to_thread(to_page, rows, next_cursor)


def to_page(rows: Sequence[Row], next_cursor: str | None = None) -> ReadingsPage:
    """Rows as the API gives them."""
    items = [dict(zip(_FIELDS, (_ms(row[0]), *row[1:]), strict=True)) for row in rows]
    return ReadingsPage.model_validate({"items": items, "next_cursor": next_cursor})


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


def _span(from_ms: int | None, to_ms: int | None) -> tuple[datetime, datetime]:
    """The time asked for, by default the day before its end; its end is a day from now, for clocks that are ahead."""
    now = datetime.now(UTC)
    to_at = now + timedelta(days=1) if to_ms is None else datetime.fromtimestamp(to_ms / 1000, UTC)
    from_at = min(now, to_at) - timedelta(days=1) if from_ms is None else datetime.fromtimestamp(from_ms / 1000, UTC)
    if from_at >= to_at:
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, "from must be before to", "from")
    return from_at, to_at


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
