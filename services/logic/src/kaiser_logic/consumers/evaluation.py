"""The work of the lease holder: it evaluates rules and answers requests about them."""

import asyncio
from collections.abc import Callable

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.mirror import Mirror
from kaiser_common.contract.subjects import DEVICES_BUCKET
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.database import DatabasePool, wait_for_schema
from kaiser_common.runtime.loops import beside, until_done
from kaiser_common.runtime.service import Service

from kaiser_logic import metrics
from kaiser_logic.api.rules import LogicApi
from kaiser_logic.consumers.evaluator import Evaluator
from kaiser_logic.domain.readings import Away
from kaiser_logic.publish.events import EventPublisher
from kaiser_logic.publish.webhooks import Webhooks
from kaiser_logic.settings import LogicSettings
from kaiser_logic.store.presence import presence
from kaiser_logic.store.rule_cache import RuleCache
from kaiser_logic.store.states import UNREACHABLE, Fenced, StateStore

log = structlog.get_logger()

_RETRY_S = 1.0


class EvaluationHolder:
    """Evaluates rules, beginning again whenever another process has written a state."""

    def __init__(
        self,
        service: Service,
        bus: Bus,
        pool: DatabasePool,
        rule_cache: RuleCache,
        publisher: EventPublisher,
        webhooks: Webhooks,
        new_broker: Callable[[], Broker],
        answer: Callable[[Broker, LogicApi], None],
        settings: LogicSettings,
    ) -> None:
        self._service = service
        self._bus = bus
        self._pool = pool
        self._rule_cache = rule_cache
        self._publisher = publisher
        self._webhooks = webhooks
        self._settings = settings
        self._new_broker = new_broker
        self._answer = answer
        """Of handlers.py."""

    async def until(self, stop: asyncio.Event) -> None:
        """Evaluate until the event is set."""
        async with beside(evaluator=self.evaluate()):
            await stop.wait()

    async def evaluate(self) -> None:
        """Answer requests, and evaluate once the registry was read: until then /readyz is 503 and names its bucket, and
        a dry run is 503. After another replica has written a state, begin again with what it wrote.

        Each time in a task of its own: of a group that waits for its tasks when one fails, Python 3.11 leaves the task
        around it marked as cancelled.
        """
        away = presence(self._bus)
        with self._service.checking(f"bucket {DEVICES_BUCKET.name}", away.check):
            async with beside(devices=away.keep()):
                while True:
                    await self._attempt(away)
                    await asyncio.sleep(_RETRY_S)

    async def _attempt(self, away: Mirror[Away]) -> None:
        attempt = asyncio.create_task(self._evaluate_once(away), name="evaluation")
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

    async def _evaluate_once(self, away: Mirror[Away]) -> None:
        evaluator = Evaluator(self._bus, self._rule_cache, self._publisher, self._webhooks, self._settings, away)
        api = LogicApi(
            self._pool, self._bus, evaluator.test, evaluator.test_settings, now_ms, self._settings.logic_rules_max
        )
        states = await StateStore.open(self._bus)
        broker = self._new_broker()
        self._answer(broker, api)
        async with (
            broker.serving(),
            beside(mend=self._mend(api)),
        ):
            await until_done(away.ready, "devices_not_read_yet")
            await evaluator.run(states)

    async def _mend(self, api: LogicApi) -> None:
        await wait_for_schema(self._pool, "logic")
        await api.keep_mending()


def _first(error: BaseException) -> str:
    """The first exception of a group in words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__
