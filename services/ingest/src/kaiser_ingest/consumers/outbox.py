"""OUTBOX to MQTT: messages of other services to devices, published in order and acknowledged after the PUBACK.

Broker unavailable: the messages wait, in order. A broker that is there and does not answer (frozen, or behind a dead
line) would read messages from its socket much later. Before a message that expires is written, the broker must
therefore answer a ping; until then the message waits and expires here. Killed in between: messages without a PUBACK are
published again. Each message is judged first (judge.py); a clear or a command older than a newer stop is dropped and
reported (stop_order.py).

This module acknowledges each message itself; the consume loop acknowledges only the rest of the batch, such as a
message that the loop rejected (`Consumer.ack`). If the handler fails with an unexpected error, the loop calls it again
with the same batch, and it skips the messages that are already settled, so nothing is published twice.
"""

import asyncio
import base64
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable, Outgoing
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.event import OutboxMessage, Receipt, RejectedMessage
from kaiser_common.contract.subjects import INGEST_URGENT, rejected_subject, urgent_subject
from kaiser_common.contract.topics import BROADCAST, is_esp_id
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.consume import Unreadable
from pydantic import ValidationError

from kaiser_ingest import metrics
from kaiser_ingest.consumers.session import MqttSession
from kaiser_ingest.domain import reason_codes
from kaiser_ingest.domain.judge import Allowed, Refused, judge
from kaiser_ingest.domain.lateness import NewestByTopic, expiry_of, is_expired
from kaiser_ingest.domain.stop_order import StopOrder
from kaiser_ingest.domain.taps import Fate, Taps
from kaiser_ingest.mqtt.client import ConnectionLost, MqttPublication
from kaiser_ingest.mqtt.connection import MqttConnection
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.store.session_store import SessionStore

log = structlog.get_logger()

PUBACK_TIMEOUT_S = 10.0
MAX_ATTEMPTS = 3
"""A message whose publication ended the connection this many times is rejected: it would always block the others."""
MAX_MESSAGES = 500
"""Messages that wait here at most."""

_LOOK_EVERY_S = 1.0
_TO_A_WRITE = 25
_ANSWERS_WITHIN_S = 1.0
_RECEIPT_WITHIN_S = 2.0
_URGENT_AGAIN_S = 1.0
_BROADCAST = urgent_subject(BROADCAST, "all")


@dataclass(slots=True)
class _Waiting:
    """A message on its way to the broker."""

    delivery: Delivery
    message: OutboxMessage
    allowed: Allowed
    attempts: int = 0


class Outbox:
    """Publishes the messages of one durable consumer."""

    def __init__(
        self,
        bus: Bus,
        consumer: Consumer,
        session: MqttSession,
        events: SystemEvents,
        *,
        stops: StopOrder,
        kept: SessionStore,
        generation_of: Callable[[str], str | None],
        is_offline: Callable[[str], bool],
        taps: Taps | None = None,
    ) -> None:
        self._bus = bus
        self._consumer = consumer
        self._session = session
        self._events = events
        self._stops = stops
        self._kept = kept
        self._generation_of = generation_of
        self._is_offline = is_offline
        self._taps = taps or Taps()
        self._urgent = consumer.spec is INGEST_URGENT
        self._newest = NewestByTopic()

    async def on_messages(self, batch: Sequence[Delivery]) -> Unreadable:
        """Publish a batch, with what arrives while the broker is away. Each message is settled when this returns: it is
        published, rejected, left out, or goes back because the consumer is stopped. After an unexpected error the
        messages that are not of the batch go back; the consume loop calls again with the batch."""
        further: list[Delivery] = []
        try:
            for part in _parts([each for each in batch if self._consumer.holds(each)]):
                await self._deliver(part, further)
        except Exception:
            await self._consumer.nak(further, delay_s=1.0)
            raise
        return ()

    async def _deliver(self, batch: Sequence[Delivery], further: list[Delivery]) -> None:
        waiting = await self._wanted(batch)
        while waiting and not self._consumer.stopping:
            waiting = await self._still_wanted(waiting)
            connection = await self._session.connection(_LOOK_EVERY_S)
            if connection is not None and waiting:
                waiting = await self._publish(connection, waiting)
            elif connection is None and len(waiting) < MAX_MESSAGES:  # so that these expire in time too
                more = await self._consumer.more()
                further += more
                waiting += await self._wanted(more)
        await self._consumer.nak([each.delivery for each in waiting], delay_s=0.1)

    async def _still_wanted(self, waiting: list[_Waiting]) -> list[_Waiting]:
        waiting = await self._without_stopped(await self._without_expired(waiting))
        return await self._without_unreachable(waiting)

    async def _wanted(self, batch: Sequence[Delivery]) -> list[_Waiting]:
        """Those of a batch that can be published and are not overtaken."""
        decoded = [each for delivery in batch if (each := await self._decoded(delivery)) is not None]
        return await self._without_superseded(decoded)

    async def _decoded(self, delivery: Delivery) -> _Waiting | None:
        try:
            message = OutboxMessage.model_validate_json(delivery.body)
        except ValidationError as error:
            await self._reject(delivery, "", Code.PAYLOAD_SERIALIZATION_FAILED, str(error.errors()[0]["msg"]))
            return None
        judgement = judge(delivery.subject, message, self._generation_of(_esp_id(delivery.subject) or ""))
        if isinstance(judgement, Refused):
            await self._refuse(delivery, message, judgement)
            return None
        if judgement.stops:
            self._stops.note(judgement.esp_id, message.number, delivery.stream_sequence)
        return _Waiting(delivery, message, judgement)

    async def _refuse(self, delivery: Delivery, message: OutboxMessage, refused: Refused) -> None:
        """Report and reject a message that must never be published."""
        self._events.report(
            "mqtt_message_refused",
            "error",
            f"a message for {message.topic[:128]} was not sent: {refused.detail}",
            code=refused.code,
            esp_id=_esp_id(delivery.subject),
            topic=message.topic[:128],
            subject=delivery.subject[:128],
        )
        await self._reject(delivery, message.topic, refused.code, refused.detail)

    async def _without_stopped(self, waiting: list[_Waiting]) -> list[_Waiting]:
        """Leave out clears and commands behind a newer stop, which may have been taken since they were."""
        stopped = [each for each in waiting if self._is_stopped(each)]
        metrics.OUTBOX_STOPPED.inc(len(stopped))
        self._report(stopped, "mqtt_message_stopped", "was not sent: an emergency stop is newer")
        return await self._without(waiting, stopped)

    async def _without_unreachable(self, waiting: list[_Waiting]) -> list[_Waiting]:
        """Leave out what would start something at a device that is offline: a broker may keep it until the device is
        back, and MQTT 3.1.1 has no expiry. OFF, stops, clears and what is for an unknown device pass."""
        offline = [each for each in waiting if each.allowed.commands and self._is_offline(each.allowed.esp_id)]
        metrics.OUTBOX_OFFLINE.inc(len(offline))
        self._report(offline, "mqtt_message_undeliverable", "was not sent: the device is offline", Code.ESP_OFFLINE)
        return await self._without(waiting, offline)

    def _is_stopped(self, each: _Waiting) -> bool:
        allowed = each.allowed
        return (allowed.clears and self._stops.forbids_clear(allowed.esp_id, each.message.number)) or (
            allowed.commands and self._stops.forbids_command(allowed.esp_id, each.delivery.stream_sequence)
        )

    async def _without_superseded(self, waiting: list[_Waiting]) -> list[_Waiting]:
        """Leave out what a newer message overtook, of those that must not come late: the urgent lane does not wait
        for what a killed predecessor held, so an old "clear" may come again after a new stop."""
        if not self._urgent:
            return waiting
        late = [each for each in waiting if self._newest.is_late(each.message, each.delivery.stream_sequence)]
        for each in late:
            log.warning("outbox_message_superseded", topic=each.message.topic)
        return await self._without(waiting, late)

    async def _without_expired(self, waiting: list[_Waiting]) -> list[_Waiting]:
        now = now_ms()
        expired = [each for each in waiting if is_expired(each.message, now)]
        metrics.OUTBOX_EXPIRED.inc(len(expired))
        text = "expired before the broker acknowledged it"
        self._report(expired, "mqtt_message_expired", text, Code.PUBLISH_FAILED)
        return await self._without(waiting, expired)

    def _report(self, left_out: Sequence[_Waiting], event: str, text: str, code: Code | None = None) -> None:
        for each in left_out:
            topic, esp_id = each.message.topic, _esp_id(each.delivery.subject)
            self._show(each, Fate("withheld", code=None if code is None else int(code), reason=text))
            self._events.report(
                event, "warning", f"a message for {topic} {text}", code=code, esp_id=esp_id, topic=topic
            )

    def _show(self, each: _Waiting, verdict: Fate) -> None:
        """Keep a message for somebody who looks at its device."""
        if self._taps.armed:
            payload = each.allowed.payload.encode()
            self._taps.went(each.message.topic, payload, now_ms(), verdict, qos=each.message.qos)

    async def _without(self, waiting: list[_Waiting], left_out: Sequence[_Waiting]) -> list[_Waiting]:
        """Acknowledge these messages; the others."""
        await self._consumer.ack([each.delivery for each in left_out])
        return [each for each in waiting if each not in left_out]

    async def _publish(self, connection: MqttConnection, waiting: list[_Waiting]) -> list[_Waiting]:
        """Publish in order, acknowledge what the broker took; what is left from the first one without PUBACK on."""
        if not await self._is_taken_now(connection, waiting):
            await self._consumer.stopped_within(0.1)
            return waiting
        started = time.monotonic()
        answers = await self._answers(connection, waiting)
        done: list[_Waiting] = []
        left: list[_Waiting] = []
        for each, answer in zip(waiting, answers, strict=True):
            if left:
                left.append(each)  # after a gap all is sent again, so that the order holds
            elif answer is None or answer == reason_codes.QUOTA_EXCEEDED:
                left.append(each)
            elif answer >= reason_codes.FAILURE_FROM:
                await self._reject(
                    each.delivery, each.message.topic, Code.PUBLISH_FAILED, reason_codes.reason_text(answer)
                )
            else:
                done.append(each)
        if done:
            for each in done if self._taps.armed else ():
                self._show(each, Fate("sent"))
            metrics.BROKER_ROUND_TRIP.observe(time.monotonic() - started)
            metrics.OUTBOX_PUBLISHED.inc(len(done))
            await self._send_receipts(done)
            if any(each.allowed.stops and each.message.number is not None for each in done):
                await self._kept.remember_stops(self._stops.dump())
            await self._consumer.ack([each.delivery for each in done])
        if left:
            metrics.OUTBOX_REPEATED.inc(len(left))
            left = await self._without_hopeless(left)
            await self._consumer.stopped_within(0.2)
        return left

    async def _is_taken_now(self, connection: MqttConnection, waiting: list[_Waiting]) -> bool:
        """False where the broker does not answer and some of these expire; stops never wait for an answer."""
        if self._urgent or all(each.message.expires_at is None for each in waiting):
            return True
        try:
            return await connection.answers(_ANSWERS_WITHIN_S)
        except ConnectionLost as error:
            log.debug("outbox_connection_lost", reason=str(error))
            return False

    async def _send_receipts(self, done: Sequence[_Waiting]) -> None:
        """Say of those that asked for it that the broker has them. NATS away: nobody learns it, and the device's own
        answer says as much; publishing on MQTT again for its sake would switch something twice."""
        body = Receipt(sent_at=now_ms()).model_dump_json().encode()
        receipts = [
            Outgoing(each.message.receipt, body, f"sent.{each.delivery.stream_sequence}")
            for each in done
            if each.message.receipt is not None
        ]
        try:
            await self._bus.publish_batch(receipts, deadline_s=_RECEIPT_WITHIN_S)
        except BusUnavailable as error:
            log.warning("receipts_lost", messages=len(receipts), reason=str(error))

    async def _answers(self, connection: MqttConnection, waiting: Sequence[_Waiting]) -> list[int | None]:
        """The PUBACK code of each message, None where none came."""
        futures: list[asyncio.Future[int]] = []
        try:
            for each in waiting:
                if self._is_stopped(each) or is_expired(each.message, now_ms()):
                    break  # while the others waited for a place
                futures.append(await self._send(connection, each))
                if len(futures) % _TO_A_WRITE == 0:
                    await asyncio.sleep(0)  # the socket is written to between two turns of the loop
        except (ConnectionLost, TimeoutError) as error:
            log.debug("outbox_connection_lost", reason=str(error))
        if futures:
            await asyncio.wait(futures, timeout=PUBACK_TIMEOUT_S)
        answers = [
            each.result() if each.done() and not each.cancelled() and each.exception() is None else None
            for each in futures
        ]
        return answers + [None] * (len(waiting) - len(futures))

    async def _send(self, connection: MqttConnection, each: _Waiting) -> "asyncio.Future[int]":
        """Publish, as soon as there is a place. Raises ConnectionLost, TimeoutError."""
        places = None if self._urgent else await connection.place(PUBACK_TIMEOUT_S)
        message = each.message
        expiry_s = expiry_of(message, now_ms())
        publication = MqttPublication(
            message.topic, each.allowed.payload.encode(), message.qos, message.retain, expiry_s
        )
        return connection.send(publication, places)

    async def _without_hopeless(self, left: list[_Waiting]) -> list[_Waiting]:
        """Reject the first one if it was sent in vain three times: the broker hangs up on it.

        Never a stop: a network that is cut for half a minute looks the same. It goes back and comes again, behind those
        that wait."""
        left[0].attempts += 1
        if left[0].attempts < MAX_ATTEMPTS:
            return left
        if self._urgent:
            log.error("urgent_message_without_puback", topic=left[0].message.topic, attempts=MAX_ATTEMPTS)
            await self._consumer.nak([left[0].delivery], delay_s=_URGENT_AGAIN_S)
            return left[1:]
        text = f"no PUBACK in {MAX_ATTEMPTS} attempts"
        await self._reject(left[0].delivery, left[0].message.topic, Code.RETRY_EXHAUSTED, text)
        return left[1:]

    async def _reject(self, delivery: Delivery, topic: str, code: Code, text: str) -> None:
        """Store the message in REJECTED, then take it out of the outbox. NATS away: it comes again."""
        rejected = RejectedMessage(
            topic=topic,
            payload_base64=base64.b64encode(delivery.body).decode(),
            code=code,
            message=text,
            esp_id=_esp_id(delivery.subject),
            received_at=now_ms(),
        )
        subject = rejected_subject(code, rejected.esp_id)
        try:
            await self._bus.publish(subject, rejected.model_dump_json().encode(), f"outbox.{delivery.stream_sequence}")
        except BusUnavailable as error:
            log.warning("outbox_rejection_not_stored", reason=str(error))
            await self._consumer.nak([delivery], delay_s=5.0)
            return
        metrics.OUTBOX_REJECTED.inc()
        log.warning("outbox_message_rejected", code=int(code), detail=text, topic=topic[:128])
        await self._consumer.ack([delivery])


def _parts(batch: Sequence[Delivery]) -> list[list[Delivery]]:
    """A batch cut at each broadcast: a stop of everything is at the broker before a thousand others are decoded."""
    parts: list[list[Delivery]] = [[]]
    for delivery in batch:
        if delivery.subject == _BROADCAST:
            parts += [[delivery], []]
        else:
            parts[-1].append(delivery)
    return [part for part in parts if part]


def _esp_id(subject: str) -> str | None:
    """The device that an outbox subject names."""
    tokens = subject.split(".")
    return tokens[3] if len(tokens) > 3 and is_esp_id(tokens[3]) else None
