"""Wiring of alarm: the holder of the lease works, other replicas stand by."""

from functools import partial

from kaiser_common.bus.lease import Lease
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.loops import leader
from kaiser_common.runtime.service import Service, run
from kaiser_common.runtime.wiring import connections

from kaiser_alarm.handlers import answer
from kaiser_alarm.jobs.holder import AlarmHolder
from kaiser_alarm.publish.reach import guarded
from kaiser_alarm.settings import AlarmSettings


def main() -> None:
    """Run the service alarm until it is stopped."""
    run("alarm", AlarmSettings, work)


async def work(service: Service, settings: AlarmSettings) -> None:
    """Raise and clear alarms whenever the lease is ours."""
    reach = guarded(tuple(settings.alarm_channel_networks))
    async with connections(service, settings) as (bus, pool):
        holder = AlarmHolder(bus, pool, partial(Broker, bus, service, settings), answer, settings, reach)
        await leader(service, Lease(bus, "alarm"), holder.until)
