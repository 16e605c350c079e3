"""Wiring of the simulator: the holder of the lease simulates, the other replicas stand by."""

import asyncio

from kaiser_common.bus.lease import Lease
from kaiser_common.contract.subjects import SIMULATOR_LEASE_BUCKET
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.loops import beside, leader, until_done
from kaiser_common.runtime.service import Service, run
from kaiser_common.runtime.wiring import OpenConnections, connections

from kaiser_simulator.consumers.downlinks import MockDownlinks
from kaiser_simulator.domain.world import World
from kaiser_simulator.handlers import answer, consume
from kaiser_simulator.jobs.factory import MockFactoryRunner
from kaiser_simulator.jobs.outbox import watch_outbox
from kaiser_simulator.jobs.registrar import Registrar
from kaiser_simulator.jobs.saving import keep_saved, save_at_end
from kaiser_simulator.jobs.ticking import pass_time
from kaiser_simulator.patterns import installed_patterns
from kaiser_simulator.publish import Sender
from kaiser_simulator.settings import SimulatorSettings
from kaiser_simulator.store.changes import Mocks


def main() -> None:
    """Run the simulator until it is stopped."""
    run("simulator", SimulatorSettings, work)


async def work(service: Service, settings: SimulatorSettings) -> None:
    """Simulate whenever the lease is ours. Killed: the next one goes on from the table within the lease's 3 s."""
    async with connections(service, settings) as opened:
        lease = Lease(opened.bus, "simulator", bucket=SIMULATOR_LEASE_BUCKET)
        await leader(service, lease, lambda stop: simulate(service, settings, opened, stop))


async def simulate(service: Service, settings: SimulatorSettings, opened: OpenConnections, stop: asyncio.Event) -> None:
    """Load the mocks from the table, then let them live, receive messages and be asked about."""
    bus, pool = opened
    sender, world = Sender(bus), World(installed_patterns(), bus.message_id())
    mocks = Mocks(pool, world, sender, now_ms)
    registrar, broker = Registrar(bus, pool, mocks, now_ms), Broker(bus, service, settings)
    runner = MockFactoryRunner(bus, pool, now_ms)
    await until_done(mocks.load, "mocks_not_loaded")
    consume(broker, bus, MockDownlinks(mocks, sender, now_ms), settings)
    answer(broker, mocks, registrar, runner, settings, now_ms)
    async with beside(
        time=pass_time(world, sender),
        send=sender.run(),
        outbox=watch_outbox(bus, sender, world, settings.simulator_outbox_limit),
        save=keep_saved(mocks),
        register=registrar.run(),
        factory=runner.run(),
    ):
        async with broker.serving():
            await stop.wait()
        await save_at_end(mocks, sender)
