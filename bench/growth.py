"""Whether speed stays the same with more devices, with more clients, or with more rows in the table."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import psycopg
from kaiser_common.runtime.partitions import make_day_partitions

from bench.bed import Bed
from bench.latency import at_rate
from bench.saturation import saturate

_FILL = """
INSERT INTO sensor.data
    (time, esp_id, gpio, sensor_type, raw, value, unit, quality, processing_mode, data_source, clock)
SELECT now() - interval '1 day' - make_interval(secs => number * %s::float8),
    'TEST_B' || lpad((number %% 1000)::text, 5, '0'),
    3, 'ds18b20', number, 21.5, '°C', 'good', 'device', 'real', 'device'
FROM generate_series(%s::bigint, %s::bigint) AS number ON CONFLICT DO NOTHING
"""
"""A thousand sensors, back from yesterday, each reading so many seconds before the one of the number before."""
_SPACING_S = 0.06
"""A reading of each of the thousand sensors a minute."""
_DAY_S = 86_400
_SIZE = """
SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'sensor.data'::regclass
"""
_AT_ONCE = 1_000_000
_RUNS = 3
_SETTLE_S = 5.0


def by_devices(bed: Bed, numbers: list[int], count: int) -> dict[int, Any]:
    """Readings a second as the number of devices grows: the middle of three runs, which take turns.

    The first contact of each device, which every service is notified of, is over before.
    """
    bed.register(max(numbers))
    bed.bring_online()
    runs = [[saturate(bed, count=count, devices=number)["per_s"] for number in numbers] for _ in range(_RUNS)]
    return {number: sorted(found)[_RUNS // 2] for number, found in zip(numbers, zip(*runs, strict=True), strict=True)}


def by_clients(bed: Bed, numbers: list[int], rate: float, seconds: float) -> dict[int, Any]:
    """Latency of commit and of the first client's frame as the number of WebSocket clients grows."""
    at_rate(bed, rate, _SETTLE_S)  # what ran before is over when the first one counts
    return {number: at_rate(bed, rate, seconds, clients=number) for number in numbers}


def by_rows(bed: Bed, numbers: list[int], count: int) -> dict[int, int]:
    """Readings a second with so many rows of the last days already in the table, which grows from number to number."""
    found: dict[int, int] = {}
    for number in numbers:
        for first in range(bed.filled, number, _AT_ONCE):
            bed.filled = min(first + _AT_ONCE, number)
            fill(bed.stack.addresses["database_url"], first, bed.filled - 1)
        with bed.connect() as connection:
            connection.execute("ANALYZE sensor.data")
            connection.execute("CHECKPOINT")
        found[number] = saturate(bed, count=count, devices=1000)["per_s"]
    return found


def fill(database_url: str, first: int, last: int, *, spacing_s: float = _SPACING_S) -> None:
    """Add the readings of these numbers, in partitions by day, which sensor makes before the readings of a day come."""
    asyncio.run(_make_partitions(database_url, days_back=int(last * spacing_s / _DAY_S) + 3))
    with psycopg.connect(database_url, autocommit=True, connect_timeout=5) as connection:
        connection.execute(_FILL, [spacing_s, first, last])


async def _make_partitions(database_url: str, days_back: int) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True, connect_timeout=5) as connection:
        await make_day_partitions(connection, "sensor.data", datetime.now(UTC), days_back=days_back)


def bytes_per_row(bed: Bed) -> int:
    """Of the table of readings, with its indexes."""
    return round(_size(bed) / _rows(bed))


def _size(bed: Bed) -> int:
    """Bytes of the table of readings with its indexes: partitions or chunks are tables of their own."""
    with bed.connect() as connection:
        found = connection.execute(_SIZE).fetchone()
    return int(found[0] or 0) if found else 0


def _rows(bed: Bed) -> int:
    with bed.connect() as connection:
        found = connection.execute("SELECT count(*) FROM sensor.data").fetchone()
    return int(found[0]) if found else 1
