"""Learns how often sensors send, and reports those that fell silent: one event of quality `stale` per silence. If
a silent sensor is then configured as inactive, the event `sensor_unwatched` reports it and ends its alarm."""

from collections.abc import Callable
from datetime import datetime

import structlog
from kaiser_common.bus.connection import Bus, Outgoing
from kaiser_common.bus.events import system_event
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.schemas.event import SensorDataEvent
from kaiser_common.contract.schemas.sensor import MISSED
from kaiser_common.contract.subjects import SENSOR_STORE, event_pack_subject
from kaiser_common.contract.times import ms_of
from kaiser_common.runtime.database import DatabasePool

from kaiser_sensor import metrics
from kaiser_sensor.domain.known import usual_interval_s, without_reading
from kaiser_sensor.jobs import stream_state
from kaiser_sensor.store import Connection
from kaiser_sensor.store import intervals as interval_store
from kaiser_sensor.store import rollups as rollup_store
from kaiser_sensor.store import silences as stale_store
from kaiser_sensor.store.devices import Devices
from kaiser_sensor.store.intervals import Key
from kaiser_sensor.store.silences import Silent

log = structlog.get_logger()

_AT_ONCE = 500
_MAY_WAIT = 50
"""Packs that may wait in the stream of a store that keeps up: of the largest size they are 1.5 s of its work."""
_LOCK = 0x6B73746C


class Staleness:
    """Looks for silent sensors. Silence counts from when the store has what the stream holds: a sensor of which
    readings wait, because Kaiser or its database was away, is not silent.

    Killed between the event and the commit: the event's id keeps it single.
    """

    def __init__(self, bus: Bus, pool: DatabasePool, devices: Devices, now: Callable[[], datetime]) -> None:
        self._bus = bus
        self._pool = pool
        self._devices = devices
        self._now = now
        self._listening_since: datetime | None = None

    async def look(self) -> int:
        """Publish the sensors that have fallen silent, one replica at a time; their number."""
        waiting = await stream_state.waiting(self._bus, SENSOR_STORE)
        if waiting is None or waiting > _MAY_WAIT:
            self._listening_since = None
            return 0
        now = self._now()
        self._listening_since = self._listening_since or now
        async with self._pool.connection() as connection:
            if not await rollup_store.lock(connection, _LOCK):
                return 0
            await self._leave_unwatched(connection, now)
            due = await interval_store.due(connection, now, _AT_ONCE)
            if due:
                learned = {key: usual_interval_s(times) for key, times in due}
                await interval_store.keep(connection, learned, now)
            found = await stale_store.silent(connection, now, self._listening_since, MISSED, _AT_ONCE)
            if not found:
                return 0
            known = [(one, device) for one in found if (device := self._devices.get(one[0][1])) is not None]
            offline_since = self._devices.offline_since
            await self._bus.publish_batch([to_outgoing(one, device, offline_since(one[0][1])) for one, device in known])
            await stale_store.note_told(connection, [row for row, *_ in found])
        metrics.STALE.inc(len(known))
        log.info("sensors_stale", sensors=len(known))
        return len(known)

    async def _leave_unwatched(self, connection: Connection, now: datetime) -> None:
        """Publish the silent sensors that are configured as inactive now. Killed before the commit: published again."""
        left = await stale_store.unwatched(connection, _AT_ONCE)
        if not left:
            return
        await self._bus.publish_batch([unwatched(key, now) for key in left])
        await stale_store.leave(connection, left, now)
        log.info("sensors_unwatched", sensors=len(left))

    def interrupted(self) -> None:
        """Database or bus went away: silence counts from their return on."""
        self._listening_since = None


def unwatched(key: Key, now: datetime) -> Outgoing:
    """The event that a sensor's silence is no longer watched. `details.source` is the source of its alarm."""
    esp_id, gpio, sensor_type, address = key
    source = "/".join((esp_id, str(gpio), sensor_type, *([address] if address else [])))
    message = f"{sensor_type} on gpio {gpio} of {esp_id} is inactive: its silence is not watched"
    at = ms_of(now)
    details = {"source": source, "gpio": gpio, "sensor_type": sensor_type}
    event_id = f"unwatched-{source}-{at}"
    return system_event("sensor_unwatched", message, at, event_id=event_id, esp_id=esp_id, details=details)


def to_outgoing(silent: Silent, device: DeviceRecord, offline_since_ms: int | None) -> Outgoing:
    """The event that the value of a sensor's newest reading is stale; ts is that reading's. Its state is `offline` if
    its device is."""
    row, received_ms, silent_at, left_at = silent
    state, known_until = without_reading(received_ms, silent_at, offline_since_ms)
    at, esp_id, gpio, sensor_type, raw, raw_value, value, unit, _, _, source, clock, address = row
    ts = ms_of(at)
    event = SensorDataEvent(
        kaiser_id=device.kaiser_id,
        esp_id=esp_id,
        gpio=gpio,
        sensor_type=sensor_type,
        address=address,
        ts=ts,
        raw=raw,
        raw_value=raw_value,
        value=value,
        unit=unit,
        quality="stale",
        state=state,
        known_until=known_until,
        clock=clock,  # type: ignore[arg-type]
        data_source=source,  # type: ignore[arg-type]
    )
    body = event.model_dump_json(exclude_none=True).encode()
    sensor = f"{esp_id}-{gpio}-{sensor_type}" + (f"-{address}" if address else "")
    return Outgoing(event_pack_subject(), body, f"stale-{sensor}-{ts}" + (f"-{left_at}" if left_at else ""))
