"""Handles device messages about the devices themselves, a batch in one transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.events import system_event
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.schemas.device import DeviceError, Will
from kaiser_common.contract.times import ms_of, time_of
from kaiser_common.runtime.consume import Unreadable
from kaiser_common.runtime.database import DatabasePool

from kaiser_health import metrics
from kaiser_health.consumers.answers import note_answers
from kaiser_health.consumers.heartbeats import Heartbeats
from kaiser_health.domain.decode import Clock, DeviceBatch, decode
from kaiser_health.domain.device_codes import meaning
from kaiser_health.domain.pending import PendingLimit
from kaiser_health.domain.presence import Transition, new_pending
from kaiser_health.domain.reports import report_event
from kaiser_health.publish import DeviceChanges, publish_owed
from kaiser_health.settings import HealthSettings
from kaiser_health.store import Connection, device_errors, presence
from kaiser_health.store.bucket import DevicesBucket
from kaiser_health.store.presence import Known

log = structlog.get_logger()


class DeviceMessages:
    """Processes the messages of the durable consumer `health`. Effects are published, then committed, then
    acknowledged: a batch that comes again publishes the same message ids and changes nothing in the tables. Events of a
    batch that brings a device online or takes it offline are committed first."""

    def __init__(
        self, pool: DatabasePool, bus: Bus, bucket: DevicesBucket, settings: HealthSettings, clock: Clock
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._bucket = bucket
        self._settings = settings
        self._clock = clock
        self._pending = PendingLimit(settings.pending_per_minute)
        self._heartbeats = Heartbeats(settings)

    async def on_messages(self, deliveries: Sequence[Delivery]) -> Unreadable:
        """Record which devices sent a message, then process the messages; returns the unreadable ones."""
        batch = decode(deliveries)
        now = self._clock()
        changes = DeviceChanges()
        async with self._pool.connection() as connection:
            known = await self._note_heard(connection, batch, now, changes)
            self._heartbeats.note_sessions(batch.sessions, known, now, changes)
            reported = await self._heartbeats.note(connection, batch.heartbeats, known, now, changes)
            for will in batch.wills:
                await _note_will(connection, will, now, changes)
            for error in batch.errors:
                await _note_error(connection, error, changes)
            changes.events += [event for each in batch.reports if (event := report_event(each, now)) is not None]
            await note_answers(connection, batch, now, changes)
            await changes.publish(connection, self._bus, self._bucket)
        self._heartbeats.remember(reported)
        if changes.owes:
            await publish_owed(self._pool, self._bus)
        return batch.unreadable

    async def _note_heard(
        self, connection: Connection, batch: DeviceBatch, now: datetime, changes: DeviceChanges
    ) -> dict[str, Known]:
        """The registered devices among the senders; unknown ones become pending while the list has room."""
        if not batch.heard:
            return {}
        timeout_s = self._settings.heartbeat_timeout_s
        if batch.sites:
            changes.records.update(await presence.adopt_sites(connection, batch.sites))
        known = await presence.note_heard(connection, batch.heard, now, timeout_s)
        changes.records.update(await presence.note_returns(connection, batch.returned))
        for device in known.values():
            if device.online and not device.was_online:
                transition = Transition(device.esp_id, device.kaiser_id, True, "heard", device.last_seen_at)
                changes.add_transition(transition, now)
        unknown = [(esp_id, site) for esp_id, site in batch.newcomers.items() if esp_id not in known]
        if unknown:
            again = {esp_id: batch.heard[esp_id] for esp_id, _ in unknown}
            await self._add_pending(connection, unknown, again, now, changes)
            known |= await presence.note_heard(connection, again, now, timeout_s)
        return known

    async def _add_pending(
        self,
        connection: Connection,
        unknown: list[tuple[str, str]],
        heard: Mapping[str, datetime],
        now: datetime,
        changes: DeviceChanges,
    ) -> None:
        pending = await presence.pending_count(connection)
        permitted = self._pending.permitted(now)
        places = new_pending(pending, self._settings.pending_max, permitted, len(unknown))
        added = await presence.add_pending(connection, unknown[:places], now)
        self._pending.used(len(added))
        metrics.PENDING_REFUSED.inc(len(unknown) - places)
        for esp_id in added:
            log.info("device_pending", esp_id=esp_id)
            text = f"{esp_id} is unknown and waits for approval"
            event_id = f"device_pending-{esp_id}-{heard[esp_id].timestamp()}"
            changes.events.append(system_event("device_pending", text, ms_of(now), esp_id=esp_id, event_id=event_id))
            changes.records.add(esp_id)


async def _note_will(connection: Connection, will: Will, now: datetime, changes: DeviceChanges) -> None:
    transition, counts = await presence.take_offline(
        connection,
        will.esp_id,
        time_of(will.ts),
        time_of(will.received_at),
        has_clock=will.clock == "device",
        retained=will.retained,
    )
    if not counts:
        metrics.WILLS_IGNORED.inc()
    if transition is not None:
        changes.add_transition(transition, now)


async def _note_error(connection: Connection, error: DeviceError, changes: DeviceChanges) -> None:
    digest = _text_digest(error)
    new = await device_errors.add(
        connection,
        error.esp_id,
        time_of(error.ts),
        error.error_code,
        error.severity,
        error.category,
        error.message,
        digest,
    )
    if not new:
        return
    metrics.DEVICE_ERRORS.labels(error.severity).inc()
    changes.events.append(
        system_event(
            "device_error",
            f"{error.esp_id}: {meaning(error.error_code, error.category)}: {error.message}",
            error.received_at,
            esp_id=error.esp_id,
            severity=error.severity,
            code=error.error_code,
            details={"error_code": error.error_code, "category": error.category, "note": error.message},
            event_id=f"device_error-{error.esp_id}-{error.ts}-{error.error_code}-{digest}",
        )
    )


def _text_digest(error: DeviceError) -> str:
    """Distinguishes errors of one code in one second of a device's clock; the same text twice is a duplicate."""
    text = f"{error.severity}\n{error.category}\n{error.message}"
    return blake2b(text.encode(), digest_size=8).hexdigest()
