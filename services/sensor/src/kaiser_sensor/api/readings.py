"""Requests about readings."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.sensors import (
    BucketsPage,
    BucketsQuery,
    Completeness,
    CompletenessPage,
    CompletenessQuery,
    LatestQuery,
    ReadingsPage,
    ReadingsQuery,
    TimeBucket,
)
from kaiser_common.contract.times import ms_of, time_of
from kaiser_common.runtime.cursors import parse_cursor, to_cursor
from kaiser_common.runtime.database import DatabasePool

from kaiser_sensor.domain.completeness import day_span, expected_readings, share
from kaiser_sensor.domain.known import is_shown, judge
from kaiser_sensor.domain.rollups import Span, answers, widened
from kaiser_sensor.domain.rows import ADDRESS, COLUMNS, Row
from kaiser_sensor.store import charts
from kaiser_sensor.store import intervals as interval_store
from kaiser_sensor.store import readings as store
from kaiser_sensor.store import rollups as rollup_store
from kaiser_sensor.store.intervals import Interval
from kaiser_sensor.store.readings import LatestRow, ReadingKey

_MOST_BUCKETS = 10_000
_MOST_LOOKED_AT = 10_000
_QUALITY = COLUMNS.index("quality")
_LONG = 1000
_MOST_BYTES = 3 * 1024 * 1024
_ITEM_BYTES = 410
"""Of a reading in JSON without its texts: field names, numbers of full length."""
_FIELDS = ("ts", *COLUMNS[1:])


class SensorApi:
    """The handlers; each reads in a transaction of its own.

    `oldest`: the time before which a rollup is final, if the service keeps the rollups; None if the database does.
    `offline_since`: time of the last message of an offline device (ms). `zone_of`: the zone of a device.
    `is_registered`: whether a device is in the registry.
    """

    def __init__(
        self,
        pool: DatabasePool,
        canonical: Callable[[str], str],
        oldest: Callable[[], datetime] | None,
        clock: Callable[[], datetime],
        offline_since: Callable[[str], int | None] = lambda esp_id: None,
        zone_of: Callable[[str], str | None] = lambda esp_id: None,
        is_registered: Callable[[str], bool] = lambda esp_id: True,
    ) -> None:
        self._pool = pool
        self._is_registered = is_registered
        self._offline_since = offline_since
        self._zone_of = zone_of
        self._canonical = canonical
        self._oldest = oldest
        self._clock = clock

    async def latest(self, query: LatestQuery, caller: Caller) -> ReadingsPage:
        """A page of the newest readings of sensors, one of each. For a zone or a state up to 10,000 are looked at."""
        after = tuple(parse_cursor(query.cursor, str, int, str, str)) if query.cursor else None
        is_narrowed = query.zone_id is not None or query.state is not None
        limit = _MOST_LOOKED_AT if is_narrowed else query.limit
        async with self._pool.connection() as connection:
            found = await store.latest(
                connection,
                query.esp_id,
                address=query.address,
                sensor_type=self._type(query.sensor_type),
                after=after,  # type: ignore[arg-type]
                limit=limit,
            )
            intervals = await interval_store.intervals(connection, sorted({row[1] for row, _, _ in found}))
        now_ms = ms_of(self._clock())

        def known(row: Row, received_at: int | None) -> dict[str, Any]:
            key = (row[1], row[2], row[3], str(row[ADDRESS]))
            interval_s, is_active = intervals.get(key, Interval())
            received_ms = ms_of(row[0]) if received_at is None else received_at
            found = judge(received_ms, interval_s, now_ms, self._offline_since(row[1]))
            watched = is_active and self._is_registered(row[1])
            return {**found._asdict(), "interval_s": interval_s, "zone_id": self._zone_of(row[1]), "watched": watched}

        if not is_narrowed:
            return await _page(found, query.limit, _latest_cursor, known)
        fitting = await asyncio.to_thread(_fitting, found, query, known)
        page = await _page(fitting[: query.limit], query.limit, _latest_cursor, known)
        if page.next_cursor is None and len(found) == limit:
            return page.model_copy(update={"next_cursor": _latest_cursor(found[-1][0])})
        return page

    async def data(self, query: ReadingsQuery, caller: Caller) -> ReadingsPage:
        """A page of readings."""
        from_at, to_at = _span(query.from_ms, query.to_ms, self._clock())
        async with self._pool.connection() as connection:
            rows = await store.readings(
                connection,
                query.esp_id,
                gpio=query.gpio,
                sensor_type=self._type(query.sensor_type),
                address=query.address,
                from_at=from_at,
                to_at=to_at,
                after=_reading_key(query.cursor) if query.cursor else None,
                limit=query.limit,
            )
        return await _page([(row, None, None) for row in rows], query.limit, _reading_cursor)

    async def buckets(self, query: BucketsQuery, caller: Caller) -> BucketsPage:
        """One sensor's readings by bucket, from the coarsest suitable rollup. 422 for more than 10,000 buckets."""
        from_at, to_at = _span(query.from_ms, query.to_ms, self._clock())
        if (to_at - from_at).total_seconds() / query.bucket_s > _MOST_BUCKETS:
            raise RpcError(
                422,
                Code.VALUE_OUT_OF_RANGE,
                f"more than {_MOST_BUCKETS} buckets: use wider buckets or a shorter time",
                "bucket",
            )
        key = (query.esp_id, query.gpio, self._type(query.sensor_type), query.address)
        rollup = answers(query.bucket_s)
        async with self._pool.connection() as connection:
            progress = None
            if rollup is not None and self._oldest is not None:
                asked = widened(Span(from_at, to_at), timedelta(seconds=query.bucket_s))
                progress = await rollup_store.progress(connection, rollup, query.esp_id, asked, self._oldest())
            rows = await charts.buckets(connection, key, from_at, to_at, query.bucket_s, rollup, progress)
        return BucketsPage(
            items=[
                TimeBucket(ts=ms_of(start), count=count, min=least, max=most, avg=mean, last=last)
                for start, count, least, most, mean, last in rows
            ]
        )

    async def completeness(self, query: CompletenessQuery, caller: Caller) -> CompletenessPage:
        """Of each configured sensor of a device the share of a day's expected readings that came."""
        now = self._clock()
        day = query.day or now.date()
        async with self._pool.connection() as connection:
            counts = await store.received(connection, query.esp_id, *day_span(day))
        items = []
        for gpio, sensor_type, address, interval_s, received in counts:
            expected = expected_readings(day, timedelta(seconds=interval_s), now)
            items.append(
                Completeness(
                    esp_id=query.esp_id,
                    gpio=gpio,
                    sensor_type=sensor_type,
                    address=address,
                    day=day,
                    expected=expected,
                    received=received,
                    share=share(received, expected),
                )
            )
        return CompletenessPage(items=items)

    def _type(self, sensor_type: str | None) -> str | None:
        return None if sensor_type is None else self._canonical(sensor_type)


def _nothing(row: Row, received_at: int | None) -> dict[str, Any]:
    """Of a reading of the history: whether its value is known now is no question."""
    return {}


Known = Callable[[Row, int | None], dict[str, Any]]
"""The fields of a reading's item that say whether the value is known now."""


def _fitting(rows: Sequence[LatestRow], query: LatestQuery, known: Known) -> list[LatestRow]:
    """The sensors of the zone and in the state that are asked for."""
    found = []
    for one in rows:
        row, received_at, _ = one
        marks = known(row, received_at)
        in_zone = query.zone_id is None or marks["zone_id"] == query.zone_id
        if in_zone and (query.state is None or is_shown(query.state, marks["state"], str(row[_QUALITY]))):
            found.append(one)
    return found


async def _page(
    rows: Sequence[LatestRow], limit: int, to_mark: Callable[[Row], str], known: Known = _nothing
) -> ReadingsPage:
    """A page of at most 3 MiB, below what NATS carries in one message; the rest is behind its cursor.

    A long one is made in a thread, for ten thousand items would hold up the loop for a tenth of a second.
    """
    kept = within(rows, _MOST_BYTES)
    more = len(kept) == limit or len(kept) < len(rows)
    next_cursor = to_mark(kept[-1][0]) if kept and more else None
    if len(kept) < _LONG:
        return to_page(kept, next_cursor, known)
    return await asyncio.to_thread(to_page, kept, next_cursor, known)


def within(rows: Sequence[LatestRow], most_bytes: int) -> Sequence[LatestRow]:
    """The first rows that fit into this many bytes of JSON, but at least one."""
    size = 0
    for place, (row, _, _) in enumerate(rows):
        size += _ITEM_BYTES + sum(len(text.encode()) for text in row if isinstance(text, str))
        if size > most_bytes and place:
            return rows[:place]
    return rows


def to_page(rows: Sequence[LatestRow], next_cursor: str | None = None, known: Known = _nothing) -> ReadingsPage:
    """Rows as the API gives them."""
    items = [
        {
            **dict(zip(_FIELDS, (ms_of(row[0]), *row[1:]), strict=True)),
            "received_at": received_at,
            "device_ts": device_ts,
            **known(row, received_at),
        }
        for row, received_at, device_ts in rows
    ]
    return ReadingsPage.model_validate({"items": items, "next_cursor": next_cursor})


def _reading_cursor(row: Row) -> str:
    return to_cursor(row[0].timestamp(), row[2], row[3], row[-1])


def _reading_key(cursor: str) -> ReadingKey:
    seconds, gpio, sensor_type, address = parse_cursor(cursor, float, int, str, str)
    try:
        at = datetime.fromtimestamp(float(seconds), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, "The cursor's time is out of range.", "cursor") from error
    return at, int(gpio), str(sensor_type), str(address)


def _latest_cursor(row: Row) -> str:
    return to_cursor(row[1], row[2], row[3], row[-1])


def _span(from_ms: int | None, to_ms: int | None, now: datetime) -> tuple[datetime, datetime]:
    """The time asked for, by default the day before its end; its end is a day from now, for clocks that are ahead."""
    to_at = now + timedelta(days=1) if to_ms is None else time_of(to_ms)
    from_at = min(now, to_at) - timedelta(days=1) if from_ms is None else time_of(from_ms)
    if from_at >= to_at:
        raise RpcError(422, Code.VALUE_OUT_OF_RANGE, "from must be before to", "from")
    return from_at, to_at
