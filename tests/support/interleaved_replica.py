"""One process of actuator: the product's own parts, on the bucket, tables and bus of the trials of stops."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

from interleaved_bucket import Bucket, Mirror
from interleaved_tables import Pool
from interleaved_world import DEVICES, Gates, World
from kaiser_actuator.api.emergencies import EmergencyApi
from kaiser_actuator.consumers.devices import ActuatorMessages
from kaiser_actuator.jobs.clears import Clears
from kaiser_actuator.jobs.emergency_ledger import EmergencyLedger
from kaiser_actuator.jobs.sweep import DueSweep
from kaiser_actuator.store.numbers import Numbers
from kaiser_actuator.store.stops import Stops
from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.schemas.api.actuators import Emergency
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.times import time_of


class Line:
    """The world as one of the replicas reaches it."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._number = number
        self.message_id = world.message_id
        self.jetstream = world.jetstream

    async def publish_batch(self, messages: Sequence[Outgoing], **_: Any) -> None:
        if self._number == 1 and any(message.msg_id.startswith(("stop-", "emergency_stop-")) for message in messages):
            self._world.told_by_others.append(self._world.now)
        await self._world.publish_batch(messages)


class Ledger(EmergencyLedger):
    """The product's own, where the recording of a stop may be held up."""

    def __init__(self, world: World, gates: Gates, recording: Gates, stops: Stops, bus: Line) -> None:
        pool = cast("Any", Pool(gates, world))
        super().__init__(pool, cast("Any", bus), stops, timedelta(seconds=10), lambda: time_of(world.now))
        self.recording = recording

    async def record(self, stop: Emergency) -> int:
        await self.recording.wait()
        return await super().record(stop)


def record_of(esp_id: str) -> DeviceRecord:
    return DeviceRecord(esp_id=esp_id, kaiser_id="god", state="approved", online=True)


class Replica:
    """One process of the service."""

    def __init__(self, number: int, world: World, bucket: Bucket, gates: Gates, recording: Gates) -> None:
        line = Line(world, number)
        bus, pool = cast("Any", line), cast("Any", Pool(gates, world))
        self.records = records = {each: record_of(each) for each in DEVICES if each not in world.deleted}
        self.mirror = Mirror(bucket)
        self.stops = Stops(bus, cast("Any", bucket), cast("Any", self.mirror), records, lambda: world.now, Numbers())
        self.ledger = ledger = Ledger(world, gates, recording, self.stops, line)
        self.clears = Clears(pool, self.stops, ledger, records, lambda: world.now, world.heard_up_to)
        self.api = EmergencyApi(bus, self.stops, ledger, self.clears, lambda: world.now, wait_s=0.0)
        self.messages = ActuatorMessages(
            pool, bus, self.stops, ledger, self.clears, timedelta(seconds=10), lambda: time_of(world.now)
        )
        self.due = DueSweep(
            pool,
            bus,
            records,
            self.stops,
            ledger,
            timedelta(seconds=10),
            lambda: time_of(world.now),
            world.heard_up_to,
        )
        self.subscribing: dict[str, int] = {}
        """When devices that came online are sent their stops once more (`DueSweep`)."""
        self.looked_at = world.now
        """When its last look began that went to its end."""
        self.look: asyncio.Task[Any] | None = None
        self.retry: asyncio.Task[Any] | None = None
        self.aligning: asyncio.Task[Any] | None = None
        self.sweeping: asyncio.Task[Any] | None = None


def at(stop: Emergency) -> tuple[str | None, int | None]:
    return stop.esp_id, stop.gpio


def root_of(emergency_id: str) -> str:
    """The id that a person saw: a stop of everything that is being cleared becomes one of each device."""
    return emergency_id if emergency_id.startswith("alert-") else emergency_id.partition("-")[0]
