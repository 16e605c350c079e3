"""Every few seconds publishes owed events, takes late devices offline, retries or ends pushes, repairs the bucket."""

from datetime import datetime, timedelta

from kaiser_common.bus.connection import Bus
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import every

from kaiser_health import metrics
from kaiser_health.domain import outbox
from kaiser_health.domain.decode import Clock
from kaiser_health.domain.pushes import Push, overdue
from kaiser_health.publish import DeviceChanges, publish_owed
from kaiser_health.settings import HealthSettings
from kaiser_health.store import Connection, presence, pushes, registry
from kaiser_health.store.bucket import DevicesBucket


class LateSweep:
    """Takes silent devices offline, sends pushes again, and repairs the bucket."""

    def __init__(
        self, pool: DatabasePool, bus: Bus, bucket: DevicesBucket, settings: HealthSettings, clock: Clock
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._bucket = bucket
        self._settings = settings
        self._clock = clock
        self.listening_since = clock()
        """From here on a silence is the devices': before it, health or what it needs may have been away."""

    async def run(self) -> None:
        """Sweep every few seconds, until cancelled. Database or NATS away: silence counts from their return on."""
        every_s = self._settings.health_sweep_s
        await every(every_s, self.sweep, "sweep_postponed", delay_s=every_s, interrupted=self.listen_anew)

    def listen_anew(self) -> None:
        """Count silence from now on: database or bus were away, so messages may not have reached health."""
        self.listening_since = self._clock()

    async def sweep(self) -> None:
        """Publish what a killed process owed, then find devices that are late and pushes without an answer; one
        transaction."""
        await publish_owed(self._pool, self._bus)
        now = self._clock()
        changes = DeviceChanges()
        async with self._pool.connection() as connection:
            late = await presence.sweep(connection, now, self.listening_since, self._settings.heartbeat_timeout_s)
            for transition in late:
                changes.add_transition(transition, now)
            for push in await pushes.overdue(connection, now):
                await self._push_again(connection, push, now, changes)
            await changes.publish(connection, self._bus, self._bucket)
            await self._bucket.mend(connection)
            _count(await registry.counts(connection))
        if changes.owes:
            await publish_owed(self._pool, self._bus)

    async def _push_again(self, connection: Connection, push: Push, now: datetime, changes: DeviceChanges) -> None:
        timeout = timedelta(seconds=self._settings.push_timeout_s)
        silence = timedelta(seconds=self._settings.heartbeat_timeout_s)
        after = overdue(push, now, timeout, self._settings.push_tries, silence)
        if after.state != "pending":
            await changes.end_push(connection, after, now)
            return
        await pushes.update(connection, after)
        if after.tries > push.tries:
            changes.outbox.append(outbox.push_message(after, now, timeout.total_seconds()))


def _count(devices: dict[str, int]) -> None:
    for state, count in devices.items():
        if state == "online":
            metrics.DEVICES_ONLINE.set(count)
        else:
            metrics.DEVICES.labels(state).set(count)
