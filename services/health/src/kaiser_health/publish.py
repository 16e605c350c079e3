"""Publishes the results of a transaction before its commit: events, messages to devices, records of the bucket."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

import structlog
from kaiser_common.bus.connection import Bus, Outgoing

from kaiser_health import metrics
from kaiser_health.domain import events
from kaiser_health.domain.presence import Transition
from kaiser_health.domain.pushes import Push
from kaiser_health.store import Connection, pushes, registry
from kaiser_health.store.bucket import DevicesBucket

log = structlog.get_logger()


@dataclass(slots=True)
class DeviceChanges:
    """A unit of work. Killed between `publish` and the commit: the messages come again, and are published again under
    the same ids."""

    events: list[Outgoing] = field(default_factory=list)
    outbox: list[Outgoing] = field(default_factory=list)
    records: set[str] = field(default_factory=set)
    """Devices whose record in the bucket has to be written."""

    def add_transition(self, transition: Transition, now: datetime) -> None:
        """A device came online or went offline."""
        metrics.TRANSITIONS.labels("online" if transition.online else "offline", transition.reason).inc()
        log.info("device_transition", esp_id=transition.esp_id, online=transition.online, reason=transition.reason)
        self.events.append(events.transition_event(transition, now))
        self.events.append(
            events.health_event(
                transition.kaiser_id, transition.esp_id, transition.online, now, last_seen_at=transition.last_seen_at
            )
        )
        self.records.add(transition.esp_id)

    async def end_push(
        self,
        connection: Connection,
        push: Push,
        now: datetime,
        details: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Store how a push ended, and what follows from it. details: what the device answered to a command."""
        if await pushes.end(connection, push):
            self.records.add(push.esp_id)
        metrics.PUSHES.labels(push.kind, push.state).inc()
        self.events.append(events.push_event(push, now, details))

    async def publish(self, connection: Connection, bus: Bus, bucket: DevicesBucket) -> None:
        """Publish everything while the transaction is open. NATS refuses: nothing is committed, all comes again."""
        await bus.publish_batch(self.events)
        await bus.publish_batch(self.outbox)
        if self.records:
            await bucket.put_all(await registry.read_all(connection, self.records))
