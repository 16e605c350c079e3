"""The composition root of the logic service: the holder of the lease evaluates and answers, the others stand by."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog
from kaiser_common.bus import Bus, connect, end_if_cancelled
from kaiser_common.consumer import Consumer
from kaiser_common.database import (
    UNAVAILABLE,
    DatabasePool,
    drop_rows_before,
    open_pool,
    ping,
    wait_for_schema,
)
from kaiser_common.lease import Grant, Lease
from kaiser_common.outside import DeadLetters
from kaiser_common.rpc import serve, tell_status
from kaiser_common.service import Service, run
from kaiser_common.subjects import LEASE_BUCKET, LOGIC_STORE
from nats.errors import Error as NatsError

from kaiser_logic import metrics
from kaiser_logic.api import LogicApi
from kaiser_logic.book import RuleBook
from kaiser_logic.evaluator import Evaluator, now_ms
from kaiser_logic.settings import LogicSettings
from kaiser_logic.state_store import UNREACHABLE, Fenced, StateStore
from kaiser_logic.storing import Storing
from kaiser_logic.telling import Telling
from kaiser_logic.webhooks import Webhooks

log = structlog.get_logger()

_UPKEEP_EVERY_S = 3600.0
_RETRY_S = 1.0
_DATABASE_WITHIN_S = 3.0
"""Less than who asks waits, so that he hears that it is the database."""


def main() -> None:
    """Run the logic service until it is told to stop."""
    run("logic", LogicSettings, work)


async def work(service: Service, settings: LogicSettings) -> None:
    """Store what rules did; evaluate whenever the lease is ours. The database is needed for neither to begin."""
    async with (
        connect(settings, "logic") as bus,
        tell_status(bus, service),
        open_pool(settings, "logic", timeout_s=_DATABASE_WITHIN_S) as pool,
        Webhooks.open(
            settings.logic_webhook_hosts, settings.logic_webhook_timeout_s, settings.logic_webhook_networks
        ) as webhooks,
        asyncio.TaskGroup() as tasks,
    ):
        service.check("nats", bus.round_trip)
        service.check("database", lambda: ping(pool))
        book, telling = RuleBook(bus), Telling(bus)
        holder = Holder(bus, pool, book, telling, webhooks, settings)
        background = [
            tasks.create_task(each, name=name)
            for name, each in {
                "rules": book.keep(),
                "telling": telling.run(),
                "storing": keep_storing(service, settings, bus, pool),
                "upkeep": keep_up(pool, settings.logic_retention_days),
            }.items()
        ]
        holding = tasks.create_task(holder.run(), name="holder")
        await service.stopping.wait()
        for task in (holding, *background):
            task.cancel()


class Holder:
    """Runs what only one replica may run."""

    def __init__(
        self,
        bus: Bus,
        pool: DatabasePool,
        book: RuleBook,
        telling: Telling,
        webhooks: Webhooks,
        settings: LogicSettings,
    ) -> None:
        self._bus = bus
        self._pool = pool
        self._book = book
        self._telling = telling
        self._webhooks = webhooks
        self._settings = settings
        self._lease = Lease(bus, "logic", LEASE_BUCKET.ttl_s or 5.0)

    async def run(self) -> None:
        """Take the lease, evaluate until it is lost, and again, for ever. Cancelled: the lease is given back."""
        await self._book.ready()
        while True:
            grant = await self._lease.acquire()
            try:
                await self._hold(grant)
            finally:
                await self._lease.release(grant)

    async def _hold(self, grant: Grant) -> None:
        """Evaluate and answer until the lease is lost."""
        keeping = asyncio.create_task(self._lease.keep(grant), name="lease")
        evaluating = asyncio.create_task(self.evaluate(), name="evaluator")
        try:
            await asyncio.wait([keeping, evaluating], return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                log.error("lease_lost", reason=keeping.result(), next="stopped evaluating, waiting for the lease")
        finally:
            for task in (keeping, evaluating):
                task.cancel()
            await asyncio.wait([keeping, evaluating])
        if not evaluating.cancelled():
            evaluating.result()

    async def evaluate(self) -> None:
        """Evaluate, and answer meanwhile; after another replica has written a state, begin again with what it wrote.

        Each time in a task of its own: of a group that waits for its tasks when one fails, Python 3.11 leaves the task
        around it marked as cancelled.
        """
        while True:
            end_if_cancelled()
            attempt = asyncio.create_task(self._evaluate_once(), name="evaluation")
            try:
                await asyncio.wait([attempt])
            finally:
                attempt.cancel()
                await asyncio.gather(attempt, return_exceptions=True)  # raised below, unless we are cancelled
            try:
                attempt.result()
            except* Fenced as group:
                metrics.FENCED.inc()
                log.warning("evaluation_fenced", reason=_first(group), retry_s=_RETRY_S)
            except* UNREACHABLE as group:
                log.warning("evaluation_not_begun", error=_first(group), retry_s=_RETRY_S)
            await asyncio.sleep(_RETRY_S)

    async def _evaluate_once(self) -> None:
        evaluator = Evaluator(self._bus, self._book, self._telling, self._webhooks, self._settings)
        api = LogicApi(self._pool, self._bus, evaluator.test, now_ms, self._settings.logic_rules_max)
        states = await StateStore.open(self._bus)
        async with (
            serve(self._bus, "logic", api.methods(), unavailable=(*UNAVAILABLE, NatsError)),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(self._mend(api), name="mend")
            await evaluator.run(states)

    async def _mend(self, api: LogicApi) -> None:
        await wait_for_schema(self._pool, "logic")
        await api.keep_mending()


async def keep_storing(service: Service, settings: LogicSettings, bus: Bus, pool: DatabasePool) -> None:
    """Write what rules did, in every replica, for ever."""
    await wait_for_schema(pool, "logic")
    async with Consumer(bus, LOGIC_STORE, max_messages=500).open() as consumer:
        await Storing(pool).run(consumer, DeadLetters(bus, service, settings))


async def keep_up(pool: DatabasePool, retention_days: int) -> None:
    """Let old executions go, every hour; the database away: again in a second."""
    await wait_for_schema(pool, "logic")
    while True:
        before = datetime.now(UTC) - timedelta(days=retention_days)
        try:
            async with pool.connection() as connection:
                await drop_rows_before(connection, "logic.executions", "started_at", before)
        except UNAVAILABLE as error:
            log.warning("upkeep_postponed", error=str(error).splitlines()[0])
            await asyncio.sleep(_RETRY_S)
        else:
            await asyncio.sleep(_UPKEEP_EVERY_S)


def _first(error: BaseException) -> str:
    """The first exception of a group in words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
