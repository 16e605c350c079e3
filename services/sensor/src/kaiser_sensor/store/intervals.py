"""The SQL of the intervals in which sensors send: the configured one, else the one that was learned."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from kaiser_common.runtime.statements import columns_of, execute, insert_all_of

from kaiser_sensor.domain.known import MOST_GAPS, UNLEARNED_S
from kaiser_sensor.store import Connection, tables

Key = tuple[str, int, str, str]
"""esp_id, gpio, sensor_type, address."""


class Interval(NamedTuple):
    """The interval in force of a sensor, and whether the sensor is active: one that is configured as inactive is not
    watched."""

    interval_s: float = UNLEARNED_S
    active: bool = True


LEARN_AGAIN_AFTER = timedelta(minutes=5)
_OLDEST = timedelta(days=30)
_KEY = ("esp_id", "gpio", "sensor_type", "address")
_COLUMNS = (*_KEY, "interval_s", "learned_at")
_ADD = insert_all_of(tables.intervals, _COLUMNS)
_PUT = _ADD.on_conflict_do_update(
    index_elements=list(_KEY), set_={name: _ADD.excluded[name] for name in ("interval_s", "learned_at")}
)

WATCHED = """
    sensor.latest AS latest
    LEFT JOIN LATERAL (
        SELECT (config ->> 'active')::boolean AS active, (config ->> 'interval_s')::float8 AS interval_s,
               config ->> 'name' AS name
        FROM sensor.configs AS configs
        WHERE (configs.esp_id, configs.gpio, configs.sensor_type) = (latest.esp_id, latest.gpio, latest.sensor_type)
          AND configs.address IN (latest.address, '')
        ORDER BY configs.address DESC LIMIT 1
    ) AS configured ON true
    LEFT JOIN sensor.intervals AS learned
        ON (learned.esp_id, learned.gpio, learned.sensor_type, learned.address)
         = (latest.esp_id, latest.gpio, latest.sensor_type, latest.address)
"""
"""Each sensor's newest reading, with its configuration (preferring one for its own address) and its learned
interval."""

INTERVAL_S = f"coalesce(configured.interval_s, learned.interval_s, {UNLEARNED_S})"
IS_ACTIVE = "coalesce(configured.active, true)"


async def due(connection: Connection, now: datetime, limit: int) -> list[tuple[Key, list[float]]]:
    """Sensors that sent since their interval was last looked at, with the times (s) of their newest readings."""
    cursor = await connection.execute(
        """
        SELECT latest.esp_id, latest.gpio, latest.sensor_type, latest.address, times.seconds
        FROM sensor.latest AS latest
        LEFT JOIN sensor.intervals AS learned
            ON (learned.esp_id, learned.gpio, learned.sensor_type, learned.address)
             = (latest.esp_id, latest.gpio, latest.sensor_type, latest.address)
        CROSS JOIN LATERAL (
            SELECT array_agg(seconds) AS seconds FROM (
                SELECT extract(epoch FROM time)::float8 AS seconds FROM sensor.data AS data
                WHERE data.esp_id = latest.esp_id AND data.gpio = latest.gpio
                  AND data.sensor_type = latest.sensor_type AND data.address = latest.address
                  AND data.time <= latest.time AND data.time > latest.time - %(oldest)s
                ORDER BY time DESC LIMIT %(readings)s
            ) AS newest
        ) AS times
        WHERE learned.learned_at IS NULL
           OR coalesce(latest.received_at, latest.time) > learned.learned_at
              AND (learned.interval_s IS NULL OR learned.learned_at < %(before)s)
        ORDER BY learned.learned_at NULLS FIRST LIMIT %(limit)s
        """,
        {"oldest": _OLDEST, "readings": MOST_GAPS + 1, "before": now - LEARN_AGAIN_AFTER, "limit": limit},
    )
    return [(row[:4], row[4] or []) for row in await cursor.fetchall()]


async def keep(connection: Connection, learned: Mapping[Key, float | None], now: datetime) -> None:
    """Remember the interval of each sensor; None: it has sent too little."""
    rows = [(*key, interval_s, now) for key, interval_s in learned.items()]
    await execute(connection, _PUT, columns_of(_COLUMNS, rows))


async def intervals(connection: Connection, esp_ids: Sequence[str]) -> dict[Key, Interval]:
    """The interval of each sensor of these devices."""
    cursor = await connection.execute(
        f"""
        SELECT latest.esp_id, latest.gpio, latest.sensor_type, latest.address, {INTERVAL_S}, {IS_ACTIVE}
        FROM {WATCHED} WHERE latest.esp_id = ANY(%s)
        """,
        [list(esp_ids)],
    )
    return {row[:4]: Interval(*row[4:]) for row in await cursor.fetchall()}


async def silent_by_device(connection: Connection, now: datetime, missed: int) -> list[tuple[str, int, int]]:
    """For each device: the number of watched sensors, and how many of those are silent."""
    cursor = await connection.execute(
        f"""
        SELECT latest.esp_id, count(*), count(*) FILTER (
            WHERE coalesce(latest.received_at, latest.time)
                  < %(now)s - %(missed)s * make_interval(secs => {INTERVAL_S}))
        FROM {WATCHED} WHERE {IS_ACTIVE} GROUP BY latest.esp_id
        """,
        {"now": now, "missed": missed},
    )
    return await cursor.fetchall()
