"""What devices say about themselves, a batch in one transaction."""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Literal

import structlog
from kaiser_common.bus import Bus, Outgoing
from kaiser_common.consumer import Consumer
from kaiser_common.database import DatabasePool
from kaiser_common.outside import DeadLetters, Unreadable, take
from kaiser_common.pull import Delivery
from kaiser_common.rpc import Caller
from kaiser_common.schemas.device import DeviceError, Heartbeat, Intent, ScanResult, Will

from kaiser_health import audit, metrics, outgoing, presence_store, push_store, store
from kaiser_health.bucket import DevicesBucket
from kaiser_health.decode import Batch, Clock, decode, time_of
from kaiser_health.device_codes import meaning
from kaiser_health.downlink import SCAN
from kaiser_health.limits import PendingLimit
from kaiser_health.presence import Transition, new_pending
from kaiser_health.presence_store import Beat, Connection, Known
from kaiser_health.pushes import Answer, Push, answered, match, sets_token
from kaiser_health.pushes import overdue as overdue_push
from kaiser_health.settings import HealthSettings

log = structlog.get_logger()

_MOST_EPOCHS = 20_000
_SCAN_TAKES = timedelta(seconds=60)
_DEVICE = Caller(user="device", role="device", request_id="")


@dataclass(slots=True)
class Told:
    """What is to be published before the commit; killed in between, it is published again."""

    events: list[Outgoing] = field(default_factory=list)
    outbox: list[Outgoing] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    """Devices whose record in the bucket has to be written."""
    figures: dict[str, tuple[tuple[object, ...], datetime]] = field(default_factory=dict)
    """What an esp_health says of a device, and when: remembered once it is told."""


class Inbox:
    """Takes the durable consumer's messages. Effects are published, then committed, then acknowledged: a batch that
    comes again repeats what it told with the same message ids and changes nothing in the tables."""

    def __init__(
        self, pool: DatabasePool, bus: Bus, bucket: DevicesBucket, settings: HealthSettings, clock: Clock
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._bucket = bucket
        self._settings = settings
        self._clock = clock
        self._pending = PendingLimit(settings.pending_per_minute)
        self._last_events: dict[str, tuple[tuple[object, ...], datetime]] = {}
        self._epochs: OrderedDict[str, int] = OrderedDict()
        self.listening_since = clock()
        """Since when silence is the devices' and not ours."""

    async def run(self, consumer: Consumer, letters: DeadLetters) -> None:
        """Take batches until the consumer is stopped. Database or NATS away: the batch comes again in a second."""
        await take(consumer, self.on_messages, letters, postponed=self.listen_anew)

    def listen_anew(self) -> None:
        """Count silence from now on: until now it may have been ours."""
        self.listening_since = self._clock()

    async def on_messages(self, deliveries: Sequence[Delivery]) -> Unreadable:
        """Note who was heard, then what was said; what cannot be read."""
        batch = decode(deliveries)
        now = self._clock()
        told = Told()
        async with self._pool.connection() as connection:
            known = await self._note_heard(connection, batch, now, told)
            self._note_sessions(batch, known, now, told)
            await self._note_heartbeats(connection, batch.heartbeats, known, now, told)
            for will in batch.wills:
                await self._note_will(connection, will, now, told)
            for error in batch.errors:
                await self._note_error(connection, error, told)
            await self._note_answers(connection, batch, now, told)
            await self._tell(connection, told)
        self._last_events |= told.figures
        return batch.unreadable

    async def _note_heard(self, connection: Connection, batch: Batch, now: datetime, told: Told) -> dict[str, Known]:
        """Who is known of those that were heard; newcomers among them are pending from now on."""
        if not batch.heard:
            return {}
        timeout_s = self._settings.heartbeat_timeout_s
        if batch.sites:
            told.changed.update(await presence_store.adopt_sites(connection, batch.sites))
        known = await presence_store.note_heard(connection, batch.heard, now, timeout_s)
        told.changed.update(await presence_store.note_returns(connection, batch.returned))
        for device in known.values():
            if device.online and not device.was_online:
                transition = Transition(device.esp_id, device.kaiser_id, True, "heard", device.last_seen_at)
                self._tell_transition(transition, now, told)
        strangers = [(esp_id, site) for esp_id, site in batch.newcomers.items() if esp_id not in known]
        if strangers:
            again = {esp_id: batch.heard[esp_id] for esp_id, _ in strangers}
            await self._add_pending(connection, strangers, again, now, told)
            known |= await presence_store.note_heard(connection, again, now, timeout_s)
        return known

    async def _add_pending(
        self,
        connection: Connection,
        strangers: list[tuple[str, str]],
        heard: Mapping[str, datetime],
        now: datetime,
        told: Told,
    ) -> None:
        pending = await presence_store.pending_count(connection)
        permitted = self._pending.permitted(now)
        places = new_pending(pending, self._settings.pending_max, permitted, len(strangers))
        added = await presence_store.add_pending(connection, strangers[:places], now)
        self._pending.used(len(added))
        metrics.PENDING_REFUSED.inc(len(strangers) - places)
        for esp_id in added:
            log.info("device_pending", esp_id=esp_id)
            text = f"{esp_id} is unknown and waits for approval"
            event_id = f"device_pending-{esp_id}-{heard[esp_id].timestamp()}"
            event = outgoing.system_event("device_pending", text, now, esp_id=esp_id, event_id=event_id)
            told.events.append(event)
            told.changed.add(esp_id)

    async def _note_heartbeats(
        self, connection: Connection, heartbeats: list[Heartbeat], known: dict[str, Known], now: datetime, told: Told
    ) -> None:
        if not heartbeats:
            return
        approved = [beat for beat in heartbeats if beat.esp_id in known and known[beat.esp_id].state == "approved"]
        metrics.HEARTBEATS.inc(len(heartbeats))
        # One of figures alone (metrics) stands for its device only where no other came with it.
        newest = {heartbeat.esp_id: heartbeat for heartbeat in sorted(heartbeats, key=lambda each: not each.metrics)}
        if approved:
            lives = await presence_store.note_figures(connection, [to_beat(heartbeat) for heartbeat in approved])
            for life in lives:
                told.changed.add(life.esp_id)
                if life.rebooted:
                    log.info("device_rebooted", esp_id=life.esp_id)
                    told.events.append(outgoing.reboot_event(life.esp_id, newest[life.esp_id], now))
        waiting = await push_store.pending_of(connection, sorted(newest))
        with_config = {push.esp_id for push in waiting if push.kind == "config"}
        for push in waiting:
            if push.kind == "zone" and (answer := zone_confirmed(push, newest[push.esp_id])) is not None:
                await self._end_push(connection, answered(push, answer), now, told)
        for esp_id, heartbeat in newest.items():
            device = known.get(esp_id)
            if device is None:
                continue  # no place among the pending: an answer to each would fill the OUTBOX
            if not heartbeat.metrics:
                epoch = heartbeat.active_handover_epoch or self._epochs.get(esp_id, 1)
                site = heartbeat.kaiser_id
                told.outbox.append(
                    outgoing.acknowledgement(site, heartbeat, device.state, epoch, esp_id in with_config, now)
                )
            if device.state == "approved" and self._is_news(heartbeat, device, now, told):
                told.events.append(
                    outgoing.health_event(
                        device.kaiser_id,
                        esp_id,
                        device.online,
                        now,
                        heartbeat=heartbeat,
                        last_seen_at=device.last_seen_at,
                        generation=generation_of(heartbeat, device),
                    )
                )

    def _note_sessions(self, batch: Batch, known: dict[str, Known], now: datetime, told: Told) -> None:
        """Remember the epoch of an announced session and acknowledge it, so that the device goes on at once.

        Killed: the epochs are forgotten, and the next heartbeat is acknowledged with its own, or with 1.
        """
        for session in batch.sessions:
            self._epochs.pop(session.esp_id, None)
            self._epochs[session.esp_id] = max(1, session.handover_epoch)
            while len(self._epochs) > _MOST_EPOCHS:
                self._epochs.popitem(last=False)
            device = known.get(session.esp_id)
            if device is not None:
                epoch = self._epochs[session.esp_id]
                told.outbox.append(outgoing.acknowledgement(device.kaiser_id, session, device.state, epoch, False, now))

    def _is_news(self, heartbeat: Heartbeat, device: Known, now: datetime, told: Told) -> bool:
        """Whether status or figures changed since the last event, or that one is too long ago."""
        figures = (
            device.online,
            heartbeat.heap_free,
            heartbeat.wifi_rssi,
            heartbeat.sensor_count,
            heartbeat.actuator_count,
            heartbeat.firmware_version,
            generation_of(heartbeat, device),
        )
        before, told_at = self._last_events.get(heartbeat.esp_id, (None, now))
        if figures == before and now - told_at < timedelta(seconds=self._settings.health_event_s):
            return False
        told.figures[heartbeat.esp_id] = (figures, now)
        return True

    async def _note_will(self, connection: Connection, will: Will, now: datetime, told: Told) -> None:
        transition, counts = await presence_store.take_offline(
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
            self._tell_transition(transition, now, told)

    async def _note_error(self, connection: Connection, error: DeviceError, told: Told) -> None:
        digest = _text_digest(error)
        new = await presence_store.add_error(
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
        told.events.append(
            outgoing.system_event(
                "device_error",
                f"{error.esp_id}: {meaning(error.error_code, error.category)}: {error.message}",
                time_of(error.received_at),
                esp_id=error.esp_id,
                severity=error.severity,
                code=error.error_code,
                details={"error_code": error.error_code, "category": error.category},
                event_id=f"device_error-{error.esp_id}-{error.ts}-{error.error_code}-{digest}",
            )
        )

    async def _note_answers(self, connection: Connection, batch: Batch, now: datetime, told: Told) -> None:
        told.events += [outgoing.intent_event(each, now) for each in batch.lifecycle]
        if not batch.answers:
            return
        esp_ids = {answer.esp_id for answer, _ in batch.answers}
        push_ids = {answer.push_id for answer, _ in batch.answers if answer.push_id}
        found = await push_store.concerned(connection, sorted(esp_ids), sorted(push_ids))
        pushes = {push.push_id: push for push in found}
        for answer, message in batch.answers:
            push = match(pushes.values(), answer)
            if isinstance(message, ScanResult):
                await self._tell_scan(connection, message, push, now, told)
            if push is None:
                log.info("answer_without_push", esp_id=answer.esp_id, kind=answer.kind, push_id=answer.push_id)
                if isinstance(message, Intent):
                    told.events.append(outgoing.intent_event(message, now))
                continue
            after = answered(push, answer)
            if after is push:
                continue
            pushes[push.push_id] = after
            if after.state == "pending":
                await push_store.update(connection, after)
            else:
                await self._end_push(connection, after, now, told, answer.details)

    async def _tell_scan(
        self, connection: Connection, scan: ScanResult, push: Push | None, now: datetime, told: Told
    ) -> None:
        """Publish what a scan found, with the command that it is for: that may have been answered already."""
        push_id = push.push_id if push else None
        if push_id is None:
            since = time_of(scan.received_at) - _SCAN_TAKES
            push_id = await push_store.last_command(connection, scan.esp_id, SCAN, since)
        told.events.append(outgoing.scan_event(scan, push_id, now))

    async def _end_push(
        self,
        connection: Connection,
        push: Push,
        now: datetime,
        told: Told,
        details: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Keep how a push ended, and what follows from it. details: what the device answered to a command."""
        await push_store.update(connection, push)
        metrics.PUSHES.labels(push.kind, push.state).inc()
        told.events.append(outgoing.push_event(push, now, details))
        if sets_token(push) and push.state == "applied":
            await store.set_token(connection, push.esp_id, str(push.payload["params"].get("token", "")))
            told.changed.add(push.esp_id)
        if push.kind == "zone" and push.state == "applied":
            await store.set_zone(connection, push.esp_id, push.payload.get("zone_id") or None)
            told.changed.add(push.esp_id)
        if push.kind == "config":
            after = {"state": push.state, "message": push.message, "failures": list(push.failures)}
            await audit.note(connection, _DEVICE, "config_response", push.esp_id, after=after)

    def _tell_transition(self, transition: Transition, now: datetime, told: Told) -> None:
        metrics.TRANSITIONS.labels("online" if transition.online else "offline", transition.reason).inc()
        log.info("device_transition", esp_id=transition.esp_id, online=transition.online, reason=transition.reason)
        told.events.append(outgoing.transition_event(transition, now))
        told.events.append(
            outgoing.health_event(
                transition.kaiser_id,
                transition.esp_id,
                transition.online,
                now,
                last_seen_at=transition.last_seen_at,
            )
        )
        told.changed.add(transition.esp_id)

    async def _tell(self, connection: Connection, told: Told) -> None:
        """Publish everything while the transaction is open. NATS refusing: nothing is committed, all comes again."""
        await self._bus.publish_batch(told.events)
        await self._bus.publish_batch(told.outbox)
        if told.changed:
            await self._bucket.put_all(await store.read_all(connection, told.changed))

    async def sweep(self) -> None:
        """Find devices that are late and pushes without an answer; one transaction."""
        now = self._clock()
        told = Told()
        settings = self._settings
        timeout = timedelta(seconds=settings.push_timeout_s)
        async with self._pool.connection() as connection:
            late = await presence_store.sweep(connection, now, self.listening_since, settings.heartbeat_timeout_s)
            for transition in late:
                self._tell_transition(transition, now, told)
            for push in await push_store.overdue(connection, now):
                await self._push_again(connection, push, now, timeout, told)
            await self._tell(connection, told)
            await self._bucket.mend(connection)
            for state, count in (await store.counts(connection)).items():
                if state == "online":
                    metrics.DEVICES_ONLINE.set(count)
                else:
                    metrics.DEVICES.labels(state).set(count)

    async def _push_again(
        self, connection: Connection, push: Push, now: datetime, timeout: timedelta, told: Told
    ) -> None:
        silence = timedelta(seconds=self._settings.heartbeat_timeout_s)
        after = overdue_push(push, now, timeout, self._settings.push_tries, silence)
        if after.state != "pending":
            await self._end_push(connection, after, now, told)
            return
        await push_store.update(connection, after)
        if after.tries > push.tries:
            told.outbox.append(outgoing.push_message(after, now, timeout.total_seconds()))


def generation_of(heartbeat: Heartbeat, device: Known) -> Literal["A", "B"]:
    """The generation of a device's firmware, this heartbeat included."""
    return "B" if heartbeat.boot_sequence_id else device.generation


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


def _text_digest(error: DeviceError) -> str:
    """Tells apart errors of one code in one second of a device's clock; the same text twice is a repetition."""
    text = f"{error.severity}\n{error.category}\n{error.message}"
    return blake2b(text.encode(), digest_size=8).hexdigest()


def zone_confirmed(push: Push, heartbeat: Heartbeat) -> Answer | None:
    """What a heartbeat says about a zone that was pushed before: generation A does not answer when it leaves one."""
    zone_id = push.payload.get("zone_id") or ""
    if heartbeat.zone_id != zone_id or time_of(heartbeat.received_at) <= push.created_at:
        return None
    text = "confirmed by a heartbeat"
    return Answer(push.esp_id, "zone", "applied", push.push_id, text, [], time_of(heartbeat.received_at), zone_id)
