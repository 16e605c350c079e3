"""The composition root of the simulator: one replica simulates, the others stand by."""

import asyncio
import time
from typing import Any

import structlog
from kaiser_common.bus import Bus, BusUnavailable, connect
from kaiser_common.consumer import Consumer
from kaiser_common.database import UNAVAILABLE, DatabasePool, open_pool, ping, wait_for_schema
from kaiser_common.lease import Grant, Lease
from kaiser_common.outside import DeadLetters
from kaiser_common.rpc import serve, tell_status
from kaiser_common.service import Service, run
from kaiser_common.subjects import SIMULATOR, SIMULATOR_LEASE_BUCKET
from nats.errors import Error as NatsError

from kaiser_simulator import metrics
from kaiser_simulator.api import MockApi
from kaiser_simulator.inbox import Inbox
from kaiser_simulator.mocks import Mocks
from kaiser_simulator.parts_api import PartsApi
from kaiser_simulator.patterns import installed_patterns
from kaiser_simulator.registrar import Registrar
from kaiser_simulator.sender import Sender, watch_outbox
from kaiser_simulator.settings import SimulatorSettings
from kaiser_simulator.world import World

log = structlog.get_logger()

_SHORTEST_SLEEP_S = 0.005
_LONGEST_SLEEP_S = 0.02
_SAVE_EVERY_S = 0.25
_RETRY_S = 1.0
_LAST_WORDS_S = 2.0
_LOST: tuple[type[Exception], ...] = (*UNAVAILABLE, BusUnavailable, TimeoutError)


def main() -> None:
    """Run the simulator until it is told to stop."""
    run("simulator", SimulatorSettings, work)


async def work(service: Service, settings: SimulatorSettings) -> None:
    """Simulate whenever the lease is ours. Killed: the next one goes on from the table within the lease's 3 s."""
    async with (
        connect(settings, "simulator") as bus,
        tell_status(bus, service),
        open_pool(settings, "simulator") as pool,
    ):
        service.check("nats", bus.round_trip)
        service.check("database", lambda: ping(pool))
        await wait_for_schema(pool, "simulator")
        lease = Lease(bus, "simulator", bucket=SIMULATOR_LEASE_BUCKET)
        while not service.stopping.is_set():
            acquiring = asyncio.create_task(lease.acquire(), name="lease")
            if not await _until(service, acquiring):
                acquiring.cancel()
                return
            await _hold(service, bus, pool, settings, lease, acquiring.result())


async def _hold(
    service: Service, bus: Bus, pool: DatabasePool, settings: SimulatorSettings, lease: Lease, grant: Grant
) -> None:
    """Simulate until the lease is lost or the service is told to stop."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(lease.keep(grant), name="lease")
        simulating = tasks.create_task(_simulate(service, bus, pool, settings, stop), name="simulate")
        if await _until(service, keeping):
            log.error("lease_lost", reason=keeping.result(), next="standing still, waiting for the lease")
            simulating.cancel()
        stop.set()
        await asyncio.wait([simulating])
        keeping.cancel()
    if service.stopping.is_set():
        await lease.release(grant)


async def _simulate(
    service: Service, bus: Bus, pool: DatabasePool, settings: SimulatorSettings, stop: asyncio.Event
) -> None:
    """Take the mocks from the table, then let them live, hear and be asked about."""
    sender = Sender(bus)
    world = World(installed_patterns(), bus.message_id())
    mocks = Mocks(pool, world, sender, now_ms)
    registrar = Registrar(bus, pool, mocks, now_ms)
    await _load(mocks)
    api = MockApi(mocks, registrar, now_ms, settings.simulator_mocks_max)
    methods = {**api.methods(), **PartsApi(mocks, now_ms).methods()}
    inbox = Inbox(mocks, sender, now_ms)
    async with (
        Consumer(bus, SIMULATOR, max_messages=settings.simulator_batch).open() as consumer,
        serve(bus, "simulator", methods, unavailable=(*UNAVAILABLE, NatsError)),
        asyncio.TaskGroup() as tasks,
    ):
        background = [
            tasks.create_task(each, name=name)
            for name, each in {
                "time": pass_time(world, sender),
                "send": sender.run(),
                "outbox": watch_outbox(bus, sender, world, settings.simulator_outbox_limit),
                "save": keep_saved(mocks),
                "register": registrar.run(),
                "hear": inbox.run(consumer, DeadLetters(bus, service, settings)),
            }.items()
        ]
        await stop.wait()
        consumer.stop()
        await _last_words(mocks, sender)
        for task in background:
            task.cancel()


async def pass_time(world: World, sender: Sender) -> None:
    """Let the mocks do what is due, for ever."""
    while True:
        now = now_ms()
        world.tick(now)
        sender.add(world.take())
        due = world.next_due()
        left_s = _LONGEST_SLEEP_S if due is None else (due - now_ms()) / 1000
        await asyncio.sleep(min(max(left_s, _SHORTEST_SLEEP_S), _LONGEST_SLEEP_S))


async def keep_saved(mocks: Mocks) -> None:
    """Write what mocks did by themselves, four times a second, for ever. Database away: with the next round."""
    while True:
        await asyncio.sleep(_SAVE_EVERY_S)
        running = sum(device.life.running for device in mocks.world)
        metrics.MOCKS.labels("yes").set(running)
        metrics.MOCKS.labels("no").set(len(mocks.world) - running)
        try:
            await mocks.save_changed()
        except UNAVAILABLE as error:
            log.warning("mocks_not_saved", error=(str(error) or type(error).__name__).splitlines()[0])
            await asyncio.sleep(_RETRY_S)


async def _load(mocks: Mocks) -> None:
    while True:
        try:
            count = await mocks.load()
        except UNAVAILABLE as error:
            log.warning("mocks_not_loaded", error=(str(error) or type(error).__name__).splitlines()[0])
            await asyncio.sleep(_RETRY_S)
        else:
            log.info("mocks_loaded", count=count)
            return


async def _last_words(mocks: Mocks, sender: Sender) -> None:
    """Save and send what is at hand; what cannot be within two seconds is left."""
    try:
        async with asyncio.timeout(_LAST_WORDS_S):
            await mocks.save_changed()
            await sender.until_sent(_LAST_WORDS_S)
    except _LOST as error:
        log.warning("last_words_lost", error=(str(error) or type(error).__name__).splitlines()[0])


def now_ms() -> int:
    """The clock of the service."""
    return time.time_ns() // 1_000_000


async def _until(service: Service, task: "asyncio.Task[Any]") -> bool:
    """Wait for the task or for the signal to stop; True if the task is done. It is not cancelled."""
    stopping = asyncio.create_task(service.stopping.wait())
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    return task.done()
