"""TOPICS to the live state: the last value of each topic, then every message; no database is needed.

Killed, or NATS unavailable: the state is rebuilt from the last values. It contains all changes made meanwhile, but no
events are published for them; a viewer gets the rows as they are then.
"""

import time
from collections.abc import Callable, Mapping

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.subjects import TOPICS
from kaiser_factory_dialect.reading import Arrival
from kaiser_factory_dialect.subjects import topic_of

from kaiser_factory import metrics, publish
from kaiser_factory.domain.live import VALUES, Changes, FactoryState

log = structlog.get_logger()


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
                changes.all_serials = True
                changes.orders.update(live.factory.orders)
                changes.stores.update(live.factory.stock)
                log.info("factory_state_ready", env=self._environment.env, machines=len(live.factory.machines))
                self._on_ready(live)
            if not loading:
                await self._publish(live, changes)

    async def _take(self, live: FactoryState, delivery: Delivery, changes: Changes, *, first: bool) -> None:
        headers = delivery.headers
        verdict = headers.get("Kaiser-Verdict", "")
        if self._is_of_before(headers.get("Kaiser-Epoch", "")):
            return
        if first and verdict not in VALUES:
            last = await self._last_value(delivery)
            if last is None:
                return
            delivery, headers = last, last.headers
            verdict = headers["Kaiser-Verdict"]
        live.take(arrival_of(delivery, headers), verdict, changes, first=first)

    def _is_of_before(self, epoch: str) -> bool:
        """A mock factory and a replay begin with an empty state: only messages of the epoch in force count there."""
        return self._environment.kind != "live" and epoch != str(self._environment.epoch)

    async def _last_value(self, rejected: Delivery) -> Delivery | None:
        """The newest message of a topic that was read, where its last one was not; None: none is kept."""
        reader = OrderedReader(self._bus, TOPICS.name, [rejected.subject], start_sequence=1)
        found: Delivery | None = None
        async for batch in reader:
            for each in batch:
                if each.headers.get("Kaiser-Verdict") in VALUES:
                    found = each
            if not batch or batch[-1].pending == 0:
                reader.stop()
                break
        return found

    async def _publish(self, live: FactoryState, changes: Changes) -> None:
        now = time.time_ns() // 1_000_000
        if not await publish.events(self._bus, live.news(changes, now)):
            live.forget_published()
        elif changes.received_at:
            metrics.EVENT_SECONDS.observe(max(0, time.time_ns() // 1_000_000 - changes.received_at) / 1000)


def arrival_of(delivery: Delivery, headers: Mapping[str, str]) -> Arrival:
    """A message of TOPICS as ingest received it."""
    env, topic = topic_of(delivery.subject)
    return Arrival(
        topic=topic,
        payload=delivery.body,
        received_at=_number(headers.get("Kaiser-Received-At", "")) // 1_000_000 or delivery.timestamp_ns // 1_000_000,
        qos=_number(headers.get("Mqtt-Qos", "")),
        retained=headers.get("Mqtt-Retain") == "1",
        env=env,
        epoch=_number(headers.get("Kaiser-Epoch", "")),
        own=headers.get("Kaiser-Own") == "1",
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
