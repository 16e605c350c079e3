"""The work of the lease holder: it reads events, answers requests and publishes steps; other replicas stand by."""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import cache, partial

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.mirror import Mirror
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.subjects import DEVICES_BUCKET
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import beside, every, until_done

from kaiser_alarm.api.alarms import AlarmApi
from kaiser_alarm.api.channels import ChannelApi
from kaiser_alarm.api.limits import LimitsApi
from kaiser_alarm.consumers.events import EventReading
from kaiser_alarm.domain.board import Board
from kaiser_alarm.domain.readings import Watch
from kaiser_alarm.jobs.notify import Notifying
from kaiser_alarm.jobs.retention import drop_old
from kaiser_alarm.jobs.shelves import look_at_shelves
from kaiser_alarm.publish.channels import ChannelSender
from kaiser_alarm.publish.events import publish_steps
from kaiser_alarm.settings import AlarmSettings
from kaiser_alarm.store.sealing import Sealing, key_of

_SHELVES_EVERY_S = 5.0
_UPKEEP_EVERY_S = 3600.0
_PUBLISH_AT_LEAST_EVERY_S = 5.0

Answer = Callable[[Broker, AlarmApi, LimitsApi, ChannelApi], None]
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
    ) -> None:
        self._bus = bus
        self._pool = pool
        self._settings = settings
        self._new_broker = new_broker
        self._answer = answer
        self._unpublished = asyncio.Event()

    async def until(self, stop: asyncio.Event) -> None:
        """Work until the event is set."""
        board, watch, on_steps = Board(), Watch(), self._unpublished.set
        devices: Mirror[DeviceRecord] = Mirror(self._bus, DEVICES_BUCKET, DeviceRecord.model_validate_json)
        sender = ChannelSender(self._settings.alarm_channel_timeout_s)
        sealing = cache(lambda: Sealing(key_of(self._settings)))
        notifying = Notifying(self._pool, board, sender, sealing, zones_of(devices), on_steps, now_ms)
        events = EventReading(self._pool, self._bus, board, watch, on_steps)
        shelves = partial(look_at_shelves, self._pool, board, on_steps, now_ms)
        upkeep = partial(drop_old, self._pool, self._settings.alarm_retention_days)
        broker = self._new_broker()
        self._answer(
            broker,
            AlarmApi(self._pool, board, on_steps, now_ms),
            LimitsApi(self._pool, board, watch, on_steps, now_ms),
            ChannelApi(self._pool, sender, sealing, now_ms),
        )
        async with (
            beside(
                events=events.run(),
                publish=self._publish(),
                devices=devices.keep(),
                notify=self._notify(events, notifying),
                shelves=every(_SHELVES_EVERY_S, shelves, "shelves_postponed"),
                upkeep=every(_UPKEEP_EVERY_S, upkeep, "upkeep_postponed"),
            ),
            broker.serving(),
        ):
            try:
                await stop.wait()
            finally:
                sender.close()

    async def _publish(self) -> None:
        """Publish steps as they come, and look every few seconds for those that a process before this one left."""
        while True:
            self._unpublished.clear()
            await until_done(partial(publish_steps, self._pool, self._bus), "steps_not_published")
            try:
                async with asyncio.timeout(_PUBLISH_AT_LEAST_EVERY_S):
                    await self._unpublished.wait()
            except TimeoutError:
                continue

    async def _notify(self, events: EventReading, notifying: Notifying) -> None:
        """Notify once the alarms are known."""
        await events.loaded.wait()
        every_s = self._settings.alarm_notify_s
        await every(every_s, notifying.look, "notifications_postponed", delay_s=every_s, retry_s=1.0)


def zones_of(devices: Mapping[str, DeviceRecord]) -> Callable[[str], str | None]:
    """What tells the zone of a device."""

    def zone_of(esp_id: str) -> str | None:
        record = devices.get(esp_id)
        return None if record is None else record.zone_id

    return zone_of


def now_ms() -> int:
    """The clock of the service, in ms since 1970."""
    return time.time_ns() // 1_000_000
