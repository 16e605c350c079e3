"""OUTBOX to MQTT: messages of other services to devices, published in order and acknowledged after the PUBACK.

Broker unavailable: the messages wait, in order. A broker that is there and does not answer (frozen, or behind a dead
line) would read messages from its socket much later. Before a message that expires is written, the broker must
therefore answer a ping; until then the message waits and expires here. Killed in between: messages without a PUBACK are
published again. outbox_checks.py decides which messages go.

This module acknowledges each message itself, a pack with the last of its lines; the consume loop acknowledges only the
rest of the batch, such as a message that the loop rejected (`Consumer.ack`). If the handler fails with an unexpected
error, the loop calls it again with the same batch, and it skips the messages and lines that are already settled, so
nothing is published twice.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable, Outgoing
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.event import Receipt
from kaiser_common.contract.subjects import INGEST_URGENT, is_packed, urgent_subject
from kaiser_common.contract.topics import BROADCAST
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.consume import Unreadable

from kaiser_ingest import metrics
from kaiser_ingest.consumers.outbox_checks import OutboxChecks, WaitingMessage
from kaiser_ingest.consumers.session import MqttSession
from kaiser_ingest.consumers.urgent_first import UrgentFirst
from kaiser_ingest.domain import reason_codes
from kaiser_ingest.domain.lateness import expiry_of
from kaiser_ingest.domain.stop_order import StopOrder
from kaiser_ingest.domain.taps import Fate, Taps
from kaiser_ingest.mqtt.connection import MqttConnection
from kaiser_ingest.mqtt.sending import ConnectionLost, MqttPublication
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.store.session_store import SessionStore

log = structlog.get_logger()

PUBACK_TIMEOUT_S = 10.0
MAX_ATTEMPTS = 3
"""A message whose publication ended the connection this many times is rejected: it would always block the others."""
MAX_MESSAGES = 500
"""Messages that are fetched, and that wait here until more are taken, at most."""
MAX_LINES = 1000
"""No further pack is taken in one go once there are so many lines."""

_LOOK_EVERY_S = 1.0
_TO_A_WRITE = 25
_ANSWERS_WITHIN_S = 1.0
_RECEIPT_WITHIN_S = 2.0
_URGENT_AGAIN_S = 1.0
_BEHIND_URGENT_S = 0.25
"""So long a pack of the ordinary lane waits at most for urgent messages that are on their way."""
_BROADCAST = urgent_subject(BROADCAST, "all")


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
        urgent_first: UrgentFirst | None = None,
    ) -> None:
        """urgent_first: shared by the two lanes of a process."""
        self._bus = bus
        self._consumer = consumer
        self._session = session
        self._stops = stops
        self._kept = kept
        self._taps = taps or Taps()
        self._urgent_first = urgent_first or UrgentFirst()
        self._urgent = consumer.spec is INGEST_URGENT
        self._checks = OutboxChecks(bus, consumer, events, stops, generation_of, is_offline, self._taps)

    async def on_messages(self, batch: Sequence[Delivery]) -> Unreadable:
        """Publish a batch, with what arrives while the broker is away. Each message is settled when this returns: it is
        published, rejected, left out, or goes back because the consumer is stopped. After an unexpected error the
        messages that are not of the batch go back; the consume loop calls again with the batch."""
        further: list[Delivery] = []
        try:
            for part in _parts([each for each in batch if self._consumer.holds(each)]):
                await self._in_turn(part, further)
        except Exception:  # raised again: the loop knows the batch, and not what was fetched further
            await self._consumer.nak(further, delay_s=1.0)
            raise
        return ()

    async def _in_turn(self, part: Sequence[Delivery], further: list[Delivery]) -> None:
        """Deliver; a pack of the ordinary lane once no urgent message is on its way, or a moment later."""
        if self._urgent:
            with self._urgent_first.on_the_way():
                await self._deliver(part, further)
            return
        if is_packed(part[0].subject):
            await self._urgent_first.over(_BEHIND_URGENT_S)
        await self._deliver(part, further)

    async def _deliver(self, batch: Sequence[Delivery], further: list[Delivery]) -> None:
        waiting = await self._begun(batch)
        while waiting and not self._consumer.stopping:
            waiting = await self._checks.still_wanted(waiting)
            connection = await self._session.connection(_LOOK_EVERY_S)
            if connection is not None and waiting:
                waiting = await self._publish(connection, waiting)
            elif connection is None and len(waiting) < MAX_MESSAGES:  # so that these expire in time too
                more = await self._consumer.more()
                further += more
                waiting += await self._checks.wanted(more)
        await self._consumer.nak([each.delivery for each in waiting], delay_s=0.1)

    async def _begun(self, batch: Sequence[Delivery]) -> list[WaitingMessage]:
        """Those of a batch that are to be published. An urgent pack is written by slices, if there is a connection: the
        first lines are at their devices while the last are judged. Of it those that the broker did not take are left.
        """
        [first, *others] = batch
        connection = None
        if self._urgent and not others and is_packed(first.subject):
            connection = await self._session.connection(0.0)
        if connection is None:
            return await self._checks.wanted(batch)
        started = time.monotonic()
        waiting: list[WaitingMessage] = []
        futures: list[asyncio.Future[int]] = []
        try:
            async for judged in self._checks.slices(first):
                some = await self._checks.still_wanted(judged)
                if not futures:
                    started = time.monotonic()
                is_whole = len(futures) == len(waiting)  # else the connection is lost
                waiting += some
                if is_whole:
                    futures += await self._written(connection, some)
        except Exception:  # raised again: what was written before a line with a bug is not written again
            await self._settled(waiting, await _answers(futures, len(waiting)), started)
            raise
        return await self._settled(waiting, await _answers(futures, len(waiting)), started)

    async def _publish(self, connection: MqttConnection, waiting: list[WaitingMessage]) -> list[WaitingMessage]:
        """Publish in order, acknowledge what the broker took; what is left from the first one without PUBACK on."""
        if not await self._is_taken_now(connection, waiting):
            await self._consumer.stopped_within(0.1)
            return waiting
        started = time.monotonic()
        futures = await self._written(connection, waiting)
        return await self._settled(waiting, await _answers(futures, len(waiting)), started)

    async def _settled(
        self, waiting: Sequence[WaitingMessage], answers: Sequence[int | None], started: float
    ) -> list[WaitingMessage]:
        """Acknowledge what the broker took; what is left from the first one without PUBACK on."""
        done: list[WaitingMessage] = []
        left: list[WaitingMessage] = []
        for each, answer in zip(waiting, answers, strict=True):
            if left:
                left.append(each)  # after a gap all is sent again, so that the order holds
            elif answer is None or answer == reason_codes.QUOTA_EXCEEDED:
                left.append(each)
            elif answer >= reason_codes.FAILURE_FROM:
                await self._checks.reject(
                    each.delivery, each.message.topic, Code.PUBLISH_FAILED, reason_codes.reason_text(answer)
                )
            else:
                done.append(each)
        if done:
            for each in done if self._taps.armed else ():
                self._checks.show(each, Fate("sent"))
            metrics.BROKER_ROUND_TRIP.observe(time.monotonic() - started)
            metrics.OUTBOX_PUBLISHED.inc(len(done))
            await self._send_receipts(done)
            if self._stops.is_complete and any(each.allowed.stops and each.message.number is not None for each in done):
                await self._kept.remember_stops(self._stops.dump())
            await self._checks.settle([each.delivery for each in done])
        if left:
            metrics.OUTBOX_REPEATED.inc(len(left))
            left = await self._without_hopeless(left)
            await self._consumer.stopped_within(0.2)
        return left

    async def _is_taken_now(self, connection: MqttConnection, waiting: list[WaitingMessage]) -> bool:
        """False where the broker does not answer and some of these expire; stops never wait for an answer."""
        if self._urgent or all(each.message.expires_at is None for each in waiting):
            return True
        try:
            return await connection.answers(_ANSWERS_WITHIN_S)
        except ConnectionLost as error:
            log.debug("outbox_connection_lost", reason=str(error))
            return False

    async def _send_receipts(self, done: Sequence[WaitingMessage]) -> None:
        """Say of those that asked for it that the broker has them. NATS away: nobody learns it, and the device's own
        answer says as much; publishing on MQTT again for its sake would switch something twice."""
        body = Receipt(sent_at=now_ms()).model_dump_json().encode()
        receipts = [
            Outgoing(each.message.receipt, body, f"sent.{each.sequence}")
            for each in done
            if each.message.receipt is not None
        ]
        try:
            await self._bus.publish_batch(receipts, deadline_s=_RECEIPT_WITHIN_S)
        except BusUnavailable as error:
            log.warning("receipts_lost", messages=len(receipts), reason=str(error))

    async def _written(
        self, connection: MqttConnection, waiting: Sequence[WaitingMessage]
    ) -> "list[asyncio.Future[int]]":
        """Write messages; the PUBACK codes, of fewer than all if the connection is lost or one is too late."""
        futures: list[asyncio.Future[int]] = []
        try:
            for each in waiting:
                places = None if self._urgent else await connection.place(PUBACK_TIMEOUT_S)
                if self._checks.is_stopped(each) or self._checks.is_expired(each):  # while it waited for a place
                    if places is not None:
                        places.release()
                    break
                futures.append(self._send(connection, each, places))
                if len(futures) % _TO_A_WRITE == 0:
                    await asyncio.sleep(0)  # the socket is written to between two turns of the loop
        except (ConnectionLost, TimeoutError) as error:
            log.debug("outbox_connection_lost", reason=str(error))
        return futures

    def _send(
        self, connection: MqttConnection, each: WaitingMessage, places: asyncio.Semaphore | None
    ) -> "asyncio.Future[int]":
        """Publish; the place is given back with the answer. Raises ConnectionLost."""
        message = each.message
        expiry_s = expiry_of(message, now_ms())
        publication = MqttPublication(
            message.topic, each.allowed.payload.encode(), message.qos, message.retain, expiry_s
        )
        return connection.send(publication, places)

    async def _without_hopeless(self, left: list[WaitingMessage]) -> list[WaitingMessage]:
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
        await self._checks.reject(left[0].delivery, left[0].message.topic, Code.RETRY_EXHAUSTED, text)
        return left[1:]


async def _answers(futures: "Sequence[asyncio.Future[int]]", count: int) -> list[int | None]:
    """The PUBACK code of each of `count` messages, None where none came."""
    if futures:
        await asyncio.wait(futures, timeout=PUBACK_TIMEOUT_S)
    answers = [
        each.result() if each.done() and not each.cancelled() and each.exception() is None else None for each in futures
    ]
    return answers + [None] * (count - len(futures))


def _parts(batch: Sequence[Delivery]) -> list[list[Delivery]]:
    """A batch cut at each broadcast and each pack: a stop of everything is at the broker before the next thousand
    messages are decoded."""
    parts: list[list[Delivery]] = [[]]
    for delivery in batch:
        if delivery.subject == _BROADCAST or is_packed(delivery.subject):
            parts += [[delivery], []]
        else:
            parts[-1].append(delivery)
    return [part for part in parts if part]
