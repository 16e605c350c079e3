"""Stores the figures of heartbeats and sessions, ends zone pushes they confirm, acknowledges, publishes esp_health."""

import json
from collections import OrderedDict
from collections.abc import Container, Iterable, Mapping
from datetime import datetime, timedelta

import structlog
from kaiser_common.contract.schemas.device import Heartbeat, Session
from kaiser_common.contract.times import time_of

from kaiser_health import metrics
from kaiser_health.domain import events, outbox
from kaiser_health.domain.decode import zone_confirmed
from kaiser_health.domain.presence import generation_of
from kaiser_health.domain.pushes import answered
from kaiser_health.publish import DeviceChanges
from kaiser_health.settings import HealthSettings
from kaiser_health.store import Connection, presence, pushes
from kaiser_health.store.heartbeats import Beat, note_figures, note_pending_figures
from kaiser_health.store.presence import Known

log = structlog.get_logger()

_MOST_EPOCHS = 20_000

Reported = tuple[tuple[object, ...], datetime]
"""The status and figures of an esp_health, and when it was published."""


class Heartbeats:
    """Remembers the epoch of each announced session and the last esp_health of each device.

    Killed: both are forgotten. The next heartbeat is acknowledged with its own epoch, or with 1, and publishes an
    esp_health.
    """

    def __init__(self, settings: HealthSettings) -> None:
        self._event_every = timedelta(seconds=settings.health_event_s)
        self._reported: dict[str, Reported] = {}
        self._epochs: OrderedDict[str, int] = OrderedDict()

    def note_sessions(
        self, sessions: list[Session], known: Mapping[str, Known], now: datetime, changes: DeviceChanges
    ) -> None:
        """Remember the epoch of each session and acknowledge it, so that its device goes on without a heartbeat."""
        for session in sessions:
            self._epochs.pop(session.esp_id, None)
            self._epochs[session.esp_id] = max(1, session.handover_epoch)
            while len(self._epochs) > _MOST_EPOCHS:
                self._epochs.popitem(last=False)
            device = known.get(session.esp_id)
            if device is not None:
                epoch = self._epochs[session.esp_id]
                changes.outbox.append(
                    outbox.acknowledgement(device.kaiser_id, session, device.state, epoch, False, now)
                )

    async def note(
        self,
        connection: Connection,
        heartbeats: list[Heartbeat],
        known: Mapping[str, Known],
        now: datetime,
        changes: DeviceChanges,
    ) -> dict[str, Reported]:
        """Store figures, end zone pushes that are confirmed, acknowledge. Returns the argument of `remember`."""
        if not heartbeats:
            return {}
        metrics.HEARTBEATS.inc(len(heartbeats))
        # One of figures alone (metrics) stands for its device only where no other came with it.
        newest = {heartbeat.esp_id: heartbeat for heartbeat in sorted(heartbeats, key=lambda each: not each.metrics)}
        await _note_figures(connection, _of_state(heartbeats, known, "approved"), newest, now, changes)
        await note_pending_figures(connection, [to_beat(each) for each in _of_state(heartbeats, known, "pending")])
        await _note_generation_b(connection, heartbeats, known, changes)
        with_config = await _end_confirmed_zones(connection, newest, now, changes)
        return self._answer_and_report(newest, known, with_config, now, changes)

    def _answer_and_report(
        self,
        newest: Mapping[str, Heartbeat],
        known: Mapping[str, Known],
        with_config: Container[str],
        now: datetime,
        changes: DeviceChanges,
    ) -> dict[str, Reported]:
        """Acknowledge each device's heartbeat, and publish the figures that changed."""
        reported: dict[str, Reported] = {}
        for esp_id, heartbeat in newest.items():
            device = known.get(esp_id)
            if device is None:
                continue  # no place among the pending: an answer to each would fill the OUTBOX
            if not heartbeat.metrics:
                self._acknowledge(heartbeat, device, esp_id in with_config, now, changes)
            if device.state == "approved" and (figures := self._changed_figures(heartbeat, device, now)) is not None:
                reported[esp_id] = (figures, now)
                changes.events.append(
                    events.health_event(
                        device.kaiser_id,
                        esp_id,
                        device.online,
                        now,
                        heartbeat=heartbeat,
                        last_seen_at=device.last_seen_at,
                        generation=generation_of(heartbeat, device.generation),
                    )
                )
        return reported

    def remember(self, reported: Mapping[str, Reported]) -> None:
        """Note the esp_health events that are published and committed."""
        self._reported.update(reported)

    def _acknowledge(
        self, heartbeat: Heartbeat, device: Known, config_available: bool, now: datetime, changes: DeviceChanges
    ) -> None:
        epoch = heartbeat.active_handover_epoch or self._epochs.get(heartbeat.esp_id, 1)
        changes.outbox.append(
            outbox.acknowledgement(heartbeat.kaiser_id, heartbeat, device.state, epoch, config_available, now)
        )

    def _changed_figures(self, heartbeat: Heartbeat, device: Known, now: datetime) -> tuple[object, ...] | None:
        """Status and figures, where they changed since the last esp_health of the device or that is too long ago."""
        figures = (
            device.online,
            heartbeat.heap_free,
            heartbeat.wifi_rssi,
            heartbeat.sensor_count,
            heartbeat.actuator_count,
            heartbeat.firmware_version,
            generation_of(heartbeat, device.generation),
        )
        before, reported_at = self._reported.get(heartbeat.esp_id, (None, now))
        return None if figures == before and now - reported_at < self._event_every else figures


def _of_state(heartbeats: Iterable[Heartbeat], known: Mapping[str, Known], state: str) -> list[Heartbeat]:
    """The heartbeats of devices that the registry has in this state."""
    return [each for each in heartbeats if each.esp_id in known and known[each.esp_id].state == state]


async def _note_figures(
    connection: Connection,
    heartbeats: list[Heartbeat],
    newest: Mapping[str, Heartbeat],
    now: datetime,
    changes: DeviceChanges,
) -> None:
    """Store the figures of approved devices; a device that has rebooted is an event."""
    if not heartbeats:
        return
    for life in await note_figures(connection, [to_beat(heartbeat) for heartbeat in heartbeats]):
        changes.records.add(life.esp_id)
        if life.rebooted:
            log.info("device_rebooted", esp_id=life.esp_id)
            changes.events.append(events.reboot_event(life.esp_id, newest[life.esp_id], now))


async def _note_generation_b(
    connection: Connection, heartbeats: Iterable[Heartbeat], known: Mapping[str, Known], changes: DeviceChanges
) -> None:
    """Note the generation of devices that are not approved; `note_figures` notes that of the others."""
    of_b = {beat.esp_id for beat in heartbeats if beat.boot_sequence_id and beat.esp_id in known}
    before_approval = [each for each in of_b if known[each].state != "approved" and known[each].generation == "A"]
    changes.records.update(await presence.note_generation_b(connection, before_approval))


async def _end_confirmed_zones(
    connection: Connection, newest: Mapping[str, Heartbeat], now: datetime, changes: DeviceChanges
) -> set[str]:
    """End the pushes of zones that a heartbeat confirms. Returns the devices that have a configuration waiting."""
    waiting = await pushes.pending_of(connection, sorted(newest))
    for push in waiting:
        if push.kind == "zone" and (answer := zone_confirmed(push, newest[push.esp_id])) is not None:
            await changes.end_push(connection, answered(push, answer), now)
    return {push.esp_id for push in waiting if push.kind == "config"}


def to_beat(heartbeat: Heartbeat) -> Beat:
    """The figures of a heartbeat, seen when ingest received it."""
    return Beat(
        heartbeat.esp_id,
        time_of(heartbeat.received_at),
        heartbeat.uptime,
        heartbeat.heap_free,
        heartbeat.wifi_rssi,
        heartbeat.sensor_count,
        heartbeat.actuator_count,
        heartbeat.firmware_version,
        heartbeat.boot_sequence_id,
        heartbeat.wifi_ip,
        json.dumps(heartbeat.details) if heartbeat.details else None,
    )
