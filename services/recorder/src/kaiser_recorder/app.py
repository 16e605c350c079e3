"""Wiring of recorder: the holder of the lease works, other replicas stand by."""

from functools import partial

from kaiser_common.bus.lease import Lease
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.loops import leader
from kaiser_common.runtime.service import Service, run
from kaiser_common.runtime.wiring import connections

from kaiser_recorder.handlers import answer
from kaiser_recorder.jobs.holder import RecorderHolder
from kaiser_recorder.settings import RecorderSettings


def main() -> None:
    """Run the service recorder until it is stopped."""
    run("recorder", RecorderSettings, work)


async def work(service: Service, settings: RecorderSettings) -> None:
    """Record and import whenever the lease is ours."""
    async with connections(service, settings) as (bus, pool):
        holder = RecorderHolder(bus, pool, partial(Broker, bus, service, settings), answer, settings)
        await leader(service, Lease(bus, "recorder"), holder.until)
