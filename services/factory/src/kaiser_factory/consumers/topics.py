"""Builds the live state from TOPICS: the last value of each topic first, then every message; needs no database.

Killed, or NATS unavailable: the state is rebuilt from the last values. It contains all changes made in between, but no
events are published for them; a viewer gets the rows as they are then.
"""

from collections.abc import Callable

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.subjects import TOPICS
from kaiser_common.runtime.clock import now_ms
from kaiser_factory_dialect.kept_messages import head_of, stored_arrival

from kaiser_factory import metrics, publish
from kaiser_factory.domain.live import VALUES, Changes, FactoryState

log = structlog.get_logger()

_UNUSED_S = 1.0
"""TOPICS has 32 consumers at most, and a start may look for the last value of more topics than that."""


class TopicsReader:
    """Keeps the live state of one environment, until cancelled."""

    def __init__(
        self,
        bus: Bus,
        environment: FactoryEnvironment,
        interfaces: tuple[str, ...],
        on_ready: Callable[[FactoryState], None],
    ) -> None:
        self._bus = bus
        self._environment = environment
        self._interfaces = interfaces
        self._on_ready = on_ready

    async def run(self) -> None:
        """Read the last values, say that the state is ready, and follow; from the beginning after a gap."""
        reader = OrderedReader(self._bus, TOPICS.name, [f"topic.{self._environment.env}.>"], last_per_subject=True)
        restarts, live, loading = -1, FactoryState(self._environment, self._interfaces), True
        async for batch in reader:
            if reader.restarts != restarts:
                restarts, live, loading = reader.restarts, FactoryState(self._environment, self._interfaces), True
            changes = Changes()
            for delivery in batch:
                await self._take(live, delivery, changes, first=loading)
            if loading and (not batch or batch[-1].pending == 0):
                loading = False
                changes = Changes(orders=set(live.factory.orders), stores=set(live.factory.stock), all_serials=True)
                log.info("factory_state_ready", env=self._environment.env, machines=len(live.factory.machines))
                self._on_ready(live)
            if not loading:
                await self._publish(live, changes)

    async def _take(self, live: FactoryState, delivery: Delivery, changes: Changes, *, first: bool) -> None:
        head = head_of(delivery)
        if self._is_of_before(head.epoch):
            return
        if first and head.word not in VALUES:
            last = await self._last_value(delivery)
            if last is None:
                return
            delivery, head = last, head_of(last)
        live.take(stored_arrival(delivery, head), head.word, changes, first=first)

    def _is_of_before(self, epoch: int) -> bool:
        """A mock factory and a replay begin with an empty state: only messages of the epoch in force count there."""
        return self._environment.kind != "live" and epoch != self._environment.epoch

    async def _last_value(self, rejected: Delivery) -> Delivery | None:
        """The newest message of a topic that was read, where its last one was not; None: none is kept."""
        reader = OrderedReader(self._bus, TOPICS.name, [rejected.subject], start_sequence=1, unused_s=_UNUSED_S)
        found: Delivery | None = None
        async for batch in reader:
            for each in batch:
                if head_of(each).word in VALUES:
                    found = each
            if not batch or batch[-1].pending == 0:
                reader.stop()
                break
        return found

    async def _publish(self, live: FactoryState, changes: Changes) -> None:
        if await publish.news(self._bus, live, changes, now_ms()) and changes.received_at:
            metrics.EVENT_SECONDS.observe(max(0, now_ms() - changes.received_at) / 1000)
