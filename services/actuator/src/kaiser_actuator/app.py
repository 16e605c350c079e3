"""The composition root of the actuator service."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import structlog
from kaiser_common.bucket import BucketWriter
from kaiser_common.bus import connect
from kaiser_common.consumer import Consumer
from kaiser_common.database import (
    UNAVAILABLE,
    DatabasePool,
    drop_days_before,
    drop_rows_before,
    make_day_partitions,
    open_pool,
    ping,
    wait_for_schema,
)
from kaiser_common.mirror import Mirror
from kaiser_common.outside import DeadLetters
from kaiser_common.rpc import serve, tell_status
from kaiser_common.schemas.device import DeviceRecord
from kaiser_common.service import Service, run
from kaiser_common.subjects import ACTUATOR, DEVICES_BUCKET, EMERGENCIES_BUCKET
from nats.errors import Error as NatsError

from kaiser_actuator.clears import Clears
from kaiser_actuator.command_api import CommandApi
from kaiser_actuator.emergency_api import EmergencyApi
from kaiser_actuator.emergency_ledger import EmergencyLedger
from kaiser_actuator.heard import Heard
from kaiser_actuator.inbox import Inbox
from kaiser_actuator.numbers import Numbers, open_board
from kaiser_actuator.registry_api import RegistryApi
from kaiser_actuator.settings import ActuatorServiceSettings
from kaiser_actuator.stops import Stops
from kaiser_actuator.sweep import Sweep

log = structlog.get_logger()

_UPKEEP_EVERY_S = 3600.0
_RETRY_S = 5.0


def main() -> None:
    """Run the actuator service until it is told to stop."""
    run("actuator", ActuatorServiceSettings, work)


async def work(service: Service, settings: ActuatorServiceSettings) -> None:
    """Answer, listen, and look for what is due. Stops are served before the database is there."""
    timeout = timedelta(seconds=settings.command_timeout_s)
    async with (
        connect(settings, "actuator") as bus,
        tell_status(bus, service),
        open_pool(settings, "actuator") as pool,
    ):
        service.check("nats", bus.round_trip)
        service.check("database", lambda: ping(pool))
        devices = Mirror(bus, DEVICES_BUCKET, DeviceRecord.model_validate_json)
        async with Consumer(bus, ACTUATOR, max_messages=settings.actuator_batch).open() as consumer:
            bucket = await BucketWriter.open(bus, EMERGENCIES_BUCKET)
            numbers = await Numbers.of(bucket)
            mirrored = open_board(bus, numbers)
            stops = Stops(bus, bucket, mirrored, devices, now_ms, numbers)
            ledger = EmergencyLedger(pool, bus, stops, timeout, utc_now)
            sweep = Sweep(pool, bus, devices, stops, ledger, timeout, utc_now, Heard(consumer.position).up_to)
            clears = Clears(pool, stops, ledger, devices, now_ms)
            devices.on_change(sweep.on_device)
            methods = {
                **EmergencyApi(bus, stops, ledger, clears, now_ms).methods(),
                **CommandApi(pool, bus, devices, stops, timeout, settings.commands_per_minute, utc_now).methods(),
                **RegistryApi(pool, devices, stops, utc_now).methods(),
            }
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(devices.keep(), name="devices"),
                    tasks.create_task(mirrored.keep(), name="emergencies"),
                ]
                await devices.ready()
                await mirrored.ready()
                async with serve(
                    bus,
                    "actuator",
                    methods,
                    unavailable=(*UNAVAILABLE, NatsError),
                    always=frozenset({"emergency_stop"}),
                ):
                    tasks.create_task(service.until_stopped(consumer.stop), name="stop")
                    await wait_for_schema(pool, "actuator")
                    background += [
                        tasks.create_task(sweep.run(settings.actuator_sweep_s), name="sweep"),
                        tasks.create_task(clears.run(), name="clears"),
                        tasks.create_task(keep_up(pool, settings), name="upkeep"),
                    ]
                    inbox = Inbox(pool, bus, stops, ledger, clears, timeout, utc_now)
                    await inbox.run(consumer, DeadLetters(bus, service, settings))
                for task in background:
                    task.cancel()


async def keep_up(pool: DatabasePool, settings: ActuatorServiceSettings) -> None:
    """Make the partitions of the coming days and let old rows go, every hour."""
    while True:
        now = utc_now()
        before = now - timedelta(days=settings.actuator_retention_days)
        try:
            async with pool.connection() as connection:
                await make_day_partitions(connection, "actuator.history", now)
                await drop_days_before(connection, "actuator.history", before)
                await drop_rows_before(connection, "actuator.commands", "ended_at", before)
                await drop_rows_before(connection, "actuator.emergencies", "cleared_at", before)
        except UNAVAILABLE as error:
            log.warning("upkeep_postponed", error=str(error).splitlines()[0])
            await asyncio.sleep(_RETRY_S)
        else:
            await asyncio.sleep(_UPKEEP_EVERY_S)


def utc_now() -> datetime:
    """The clock of the service."""
    return datetime.now(UTC)


def now_ms() -> int:
    """The same in ms since 1970."""
    return time.time_ns() // 1_000_000
