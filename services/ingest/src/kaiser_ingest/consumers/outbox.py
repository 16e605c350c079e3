"""OUTBOX to MQTT: messages of other services to devices, published in order and acknowledged after the PUBACK.

Broker unavailable: the messages wait, in order. A broker that is there and does not answer (frozen, or behind a dead
line) would read messages from its socket much later. Before a message that expires is written, the broker must
therefore answer a ping; until then the message waits and expires here. Killed in between: messages without a PUBACK are
published again. Each message is judged first (judge.py); a clear or a command older than a newer stop is dropped and
reported (stop_order.py).
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
from kaiser_common.contract.subjects import INGEST_URGENT, DurableConsumer, rejected_subject, urgent_subject
from kaiser_common.contract.topics import BROADCAST, is_esp_id
from kaiser_common.runtime.service import Service
from nats.errors import Error as NatsError
from pydantic import ValidationError

from kaiser_ingest import metrics
from kaiser_ingest.consumers.session import Session
from kaiser_ingest.domain import reason_codes
from kaiser_ingest.domain.judge import Allowed, Refused, judge
from kaiser_ingest.domain.stop_order import StopOrder
from kaiser_ingest.mqtt.client import ConnectionLost, Publication
from kaiser_ingest.mqtt.connection import MqttConnection
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.store.memory import Memory

log = structlog.get_logger()

PUBACK_TIMEOUT_S = 10.0
MAX_ATTEMPTS = 3
"""A message whose publish ended the connection so often is rejected: it would never let the others pass."""

_MAX_MESSAGES = 500
_LOOK_EVERY_S = 1.0
_TO_A_WRITE = 25
_ANSWERS_WITHIN_S = 1.0
_RECEIPT_WITHIN_S = 2.0
_URGENT_AGAIN_S = 1.0
_BROADCAST = urgent_subject(BROADCAST, "all")
_TOPICS_REMEMBERED = 10_000


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
        session: Session,
        events: SystemEvents,
        spec: DurableConsumer,
        *,
        stops: StopOrder,
        memory: Memory,
        generation_of: Callable[[str], str | None],
        is_offline: Callable[[str], bool],
    ) -> None:
        self._bus = bus
        self._session = session
        self._events = events
        self._spec = spec
        self._stops = stops
        self._memory = memory
        self._generation_of = generation_of
        self._is_offline = is_offline
        self._urgent = spec is INGEST_URGENT
        self._newest = NewestByTopic()
        self._stopping = asyncio.Event()
        self._consumer: Consumer | None = None

    def stop(self) -> None:
        """Take nothing more; what has no PUBACK yet goes back."""
        self._stopping.set()
        if self._consumer is not None:
            self._consumer.stop()

    async def run(self, service: Service) -> None:
        """Publish what arrives until `stop`; meanwhile the consumer is a check of /readyz."""
        consumer = Consumer(self._bus, self._spec, max_messages=_MAX_MESSAGES)
        with service.checking(f"consumer {consumer.name}", consumer.check):
            await self._publish_from(consumer)

    async def _publish_from(self, waiting: Consumer) -> None:
        async with waiting.open() as consumer:
            self._consumer = consumer
            if not self._urgent:
                await self._let_predecessor_end(consumer)
            async for batch in consumer:
                for part in _parts(batch):
                    await self._deliver(consumer, part)

    async def _let_predecessor_end(self, consumer: Consumer) -> None:
        """Wait until what a killed predecessor held comes again: newer messages must not overtake it."""
        try:
            held = (await self._bus.jetstream.consumer_info(self._spec.stream, self._spec.name)).num_ack_pending
        except (NatsError, TimeoutError) as error:
            log.warning("outbox_not_asked", consumer=self._spec.name, reason=str(error) or type(error).__name__)
            held = 1
        if held:
            log.info("outbox_waits_for_redelivery", consumer=self._spec.name, messages=held)
            await self._sleep(self._spec.ack_wait_s)

    async def _deliver(self, consumer: Consumer, batch: Sequence[Delivery]) -> None:
        waiting = await self._wanted(consumer, batch)
        while waiting and not self._stopping.is_set():
            waiting = await self._still_wanted(consumer, waiting)
            connection = await self._session.connection(_LOOK_EVERY_S)
            if connection is not None and waiting:
                waiting = await self._publish(consumer, connection, waiting)
            elif connection is None and len(waiting) < _MAX_MESSAGES:  # so that these expire in time too
                waiting += await self._wanted(consumer, await consumer.more())
        await consumer.nak([each.delivery for each in waiting], delay_s=0.1)

    async def _still_wanted(self, consumer: Consumer, waiting: list[_Waiting]) -> list[_Waiting]:
        waiting = await self._without_stopped(consumer, await self._without_expired(consumer, waiting))
        return await self._without_unreachable(consumer, waiting)

    async def _wanted(self, consumer: Consumer, batch: Sequence[Delivery]) -> list[_Waiting]:
        """Those of a batch that can be published and are not overtaken."""
        decoded = [each for delivery in batch if (each := await self._decoded(consumer, delivery)) is not None]
        return await self._without_superseded(consumer, decoded)

    async def _decoded(self, consumer: Consumer, delivery: Delivery) -> _Waiting | None:
        try:
            message = OutboxMessage.model_validate_json(delivery.body)
        except ValidationError as error:
            await self._reject(consumer, delivery, "", Code.PAYLOAD_SERIALIZATION_FAILED, str(error.errors()[0]["msg"]))
            return None
        judgement = judge(delivery.subject, message, self._generation_of(_esp_id(delivery.subject) or ""))
        if isinstance(judgement, Refused):
            await self._refuse(consumer, delivery, message, judgement)
            return None
        if judgement.stops:
            self._stops.note(judgement.esp_id, message.number, delivery.stream_sequence)
        return _Waiting(delivery, message, judgement)

    async def _refuse(self, consumer: Consumer, delivery: Delivery, message: OutboxMessage, refused: Refused) -> None:
        """Report and reject a message that must never be published."""
        self._events.tell(
            "mqtt_message_refused",
            "error",
            f"a message for {message.topic[:128]} was not sent: {refused.detail}",
            code=refused.code,
            esp_id=_esp_id(delivery.subject),
            topic=message.topic[:128],
            subject=delivery.subject[:128],
        )
        await self._reject(consumer, delivery, message.topic, refused.code, refused.detail)

    async def _without_stopped(self, consumer: Consumer, waiting: list[_Waiting]) -> list[_Waiting]:
        """Leave out clears and commands behind a newer stop, which may have been taken since they were."""
        stopped = [each for each in waiting if self._is_stopped(each)]
        for each in stopped:
            metrics.OUTBOX_STOPPED.inc()
            self._events.tell(
                "mqtt_message_stopped",
                "warning",
                f"a message for {each.message.topic} was not sent: an emergency stop is newer",
                esp_id=_esp_id(each.delivery.subject),
                topic=each.message.topic,
            )
        await consumer.ack([each.delivery for each in stopped])
        return [each for each in waiting if each not in stopped]

    async def _without_unreachable(self, consumer: Consumer, waiting: list[_Waiting]) -> list[_Waiting]:
        """Leave out what would start something at a device that is offline: a broker may keep it until the device is
        back, and MQTT 3.1.1 has no expiry. OFF, stops, clears and what is for an unknown device pass."""
        offline = [each for each in waiting if each.allowed.commands and self._is_offline(each.allowed.esp_id)]
        for each in offline:
            metrics.OUTBOX_OFFLINE.inc()
            self._events.tell(
                "mqtt_message_undeliverable",
                "warning",
                f"a message for {each.message.topic} was not sent: the device is offline",
                code=Code.ESP_OFFLINE,
                esp_id=_esp_id(each.delivery.subject),
                topic=each.message.topic,
            )
        await consumer.ack([each.delivery for each in offline])
        return [each for each in waiting if each not in offline]

    def _is_stopped(self, each: _Waiting) -> bool:
        allowed = each.allowed
        return (allowed.clears and self._stops.forbids_clear(allowed.esp_id, each.message.number)) or (
            allowed.commands and self._stops.forbids_command(allowed.esp_id, each.delivery.stream_sequence)
        )

    async def _without_superseded(self, consumer: Consumer, waiting: list[_Waiting]) -> list[_Waiting]:
        """Leave out what a newer message overtook, of those that must not come late: the urgent lane does not wait
        for what a killed predecessor held, so an old "clear" may come again after a new stop."""
        if not self._urgent:
            return waiting
        late = [each for each in waiting if self._newest.is_late(each.message, each.delivery.stream_sequence)]
        for each in late:
            log.warning("outbox_message_superseded", topic=each.message.topic)
        await consumer.ack([each.delivery for each in late])
        return [each for each in waiting if each not in late]

    async def _without_expired(self, consumer: Consumer, waiting: list[_Waiting]) -> list[_Waiting]:
        now_ms = time.time_ns() // 1_000_000
        expired = [each for each in waiting if is_expired(each.message, now_ms)]
        for each in expired:
            metrics.OUTBOX_EXPIRED.inc()
            self._events.tell(
                "mqtt_message_expired",
                "warning",
                f"a message for {each.message.topic} expired before the broker acknowledged it",
                code=Code.PUBLISH_FAILED,
                esp_id=_esp_id(each.delivery.subject),
                topic=each.message.topic,
            )
        await consumer.ack([each.delivery for each in expired])
        return [each for each in waiting if each not in expired]

    async def _publish(self, consumer: Consumer, connection: MqttConnection, waiting: list[_Waiting]) -> list[_Waiting]:
        """Publish in order, acknowledge what the broker took; what is left from the first one without PUBACK on."""
        if not await self._is_taken_now(connection, waiting):
            await self._sleep(0.1)
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
                    consumer, each.delivery, each.message.topic, Code.PUBLISH_FAILED, reason_codes.reason_text(answer)
                )
            else:
                done.append(each)
        if done:
            metrics.BROKER_ROUND_TRIP.observe(time.monotonic() - started)
            metrics.OUTBOX_PUBLISHED.inc(len(done))
            await self._tell_sent(done)
            if any(each.allowed.stops and each.message.number is not None for each in done):
                await self._memory.remember_stops(self._stops.dump())
            await consumer.ack([each.delivery for each in done])
        if left:
            metrics.OUTBOX_REPEATED.inc(len(left))
            left = await self._without_hopeless(consumer, left)
            await self._sleep(0.2)
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

    async def _tell_sent(self, done: Sequence[_Waiting]) -> None:
        """Say of those that asked for it that the broker has them. NATS away: nobody learns it, and the device's own
        answer says as much; publishing on MQTT again for its sake would switch something twice."""
        body = Receipt(sent_at=time.time_ns() // 1_000_000).model_dump_json().encode()
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
                if self._is_stopped(each) or is_expired(each.message, time.time_ns() // 1_000_000):
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
        expiry_s = expiry_of(message, time.time_ns() // 1_000_000)
        publication = Publication(message.topic, each.allowed.payload.encode(), message.qos, message.retain, expiry_s)
        return connection.send(publication, places)

    async def _without_hopeless(self, consumer: Consumer, left: list[_Waiting]) -> list[_Waiting]:
        """Reject the first one if it was sent in vain three times: the broker hangs up on it.

        Never a stop: a network that is cut for half a minute looks the same. It goes back and comes again, behind those
        that wait."""
        left[0].attempts += 1
        if left[0].attempts < MAX_ATTEMPTS:
            return left
        if self._urgent:
            log.error("urgent_message_without_puback", topic=left[0].message.topic, attempts=MAX_ATTEMPTS)
            await consumer.nak([left[0].delivery], delay_s=_URGENT_AGAIN_S)
            return left[1:]
        text = f"no PUBACK in {MAX_ATTEMPTS} attempts"
        await self._reject(consumer, left[0].delivery, left[0].message.topic, Code.RETRY_EXHAUSTED, text)
        return left[1:]

    async def _reject(self, consumer: Consumer, delivery: Delivery, topic: str, code: Code, text: str) -> None:
        """Store the message in REJECTED, then take it out of the outbox. NATS away: it comes again."""
        rejected = RejectedMessage(
            topic=topic,
            payload_base64=base64.b64encode(delivery.body).decode(),
            code=code,
            message=text,
            esp_id=_esp_id(delivery.subject),
            received_at=time.time_ns() // 1_000_000,
        )
        subject = rejected_subject(code, rejected.esp_id)
        try:
            await self._bus.publish(subject, rejected.model_dump_json().encode(), f"outbox.{delivery.stream_sequence}")
        except BusUnavailable as error:
            log.warning("outbox_rejection_not_stored", reason=str(error))
            await consumer.nak([delivery], delay_s=5.0)
            return
        metrics.OUTBOX_REJECTED.inc()
        log.warning("outbox_message_rejected", code=int(code), detail=text, topic=topic[:128])
        await consumer.ack([delivery])

    async def _sleep(self, seconds: float) -> None:
        """Wait, or return earlier at a stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def _parts(batch: Sequence[Delivery]) -> list[list[Delivery]]:
    """A batch cut at each broadcast: a stop of everything is at the broker before a thousand others are decoded."""
    parts: list[list[Delivery]] = [[]]
    for delivery in batch:
        if delivery.subject == _BROADCAST:
            parts += [[delivery], []]
        else:
            parts[-1].append(delivery)
    return [part for part in parts if part]


class NewestByTopic:
    """The newest message of each topic that went out, by its place in the stream; of the last 10,000 topics."""

    def __init__(self) -> None:
        self._sequences: dict[str, int] = {}

    def is_late(self, message: OutboxMessage, sequence: int) -> bool:
        """Note a message; True if it must not come after a newer one and would."""
        newest = self._sequences.pop(message.topic, 0)
        self._sequences[message.topic] = max(newest, sequence)
        if len(self._sequences) > _TOPICS_REMEMBERED:
            del self._sequences[next(iter(self._sequences))]
        return message.only_newest and sequence < newest


def is_expired(message: OutboxMessage, now_ms: int) -> bool:
    """True once nobody wants the message any more."""
    return message.expires_at is not None and message.expires_at <= now_ms


def expiry_of(message: OutboxMessage, now_ms: int) -> int | None:
    """Whole seconds that a broker may keep the message, at least one (MQTT 5 counts in seconds); None for no limit."""
    return None if message.expires_at is None else max(1, (message.expires_at - now_ms) // 1000)


def _esp_id(subject: str) -> str | None:
    """The device that an outbox subject names."""
    tokens = subject.split(".")
    return tokens[3] if len(tokens) > 3 and is_esp_id(tokens[3]) else None
