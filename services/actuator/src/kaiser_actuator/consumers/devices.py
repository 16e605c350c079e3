"""Handles device messages about actuators, a batch in one transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.events import system_event
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.bounds import is_pin
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.actuator import ActuatorAlert, ActuatorStatus, EmergencyAnswer
from kaiser_common.contract.schemas.api.actuators import NO_REASON, Emergency
from kaiser_common.contract.times import ms_of, time_of
from kaiser_common.runtime.consume import Unreadable
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import each_of

from kaiser_actuator import metrics
from kaiser_actuator.consumers.changes import apply, apply_refused, key_of_message
from kaiser_actuator.domain import outgoing
from kaiser_actuator.domain.decode import ActuatorBatch, Message, Sent, decode
from kaiser_actuator.domain.emergencies import (
    BY_DEVICE,
    CLEAR_REFUSED,
    CRITICAL,
    IN_STOP_STATE,
    covering,
    key_of,
    target_of_alert,
)
from kaiser_actuator.domain.emergency_core import holds
from kaiser_actuator.jobs.clears import Clears
from kaiser_actuator.jobs.emergency_ledger import EmergencyLedger
from kaiser_actuator.publish import Step, conclude
from kaiser_actuator.store import Connection, actuators, command_records, emergencies
from kaiser_actuator.store.actuators import Key
from kaiser_actuator.store.stops import Stops

log = structlog.get_logger()

CLEARED = "emergency_cleared"
_REASON = 200
_DEVICES_AT_ONCE = 16
"""A whole fleet may stop at once, and each stop waits for NATS and the database four times."""


class ActuatorMessages:
    """Handles the durable consumer's messages. Events are published, then everything is committed, then acknowledged: a
    redelivered batch publishes the same events with the same ids and changes nothing in the tables."""

    def __init__(
        self,
        pool: DatabasePool,
        bus: Bus,
        stops: Stops,
        ledger: EmergencyLedger,
        clears: Clears,
        timeout: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._stops = stops
        self._ledger = ledger
        self._clears = clears
        self._timeout = timeout
        self._clock = clock

    async def on_messages(self, deliveries: Sequence[Delivery]) -> Unreadable:
        """Raise the stops of alerts, of many devices at once, then process the messages in order; returns the
        unreadable ones. A device that accepts a configuration sets up its actuators again and forgets their stops, so
        the stops are sent again.
        """
        batch = decode(deliveries)
        for esp_id in sorted(batch.configured):
            await self._stops.send_again(esp_id, "configured", twice=True)
        alerts: dict[str, list[tuple[ActuatorAlert, int]]] = {}
        for message, sequence in batch.messages:
            if isinstance(message, Sent):
                continue
            self._hear(message)
            if isinstance(message, ActuatorAlert) and message.alert_type in CRITICAL:
                alerts.setdefault(message.esp_id, []).append((message, sequence))
        await each_of([*alerts.values()], self._on_alerts, at_once=_DEVICES_AT_ONCE)
        now = self._clock()
        async with self._pool.connection() as connection:
            step = await self._begin(connection, batch, now)
            for message, sequence in batch.messages:
                apply(message, step, f"{sequence:016d}")
            for intent in batch.refused:
                apply_refused(intent, step)
            await conclude(connection, self._bus, step, now, self._timeout)
        await self._stop_again(batch)
        await self._take_answers(batch)
        return batch.unreadable

    def _hear(self, message: Message) -> None:
        """Note the device's site and, of a status, whether the actuator is on and in an emergency. By a replayed one it
        is not off, and not in an emergency: that was once."""
        state: bool | None = None
        in_stop: bool | None = None
        if isinstance(message, ActuatorStatus) and message.replayed:
            state = message.state or None
        elif isinstance(message, ActuatorStatus):
            state = message.state
            in_stop = None if message.emergency is None else message.emergency == "active"
        at = message.received_at
        self._stops.heard(message.esp_id, message.gpio, message.kaiser_id, state, at=at, in_stop=in_stop)

    async def _take_answers(self, batch: ActuatorBatch) -> None:
        """A device that says it is clear, or reports `normal`, ends the clear under way; one that refused a stop is
        switched off pin by pin. A replayed message says nothing about the current state."""
        said: dict[str, tuple[int, int]] = {}
        for message, sequence in batch.messages:
            if isinstance(message, ActuatorStatus) and message.emergency == "normal" and not message.replayed:
                said[message.esp_id] = (sequence, message.received_at)
        for answer, sequence in batch.answers:
            if answer.replayed:
                continue
            if answer.answer == "error":
                await self._refused(answer)
            elif CLEARED in (answer.status, answer.state, answer.outcome) or answer.answer == "recovery":
                said[answer.esp_id] = (sequence, answer.received_at)
        await self._clears.all_confirmed(said)

    async def _refused(self, answer: EmergencyAnswer) -> None:
        """A device refused an emergency message, for example because of a wrong token: the stop stays in force and each
        pin gets OFF. A clear that arrives too soon is refused too; its device stays stopped and gets the clear
        again."""
        held = holds(self._stops.board(), answer.esp_id)
        if not held:
            if answer.error == CLEAR_REFUSED:
                log.info("clear_refused_without_stop", esp_id=answer.esp_id)
                self._stops.refused_clear(answer.esp_id, answer.received_at)
            return
        why = answer.message or answer.error or NO_REASON
        if answer.error == CLEAR_REFUSED:
            log.info("clear_refused", esp_id=answer.esp_id, why=why)
            return
        log.error("emergency_refused", esp_id=answer.esp_id, why=why)
        async with self._pool.connection() as connection:
            pins = await actuators.pins(connection, answer.esp_id)
        await self._stops.switch_off(held[0].stop, pins, f"refused-{answer.received_at}")
        event = system_event(
            "emergency_refused",
            f"stop refused by device {answer.esp_id}: {why}; OFF is sent to each of its actuators",
            answer.received_at,
            event_id=f"emergency-refused-{answer.esp_id}-{answer.received_at}",
            esp_id=answer.esp_id,
            severity="critical",
            details={"error": answer.error, "actuators": len(pins), "note": why},
        )
        await self._bus.publish_batch([event])

    async def _on_alerts(self, of_device: Sequence[tuple[ActuatorAlert, int]]) -> None:
        for alert, sequence in of_device:
            await self.on_alert(alert, sequence)

    async def on_alert(self, alert: ActuatorAlert, sequence: int) -> None:
        """A device stopped an actuator or everything on its own: it stays stopped until a person clears it. An alert
        before the device's word that it is clear, in the stream, is the echo of an ended stop. An alert under a stop,
        one that reports a stop in force, and a replayed one add nothing; one under a stop that is being cleared does
        unless it answers a stop that the device was sent (`Stops.is_echo`).
        """
        esp_id, gpio = target_of_alert(alert.esp_id, alert.gpio)
        if alert.replayed or IN_STOP_STATE in (alert.message or "") or self._stops.is_echo(alert, sequence):
            return
        emergency_id = f"alert-{alert.esp_id}-{alert.gpio}-{alert.received_at}"
        async with self._pool.connection() as connection:
            if await emergencies.is_known(connection, emergency_id):
                return
            if await emergencies.is_echo(connection, esp_id, gpio, sequence, time_of(alert.received_at)):
                return
        stop = Emergency(
            emergency_id=emergency_id,
            esp_id=esp_id,
            gpio=gpio,
            reason=(f"{alert.alert_type}: {alert.message}" if alert.message else alert.alert_type)[:_REASON],
            raised_by=f"{BY_DEVICE}{alert.esp_id}",
            raised_at=alert.received_at,
        )
        stop = await self._stops.raise_(stop)
        await self._ledger.record(stop)

    async def _begin(self, connection: Connection, batch: ActuatorBatch, now: datetime) -> Step:
        """Lock and read the actuators of the batch; unregistered ones are recorded and reported once. A command is sent
        before its transaction ends: messages about it wait here for the lock until then.
        """
        messages = [message for message, _ in batch.messages]
        keys = {key_of_message(message) for message in messages if isinstance(message, Sent)}
        keys |= await command_records.open_places(connection, [intent.correlation_id for intent in batch.refused])
        reported = {key_of_message(message): message for message in messages if not isinstance(message, Sent)}
        units = await actuators.lock(connection, keys | set(reported))
        missing = {key: message for key, message in reported.items() if key not in units and _is_pin(message)}
        if not missing:
            return Step(units)
        types = {
            key_of_message(status): status.actuator_type for status in messages if isinstance(status, ActuatorStatus)
        }
        found = [(*key, message.kaiser_id, types.get(key, "unknown")) for key, message in missing.items()]
        added = await actuators.add_unregistered(connection, found)
        step = Step(await actuators.lock(connection, keys | set(reported)))
        for esp_id, gpio in added:
            metrics.UNKNOWN.inc()
            log.warning("actuator_unknown", esp_id=esp_id, gpio=gpio)
            text = f"{esp_id} has an actuator on gpio {gpio} that is not registered"
            step.events.append(
                system_event(
                    "actuator_unknown",
                    text,
                    ms_of(now),
                    event_id=f"actuator-unknown-{esp_id}-{gpio}-{missing[esp_id, gpio].received_at}",
                    esp_id=esp_id,
                    severity="warning",
                    code=Code.INVALID_GPIO,
                    details={"gpio": gpio, "actuator_type": types.get((esp_id, gpio), "unknown")},
                )
            )
        return step

    async def _stop_again(self, batch: ActuatorBatch) -> None:
        """An actuator reports on although it is stopped: send the stop again and notify the operator."""
        defiant: dict[Key, ActuatorStatus] = {}
        for message, _ in batch.messages:
            if isinstance(message, ActuatorStatus) and not message.replayed:
                defiant[key_of_message(message)] = message
        for (esp_id, gpio), status in defiant.items():
            stop = covering(self._stops, esp_id, gpio) if status.state else None
            if stop is None or status.received_at < stop.raised_at:
                continue
            log.error("stopped_actuator_is_on", esp_id=esp_id, gpio=gpio, stop=key_of(stop.esp_id, stop.gpio))
            own = stop.model_copy(update={"esp_id": esp_id, "gpio": gpio})
            await self._stops.tell(own, "defied")
            text = f"gpio {gpio} reports on although it is stopped: the stop is sent again"
            event = outgoing.own_alert_event(
                status.kaiser_id, esp_id, gpio, "safety_violation", text, status.received_at
            )
            await self._bus.publish_batch([event])


def _is_pin(message: Message) -> bool:
    """False for an alert about the whole device, which is no actuator."""
    return is_pin(message.gpio)
