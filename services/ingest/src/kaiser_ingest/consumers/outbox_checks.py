"""Decides which messages of OUTBOX may be published on MQTT now, and rejects or reports the others.

Each message is judged first (judge.py). While it waits for the broker it may expire, a newer stop may forbid it
(stop_order.py), or its device may go offline. Each line of a pack is a message here (outbox_packs.py). Killed in
between: the messages are not acknowledged, and come again.
"""

import base64
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.errors import Code
from kaiser_common.contract.pack import NotAPack
from kaiser_common.contract.schemas.event import OutboxMessage, RejectedMessage
from kaiser_common.contract.subjects import INGEST_URGENT, SEVERAL, rejected_subject
from kaiser_common.contract.system_events import SystemEventName
from kaiser_common.contract.topics import is_esp_id
from kaiser_common.runtime.clock import now_ms
from pydantic import ValidationError

from kaiser_ingest import metrics
from kaiser_ingest.consumers.outbox_packs import OutboxPacks
from kaiser_ingest.domain.judge import Allowed, Refused, judge
from kaiser_ingest.domain.lateness import NewestByTopic, is_expired
from kaiser_ingest.domain.stop_order import StopOrder
from kaiser_ingest.domain.taps import Fate, Taps
from kaiser_ingest.publish import SystemEvents

log = structlog.get_logger()

_SLICE = 250


@dataclass(slots=True)
class WaitingMessage:
    """A message on its way to the broker. delivery: of a line of a pack, that line. sequence: its place in OUTBOX."""

    delivery: Delivery
    message: OutboxMessage
    allowed: Allowed
    sequence: int
    attempts: int = 0


class OutboxChecks:
    """The checks of the messages of one durable consumer. taps: where somebody looks at a device's messages."""

    def __init__(
        self,
        bus: Bus,
        consumer: Consumer,
        events: SystemEvents,
        stops: StopOrder,
        generation_of: Callable[[str], str | None],
        is_offline: Callable[[str], bool],
        taps: Taps,
    ) -> None:
        self._bus = bus
        self._consumer = consumer
        self._events = events
        self._stops = stops
        self._generation_of = generation_of
        self._is_offline = is_offline
        self._taps = taps
        self._urgent = consumer.spec is INGEST_URGENT
        self._newest = NewestByTopic()
        self._packs = OutboxPacks()

    async def wanted(self, batch: Sequence[Delivery]) -> list[WaitingMessage]:
        """Those of a batch that can be published and are not overtaken."""
        return [each for delivery in batch async for some in self.slices(delivery) for each in some]

    async def slices(self, delivery: Delivery) -> AsyncIterator[list[WaitingMessage]]:
        """As `wanted`, of one message, or of a pack, of which at most 250 lines are judged at a time."""
        sequence = delivery.stream_sequence
        try:
            lines = self._packs.lines(delivery)
        except NotAPack as error:
            await self.reject(delivery, "", Code.PAYLOAD_SERIALIZATION_FAILED, str(error))
            return
        for start in range(0, len(lines), _SLICE):
            some = lines[start : start + _SLICE]
            decoded = [each for line in some if (each := await self._decoded(line, sequence)) is not None]
            yield await self._without_superseded(decoded)

    async def still_wanted(self, waiting: list[WaitingMessage]) -> list[WaitingMessage]:
        """Those that may still be published now; the others are reported and acknowledged."""
        waiting = await self._without_stopped(await self._without_expired(waiting))
        return await self._without_unreachable(waiting)

    async def settle(self, deliveries: Iterable[Delivery]) -> None:
        """Acknowledge messages; a pack with the last of its lines."""
        await self._consumer.ack(self._packs.settled(deliveries))

    def is_stopped(self, each: WaitingMessage) -> bool:
        """Whether a newer stop forbids a clear or a command."""
        allowed = each.allowed
        return (allowed.clears and self._stops.forbids_clear(allowed.esp_id, each.message.number)) or (
            allowed.commands and self._stops.forbids_command(allowed.esp_id, each.sequence)
        )

    def is_expired(self, each: WaitingMessage) -> bool:
        """Whether it is too late to write a message to the broker."""
        return is_expired(each.message, now_ms(), moves=each.allowed.commands)

    def show(self, each: WaitingMessage, verdict: Fate) -> None:
        """Keep a message for somebody who looks at its device."""
        if self._taps.armed:
            payload = each.allowed.payload.encode()
            self._taps.went(each.message.topic, payload, now_ms(), verdict, qos=each.message.qos)

    async def reject(self, delivery: Delivery, topic: str, code: Code, text: str) -> None:
        """Store a message or line in REJECTED, then take it out of the outbox. NATS away: it comes again."""
        esp_id = _esp_id(delivery.subject, topic)
        rejected = RejectedMessage(
            topic=topic,
            payload_base64=base64.b64encode(delivery.body).decode(),
            code=code,
            message=text,
            esp_id=esp_id,
            received_at=now_ms(),
        )
        subject = rejected_subject(code, esp_id)
        line = "" if delivery.first_line is None else f"-{delivery.first_line}"
        msg_id = f"outbox.{delivery.stream_sequence}{line}"
        try:
            await self._bus.publish(subject, rejected.model_dump_json().encode(), msg_id)
        except BusUnavailable as error:
            log.warning("outbox_rejection_not_stored", reason=str(error))
            await self._consumer.nak([delivery], delay_s=5.0)
            return
        metrics.OUTBOX_REJECTED.inc()
        log.warning("outbox_message_rejected", code=int(code), detail=text, topic=topic[:128])
        await self.settle([delivery])

    async def _decoded(self, delivery: Delivery, sequence: int) -> WaitingMessage | None:
        try:
            message = OutboxMessage.model_validate_json(delivery.body)
        except ValidationError as error:
            await self.reject(delivery, "", Code.PAYLOAD_SERIALIZATION_FAILED, str(error.errors()[0]["msg"]))
            return None
        generation = self._generation_of(_esp_id(delivery.subject, message.topic) or "")
        judgement = judge(delivery.subject, message, generation)
        if isinstance(judgement, Refused):
            await self._refuse(delivery, message, judgement)
            return None
        if judgement.stops:
            self._stops.note(judgement.esp_id, message.number, sequence)
        return WaitingMessage(delivery, message, judgement, sequence)

    async def _refuse(self, delivery: Delivery, message: OutboxMessage, refused: Refused) -> None:
        """Report and reject a message that must never be published."""
        self._events.report(
            "mqtt_message_refused",
            "error",
            f"a message for {message.topic[:128]} was not sent: {refused.detail}",
            code=refused.code,
            esp_id=_esp_id(delivery.subject, message.topic),
            topic=message.topic[:128],
            subject=delivery.subject[:128],
            reason=refused.detail,
        )
        await self.reject(delivery, message.topic, refused.code, refused.detail)

    async def _without_stopped(self, waiting: list[WaitingMessage]) -> list[WaitingMessage]:
        """Leave out clears and commands behind a newer stop, which may have been taken since they were."""
        stopped = [each for each in waiting if self.is_stopped(each)]
        metrics.OUTBOX_STOPPED.inc(len(stopped))
        self._report(stopped, "mqtt_message_stopped", "was not sent: an emergency stop is newer, or may be")
        return await self._without(waiting, stopped)

    async def _without_unreachable(self, waiting: list[WaitingMessage]) -> list[WaitingMessage]:
        """Leave out what would start something at a device that is offline: a broker may keep it until the device is
        back, and MQTT 3.1.1 has no expiry. OFF, stops, clears and what is for an unknown device pass."""
        offline = [each for each in waiting if each.allowed.commands and self._is_offline(each.allowed.esp_id)]
        metrics.OUTBOX_OFFLINE.inc(len(offline))
        self._report(offline, "mqtt_message_undeliverable", "was not sent: the device is offline", Code.ESP_OFFLINE)
        return await self._without(waiting, offline)

    async def _without_superseded(self, waiting: list[WaitingMessage]) -> list[WaitingMessage]:
        """Leave out urgent messages that a newer one overtook: their lane does not wait for the messages that a killed
        predecessor held, so an old "clear" may come again after a new stop."""
        if not self._urgent:
            return waiting
        late = [each for each in waiting if self._newest.is_late(each.message, each.sequence)]
        for each in late:
            log.warning("outbox_message_superseded", topic=each.message.topic)
        return await self._without(waiting, late)

    async def _without_expired(self, waiting: list[WaitingMessage]) -> list[WaitingMessage]:
        expired = [each for each in waiting if self.is_expired(each)]
        metrics.OUTBOX_EXPIRED.inc(len(expired))
        text = "expired before the broker acknowledged it"
        self._report(expired, "mqtt_message_expired", text, Code.PUBLISH_FAILED)
        return await self._without(waiting, expired)

    def _report(
        self, left_out: Sequence[WaitingMessage], event: SystemEventName, text: str, code: Code | None = None
    ) -> None:
        for each in left_out:
            topic = each.message.topic
            esp_id = _esp_id(each.delivery.subject, topic)
            self.show(each, Fate("withheld", code=None if code is None else int(code), reason=text))
            self._events.report(
                event, "warning", f"a message for {topic} {text}", code=code, esp_id=esp_id, topic=topic
            )

    async def _without(self, waiting: list[WaitingMessage], left_out: Sequence[WaitingMessage]) -> list[WaitingMessage]:
        """Settle these messages; the others."""
        if not left_out:
            return waiting
        await self.settle([each.delivery for each in left_out])
        gone = {id(each) for each in left_out}
        return [each for each in waiting if id(each) not in gone]


def _esp_id(subject: str, topic: str) -> str | None:
    """The device that an outbox subject names; of a pack, the topic of a line."""
    named = _place(subject, ".")
    if named == SEVERAL:
        named = _place(topic, "/")
    return named if is_esp_id(named) else None


def _place(name: str, separator: str) -> str:
    """Where both a subject and a topic have the device, or nothing."""
    parts = name.split(separator, 4)
    return parts[3] if len(parts) > 3 else ""
