"""The overview of all sensors: newest readings from one query, a day's figures by the hour from memory."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from kaiser_common.bus.rpc import Caller
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.sensors import OverviewSensor, SensorsOverview
from kaiser_common.contract.times import ms_of
from kaiser_common.runtime.database import DatabasePool

from kaiser_sensor.domain.known import judge
from kaiser_sensor.domain.rollups import floor
from kaiser_sensor.store import overview as overview_store
from kaiser_sensor.store.overview import Key, SensorSeen

HOURS = 24
MOST = 5000
"""Sensors on an overview: of usual length they are 2.5 MB, below what NATS carries in one message."""

_HOUR = timedelta(hours=1)
_LONG = 500


class Day:
    """Lowest, highest and mean of each hour of a sensor's day; None where nothing came."""

    __slots__ = ("highs", "lows", "means")

    def __init__(self) -> None:
        self.lows: list[float | None] = [None] * HOURS
        self.highs: list[float | None] = [None] * HOURS
        self.means: list[float | None] = [None] * HOURS


class OverviewApi:
    """Run `look` every minute or so: until the first look sensors have no figures by the hour."""

    def __init__(
        self,
        pool: DatabasePool,
        offline_since: Callable[[str], int | None],
        now: Callable[[], datetime],
        is_registered: Callable[[str], bool] = lambda esp_id: True,
    ) -> None:
        self._pool = pool
        self._is_registered = is_registered
        self._offline_since = offline_since
        self._now = now
        self._days: dict[Key, Day] = {}
        self._hours_from = first_hour(now())

    async def look(self) -> None:
        """Read the day's figures again."""
        now = self._now()
        hours_from = first_hour(now)
        async with self._pool.connection() as connection:
            rows = await overview_store.by_hour(connection, hours_from, floor(now, _HOUR) - _HOUR, now + _HOUR)
        self._days = await asyncio.to_thread(days_of, rows, hours_from)
        self._hours_from = hours_from

    async def overview(self, request: Nothing, caller: Caller) -> SensorsOverview:
        """Every sensor, up to 5,000."""
        async with self._pool.connection() as connection:
            seen, total = await overview_store.newest(connection, MOST)
        if len(seen) < _LONG:
            return self._view(seen, total)
        return await asyncio.to_thread(self._view, seen, total)

    def _view(self, seen: Iterable[SensorSeen], total: int) -> SensorsOverview:
        now_ms = ms_of(self._now())
        days, hours_from = self._days, self._hours_from
        return SensorsOverview.model_construct(
            items=[
                _item(one, days.get((one.esp_id, one.gpio, one.sensor_type, one.address)), now_ms,
                      self._offline_since(one.esp_id), watched=one.active and self._is_registered(one.esp_id))
                for one in seen
            ],
            hours_from=ms_of(hours_from),
            total=total,
        )  # fmt: skip


def first_hour(now: datetime) -> datetime:
    """The start of the first of the 24 hours of which the last is the running one."""
    return floor(now, _HOUR) - (HOURS - 1) * _HOUR


def days_of(
    rows: Iterable[tuple[str, int, str, str, datetime, float, float, float]], hours_from: datetime
) -> dict[Key, Day]:
    """The figures by sensor; those of other hours are left out."""
    days: dict[Key, Day] = {}
    for esp_id, gpio, sensor_type, address, hour, low, high, mean in rows:
        place = (hour - hours_from) // _HOUR
        if 0 <= place < HOURS:
            day = days.setdefault((esp_id, gpio, sensor_type, address), Day())
            day.lows[place], day.highs[place], day.means[place] = _short(low), _short(high), _short(mean)
    return days


def _item(
    seen: SensorSeen, day: Day | None, now_ms: int, offline_since_ms: int | None, *, watched: bool
) -> OverviewSensor:
    received_ms = seen.ts if seen.received_at is None else seen.received_at
    state, known_until = judge(received_ms, seen.interval_s, now_ms, offline_since_ms)
    fields = {**seen._asdict(), "state": state, "known_until": known_until, "watched": watched}
    del fields["active"]
    if day is not None:
        fields |= {"lows": day.lows, "highs": day.highs, "means": day.means}
    return OverviewSensor.model_construct(**fields)


def _short(figure: float) -> float:
    """As many digits as a small chart can show."""
    return float(f"{figure:.5g}")
