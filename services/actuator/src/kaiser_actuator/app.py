"""Wiring of actuator: the stops in force first, then what needs the database."""

from datetime import timedelta

from kaiser_common.bus.bucket import BucketWriter
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.mirror import Mirror
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.subjects import ACTUATOR, DEVICES_BUCKET, EMERGENCIES_BUCKET
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.clock import now_ms, utc_now
from kaiser_common.runtime.database import wait_for_schema
from kaiser_common.runtime.loops import beside
from kaiser_common.runtime.service import Service, run
from kaiser_common.runtime.wiring import connections

from kaiser_actuator.consumers.devices import ActuatorMessages
from kaiser_actuator.handlers import answer, consume
from kaiser_actuator.jobs.clears import Clears
from kaiser_actuator.jobs.emergency_ledger import EmergencyLedger
from kaiser_actuator.jobs.heard import HeardUpTo
from kaiser_actuator.jobs.sweep import DueSweep
from kaiser_actuator.jobs.upkeep import upkeep
from kaiser_actuator.settings import ActuatorServiceSettings
from kaiser_actuator.store.numbers import Numbers, open_board
from kaiser_actuator.store.stops import Stops


def main() -> None:
    """Run actuator until it is stopped."""
    run("actuator", ActuatorServiceSettings, work)


async def work(service: Service, settings: ActuatorServiceSettings) -> None:
    """Answer, consume, and look for what is due. Stops are served before the database is there."""
    timeout = timedelta(seconds=settings.command_timeout_s)
    async with connections(service, settings, with_schema=False) as (bus, pool):
        consumer = Consumer(bus, ACTUATOR, max_messages=settings.actuator_batch)
        devices = Mirror(bus, DEVICES_BUCKET, DeviceRecord.model_validate_json)
        bucket = await BucketWriter.open(bus, EMERGENCIES_BUCKET)
        numbers = await Numbers.of(bucket)
        board = open_board(bus, numbers)
        stops = Stops(bus, bucket, board, devices, now_ms, numbers)
        ledger = EmergencyLedger(pool, bus, stops, timeout, utc_now)
        due = DueSweep(pool, bus, devices, stops, ledger, timeout, utc_now, HeardUpTo(consumer.position).up_to)
        clears = Clears(pool, stops, ledger, devices, now_ms, HeardUpTo(consumer.position).up_to)
        devices.on_change(due.on_device)
        messages = ActuatorMessages(pool, bus, stops, ledger, clears, timeout, utc_now)
        answering, consuming = Broker(bus, service, settings), Broker(bus, service, settings)
        answer(answering, pool, bus, devices, stops, ledger, clears, settings, due.takes_commands)
        consume(consuming, consumer, messages)
        async with beside(devices=devices.keep(), emergencies=board.keep()):
            await devices.ready()
            await board.ready()
            stops.resume()
            async with answering.serving():
                await wait_for_schema(pool, "actuator")
                jobs = beside(sweep=due.run(settings.actuator_sweep_s), clears=clears.run())
                async with jobs, upkeep(pool, devices, settings, utc_now), consuming.serving():
                    await service.stopping.wait()
