"""Publishes the results of a transaction.

Messages to devices, bucket records and events are published before the commit. If a device came online or went offline
in the transaction, its events are published after the commit, so that no event reports a change that was not committed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

import structlog
from kaiser_common.bus.connection import Bus, Outgoing
from kaiser_common.runtime.database import DatabasePool

from kaiser_health import metrics
from kaiser_health.domain import events
from kaiser_health.domain.presence import Transition
from kaiser_health.domain.pushes import Push
from kaiser_health.store import Connection, owed, pushes, registry
from kaiser_health.store.bucket import DevicesBucket

log = structlog.get_logger()

_OWED_AT_ONCE = 1000


@dataclass(slots=True)
class DeviceChanges:
    """A unit of work. Killed between `publish` and the commit: the messages come again, and are published again under
    the same ids. A transition may not come again, as a device that was late is heard by the next process: its events
    are owed by the transaction (`publish_owed`)."""

    events: list[Outgoing] = field(default_factory=list)
    outbox: list[Outgoing] = field(default_factory=list)
    records: set[str] = field(default_factory=set)
    """Devices whose record in the bucket has to be written."""
    owes: bool = False
    """Whether the events are published after the commit, all of them, so that they keep their order."""

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
        self.owes = True

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
        """Publish while the transaction is open, or owe the events. NATS refuses: nothing is committed, all comes
        again."""
        if self.owes:
            await owed.add(connection, self.events)
        else:
            await bus.publish_batch(self.events)
        await bus.publish_batch(self.outbox)
        if self.records:
            await bucket.put_all(await registry.read_all(connection, self.records))


async def publish_owed(pool: DatabasePool, bus: Bus) -> None:
    """Publish the events that committed transactions owe, in order. Killed or NATS away: the next sweep publishes them,
    those that EVENTS has already under the same ids."""
    while True:
        async with pool.connection() as connection:
            ids, events = await owed.oldest(connection, _OWED_AT_ONCE)
            await bus.publish_batch(events)
            await owed.remove(connection, ids)
        if len(ids) < _OWED_AT_ONCE:
            return
