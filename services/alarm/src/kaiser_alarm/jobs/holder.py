"""The work of the lease holder: it reads events, answers requests and publishes steps; other replicas stand by."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cache, partial

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.mirror import Mirror
from kaiser_common.bus.waiting import set_within
from kaiser_common.contract.schemas.api.sensors import SensorConfig
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.subjects import DEVICES_BUCKET, SENSOR_CONFIGS_BUCKET
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import beside, every, until_done

from kaiser_alarm.api.alarms import AlarmApi
from kaiser_alarm.api.channels import ChannelApi
from kaiser_alarm.api.figures import FiguresApi
from kaiser_alarm.api.limits import LimitsApi
from kaiser_alarm.consumers.events import EventReading
from kaiser_alarm.consumers.owners import OwnerReading
from kaiser_alarm.domain.board import Board
from kaiser_alarm.domain.names import called_of
from kaiser_alarm.domain.readings import Watch
from kaiser_alarm.jobs.away import DatabaseWatch
from kaiser_alarm.jobs.notify import Notifying
from kaiser_alarm.jobs.registry import RegistryLook
from kaiser_alarm.jobs.retention import drop_old
from kaiser_alarm.jobs.shelves import look_at_shelves
from kaiser_alarm.publish.channels import ChannelSender
from kaiser_alarm.publish.events import publish_steps
from kaiser_alarm.publish.reach import Reach
from kaiser_alarm.settings import AlarmSettings
from kaiser_alarm.store.sealing import Sealing, key_of

log = structlog.get_logger()

_SHELVES_EVERY_S = 5.0
_DATABASE_EVERY_S = 5.0
_REGISTRY_EVERY_S = 10.0
_UPKEEP_EVERY_S = 3600.0
_PUBLISH_AT_LEAST_EVERY_S = 5.0
_ZONES_WITHIN_S = 30.0
_NAMES_WITHIN_S = 5.0

Answer = Callable[[Broker, AlarmApi, FiguresApi, LimitsApi, ChannelApi], None]
"""Of handlers.py, which stands above this room."""


class AlarmHolder:
    """Works while the lease is held. All that it knows is loaded at its start."""

    def __init__(
        self,
        bus: Bus,
        pool: DatabasePool,
        new_broker: Callable[[], Broker],
        answer: Answer,
        settings: AlarmSettings,
        reach: Reach,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._clock_ms = clock_ms
        self._bus = bus
        self._pool = pool
        self._settings = settings
        self._new_broker = new_broker
        self._answer = answer
        self._reach = reach
        self._unpublished = asyncio.Event()

    async def until(self, stop: asyncio.Event) -> None:
        """Work until the event is set."""
        board, watch, on_steps = Board(), Watch(), self._unpublished.set
        clock_ms = self._clock_ms
        devices: Mirror[DeviceRecord] = devices_of(self._bus)
        sensors: Mirror[str] = sensor_names_of(self._bus)
        sender = ChannelSender(self._settings.alarm_channel_timeout_s, self._reach)
        sealing = cache(lambda: Sealing(key_of(self._settings)))
        again_s, language = self._settings.alarm_again_s, self._settings.alarm_language
        zone_of = zones_of(devices)
        called = called_of(devices, sensors)
        notifying = Notifying(
            self._pool, board, sender, sealing, zone_of, called, on_steps, clock_ms, again_s, language
        )
        events = EventReading(self._pool, self._bus, board, watch, on_steps)
        ways = notifying.ways
        away = DatabaseWatch(self._pool, self._bus, board, ways, sender, sealing, on_steps, clock_ms, language)
        shelves = partial(look_at_shelves, self._pool, board, on_steps, clock_ms)
        upkeep = partial(drop_old, self._pool, self._settings.alarm_retention_days)
        broker = self._new_broker()
        self._answer(
            broker,
            AlarmApi(self._pool, board, events.loaded.is_set, on_steps, clock_ms, partial(devices_in, devices)),
            FiguresApi(self._pool, zone_of, clock_ms),
            LimitsApi(self._pool, board, watch, events.changing_limits, on_steps, clock_ms),
            ChannelApi(self._pool, sender, sealing, clock_ms, language),
        )
        with closing(sender):  # behind the loops that send
            async with (
                beside(
                    events=events.run(),
                    owners=OwnerReading(self._bus, events, board, watch).run(),
                    publish=self._publish(),
                    devices=devices.keep(),
                    sensors=sensors.keep(),
                    notify=self._notify(events, devices, sensors, notifying),
                    away=self._watch_database(events, away),
                    shelves=every(_SHELVES_EVERY_S, shelves, "shelves_postponed"),
                    registry=self._compare(events, board, devices),
                    upkeep=every(_UPKEEP_EVERY_S, upkeep, "upkeep_postponed"),
                ),
                broker.serving(),
            ):
                await stop.wait()

    async def _publish(self) -> None:
        """Publish steps as they come, and look every few seconds for those that a process before this one left."""
        while True:
            self._unpublished.clear()
            await until_done(partial(publish_steps, self._pool, self._bus), "steps_not_published")
            await set_within(self._unpublished, _PUBLISH_AT_LEAST_EVERY_S)

    async def _notify(
        self, events: EventReading, devices: Mirror[DeviceRecord], sensors: Mirror[str], notifying: Notifying
    ) -> None:
        """Notify once the alarms are known, and the zones of devices: without these no route of a zone takes an alarm.
        Zones that cannot be read hold up no alarm for longer than half a minute, names of sensors for five seconds."""
        await events.loaded.wait()
        try:
            await devices.ready(_ZONES_WITHIN_S)
        except TimeoutError as error:
            log.warning("zones_not_read", reason=str(error), next="routes of a zone take no alarm until they are read")
        try:
            await sensors.ready(_NAMES_WITHIN_S)
        except TimeoutError as error:
            log.warning("names_not_read", reason=str(error), next="notifications name sensors by their type until then")
        every_s = self._settings.alarm_notify_s
        await every(every_s, notifying.look, "notifications_postponed", delay_s=every_s, retry_s=1.0)

    async def _watch_database(self, events: EventReading, away: DatabaseWatch) -> None:
        """Watch the database, once it has been there."""
        await events.loaded.wait()
        await every(_DATABASE_EVERY_S, away.look, "database_not_watched")

    async def _compare(self, events: EventReading, board: Board, devices: Mirror[DeviceRecord]) -> None:
        """Compare alarms with the registry, once both are known."""
        await events.loaded.wait()
        await until_done(devices.ready, "devices_not_read")
        registry = RegistryLook(events, board, devices, partial(is_removed, devices), self._clock_ms)
        await every(_REGISTRY_EVERY_S, registry.look, "registry_not_compared")


def devices_of(bus: Bus) -> Mirror[DeviceRecord]:
    """The registry of devices, which keeps the revisions of deleted ones."""
    return Mirror(bus, DEVICES_BUCKET, DeviceRecord.model_validate_json, stamp=lambda record, _: record)


def sensor_names_of(bus: Bus) -> Mirror[str]:
    """The configured names of sensors, by the keys of the bucket; "" for one without a name."""
    return Mirror(bus, SENSOR_CONFIGS_BUCKET, _name_of)


def _name_of(body: bytes) -> str:
    return SensorConfig.model_validate_json(body, extra="ignore").name or ""


def is_removed(devices: Mirror[DeviceRecord], esp_id: str) -> bool:
    """Whether a device was removed from the registry; False for one that was never in it."""
    return esp_id not in devices and devices.revision(esp_id) > 0


def devices_in(devices: Mapping[str, DeviceRecord], zone_id: str) -> list[str]:
    """The devices that are in a zone now."""
    return [esp_id for esp_id, record in devices.items() if record.zone_id == zone_id]


def zones_of(devices: Mapping[str, DeviceRecord]) -> Callable[[str], str | None]:
    """A function that returns a device's zone; None if it has none, or is unknown."""

    def zone_of(esp_id: str) -> str | None:
        record = devices.get(esp_id)
        return None if record is None else record.zone_id

    return zone_of
