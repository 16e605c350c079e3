"""OUTBOX to the factory's broker: commands at most once, messages of the mock factory and of replays in order.

Each message passes the guard of its lane (kaiser_factory_dialect.lanes). A command is acknowledged on the bus and
reported as unconfirmed before it is written to the socket. So whichever process is killed, and whenever, no command is
written twice, and none is written after its 10 s. Killed in between: the journal shows the command as unconfirmed until
the factory answers. Messages of the lanes mock and replay are acknowledged after the PUBACK, so they may be published
twice. If the handler fails with an unexpected error, the consume loop calls it again with the same batch, and it skips
the messages that are already settled, so no command is written twice.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.errors import Code, line_of
from kaiser_common.contract.schemas.event import RejectedMessage
from kaiser_common.contract.schemas.factory import FactoryEnvironment, FactoryOutbox, FactoryReceipt
from kaiser_common.contract.subjects import rejected_subject, replay_rejected_subject
from kaiser_common.contract.system_events import SystemEventName
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.consume import Unreadable
from kaiser_factory_dialect.commands import SEND_WITHIN_MS
from kaiser_factory_dialect.lanes import FactoryOutgoing, Gate, Lane, breach, too_late
from kaiser_factory_dialect.subjects import receipt_subject
from nats.errors import Error as NatsError
from pydantic import ValidationError

from kaiser_ingest import metrics
from kaiser_ingest.consumers.session import MqttSession
from kaiser_ingest.domain import reason_codes
from kaiser_ingest.domain.factory_dialect import FactoryDialect
from kaiser_ingest.mqtt.connection import MqttConnection
from kaiser_ingest.mqtt.sending import ConnectionLost, MqttPublication
from kaiser_ingest.publish import SystemEvents

log = structlog.get_logger()

MAX_MESSAGES = 200
"""Messages that wait here at most."""

_LOOK_EVERY_S = 0.5
_ANSWERS_WITHIN_S = 1.0
_PUBACK_WITHIN_S = 10.0
_RECEIPT_WITHIN_S = 2.0
_ACK_WITHIN_S = 2.0
_RETRY_S = 0.2
_MAX_ATTEMPTS = 3
_LANES = ("command", "mock", "replay")
_TOKENS = 4
ReceiptOutcome = Literal["sent", "unconfirmed", "expired", "refused"]


@dataclass(frozen=True, slots=True)
class _Ready:
    """A message that was read."""

    delivery: Delivery
    lane: Lane
    message: FactoryOutbox
    payload: bytes

    @property
    def id(self) -> str:
        return self.message.command_id or f"outbox-{self.delivery.stream_sequence}"


@dataclass(frozen=True, slots=True)
class _NoMessage:
    """The rejection of a delivery whose body is no valid message."""

    topic: str
    code: Code
    text: str


class FactoryExit:
    """Publishes what the consumer `ingest-factory` delivers."""

    def __init__(
        self,
        bus: Bus,
        consumer: Consumer,
        session: MqttSession,
        events: SystemEvents,
        dialect: FactoryDialect,
        environment_of: Callable[[], FactoryEnvironment | None],
        interfaces: tuple[str, ...],
    ) -> None:
        self._bus = bus
        self._consumer = consumer
        self._session = session
        self._events = events
        self._dialect = dialect
        self._environment_of = environment_of
        self._interfaces = interfaces
        self._in_vain = (0, 0)  # a message (stream sequence) and how often it was written without an answer

    async def on_messages(self, batch: Sequence[Delivery]) -> Unreadable:
        """Publish a batch in order: each command separately, adjacent messages of another lane together. Each message
        is settled when this returns: it is sent, rejected, or goes back because the consumer is stopped."""
        waiting = [each for each in batch if self._consumer.holds(each)]
        while waiting and not self._consumer.stopping:
            read = await self._read(waiting[0])
            if read is None:
                waiting.pop(0)
            elif read.lane == "command":
                await self._command(read)
                waiting.pop(0)
            else:
                together = [read, *_same_lane(waiting[1:], read.lane)]
                done = await self._publish(together)
                waiting = waiting[done:]
        await self._consumer.nak(waiting, delay_s=0.1)
        return ()

    async def _read(self, delivery: Delivery) -> _Ready | None:
        """The message; None: it is no message, which is rejected."""
        read = _parse(delivery)
        if isinstance(read, _Ready):
            return read
        await self._reject(delivery, read.topic, read.code, read.text)
        return None

    async def _command(self, ready: _Ready) -> None:
        """Write a command once, within its time, or never."""
        connection = await self._connection_in_time(ready)
        if connection is None:
            return
        if not await self._is_taken_over(ready):
            return  # nothing was written; it comes again, or its time is out
        self._dialect.note_sent(ready.message.topic, ready.payload, now_ms())
        if (why := self._why_not(ready, now_ms())) is not None:
            await self._refuse(ready, why)
            return
        try:
            code = await connection.publish(_publication(ready, now_ms()), _PUBACK_WITHIN_S)
        except (ConnectionLost, TimeoutError) as error:
            log.warning(
                "factory_command_unconfirmed", topic=ready.message.topic[:128], reason=str(error) or "no PUBACK"
            )
            metrics.FACTORY_SENT.labels("command", "unconfirmed").inc()
            return
        if code >= reason_codes.FAILURE_FROM:
            await self._refused_by_broker(ready, code)
            return
        metrics.FACTORY_SENT.labels("command", "sent").inc()
        await self._say(ready, "sent")

    async def _connection_in_time(self, ready: _Ready) -> MqttConnection | None:
        """A connection whose broker answers, for a command that may be written now. None: it may not, or we stop.

        Without a connection it is not known which environment comes next: until then only its age counts.
        """
        while not self._consumer.stopping:
            connection = await self._session.connection(_LOOK_EVERY_S)
            now = now_ms()
            why = too_late(ready.message.queued_at, now) if connection is None else self._why_not(ready, now)
            if why is not None:
                await self._refuse(ready, why)
                return None
            if connection is not None and await _answers(connection):
                return connection
        await self._consumer.nak([ready.delivery], delay_s=0.1)
        return None

    async def _is_taken_over(self, ready: _Ready) -> bool:
        """Acknowledge on the bus, and wait until it has that; then say that the command is about to be written."""
        try:
            await self._bus.client.request(ready.delivery.reply, b"+ACK", timeout=_ACK_WITHIN_S)
        except (NatsError, OSError, TimeoutError) as error:
            log.warning("factory_command_not_taken", topic=ready.message.topic[:128], reason=str(error))
            await self._consumer.nak([ready.delivery], delay_s=0.5)
            return False
        await self._consumer.ack([ready.delivery])  # so that it is not reported in progress any more
        return await self._say(ready, "unconfirmed")

    async def _publish(self, together: Sequence[_Ready]) -> int:
        """Publish messages of one lane in order; how many of them are done with.

        From the connection on nothing is waited for until all are written: they are judged in its environment.
        """
        connection = await self._session.connection(_LOOK_EVERY_S)
        if connection is None:
            return 0
        allowed: list[_Ready] = []
        for ready in together:
            if (why := self._why_not(ready, now_ms())) is not None:
                if allowed:
                    break
                await self._refuse(ready, why)
                return 1
            allowed.append(ready)
        futures: list[asyncio.Future[int]] = []
        try:
            for ready in allowed:
                self._dialect.note_sent(ready.message.topic, ready.payload, now_ms())
                futures.append(connection.send(_publication(ready, None)))
        except ConnectionLost as error:
            log.debug("factory_connection_lost", reason=str(error))
        if futures:
            await asyncio.wait(futures, timeout=_PUBACK_WITHIN_S)
        done = 0
        for ready, future in zip(allowed, futures, strict=False):
            if not future.done() or future.cancelled() or future.exception() is not None:
                break
            if future.result() >= reason_codes.FAILURE_FROM:
                await self._refused_by_broker(ready, future.result())
            else:
                metrics.FACTORY_SENT.labels(ready.lane, "sent").inc()
                await self._consumer.ack([ready.delivery])
            done += 1
        if done == 0 and futures and self._is_hopeless(allowed[0].delivery):
            text = f"no PUBACK in {_MAX_ATTEMPTS} attempts"
            message = allowed[0].message
            await self._reject(allowed[0].delivery, message.topic, Code.RETRY_EXHAUSTED, text, message.replay_id)
            return 1
        if done < len(allowed):
            await self._consumer.stopped_within(_RETRY_S)
        return done

    def _is_hopeless(self, delivery: Delivery) -> bool:
        """True at the third time in a row that it was written in vain: the broker hangs up on it."""
        sequence, attempts = self._in_vain
        attempts = attempts + 1 if sequence == delivery.stream_sequence else 1
        self._in_vain = (delivery.stream_sequence, attempts)
        return attempts >= _MAX_ATTEMPTS

    def _why_not(self, ready: _Ready, now_ms: int) -> str | None:
        """Why a message must not be written now."""
        environment = self._environment_of()
        if environment is None:
            return "no environment is entered"
        message = ready.message
        outgoing = FactoryOutgoing(
            ready.lane,
            message.topic,
            message.env,
            message.epoch,
            message.queued_at,
            message.retain,
            message.free,
            clears=_clears(ready),
        )
        gate = Gate(environment.kind, environment.env, environment.epoch, environment.armed)
        return breach(outgoing, gate, now_ms, self._interfaces)

    async def _refused_by_broker(self, ready: _Ready, code: int) -> None:
        """Reject a message that broke no rule of ours, such as one for which the broker's rights do not suffice."""
        metrics.FACTORY_SENT.labels(ready.lane, "refused").inc()
        why = f"the broker refused it: {reason_codes.reason_text(code)}"
        await self._rejected(ready, "factory_message_refused", "warning", "refused", why)

    async def _refuse(self, ready: _Ready, why: str) -> None:
        """Reject a message that breaks the rules of its lane, or is too late, or of an environment that was left."""
        message, environment = ready.message, self._environment_of()
        late = ready.lane == "command" and too_late(message.queued_at, now_ms()) is not None
        left = environment is not None and (message.env, message.epoch) != (environment.env, environment.epoch)
        outcome: ReceiptOutcome = "expired" if late else "refused"
        metrics.FACTORY_SENT.labels(ready.lane, "abandoned" if left and not late else outcome).inc()
        event: SystemEventName = "factory_command_abandoned" if late or left else "factory_lane_breach"
        severity: Literal["warning", "critical"] = "warning" if late or left else "critical"
        await self._rejected(ready, event, severity, outcome, why)

    async def _rejected(
        self,
        ready: _Ready,
        event: SystemEventName,
        severity: Literal["warning", "critical"],
        outcome: ReceiptOutcome,
        why: str,
    ) -> None:
        """Publish an event, report it to the journal, and store the message in REJECTED."""
        message = ready.message
        text = f"a message for {message.topic[:128]} was not sent: {why}"
        self._events.report(event, severity, text, code=Code.PERMISSION_DENIED, topic=message.topic[:128], reason=why)
        await self._say(ready, outcome, why)
        await self._reject(ready.delivery, message.topic, Code.PERMISSION_DENIED, why, message.replay_id)

    async def _say(self, ready: _Ready, outcome: ReceiptOutcome, detail: str | None = None) -> bool:
        """Publish how the publication of a command stands; False where NATS does not take it."""
        command_id = ready.message.command_id
        if command_id is None:
            return True
        receipt = FactoryReceipt(outcome=outcome, at=now_ms(), detail=detail)
        subject = receipt_subject(ready.message.env, command_id)
        try:
            body = receipt.model_dump_json(exclude_none=True).encode()
            await self._bus.publish(subject, body, f"{ready.id}.{outcome}", deadline_s=_RECEIPT_WITHIN_S)
        except BusUnavailable as error:
            log.warning("factory_receipt_lost", command=command_id, outcome=outcome, reason=str(error))
            return False
        return True

    async def _reject(
        self, delivery: Delivery, topic: str, code: Code, text: str, replay_id: str | None = None
    ) -> None:
        """Store a message in REJECTED, then take it out of the outbox. NATS away: it comes again."""
        rejected = RejectedMessage(
            topic=topic[:1024],
            payload_base64=base64.b64encode(delivery.body[: 16 * 1024]).decode(),
            code=code,
            message=text,
            received_at=now_ms(),
        )
        subject = (
            replay_rejected_subject(int(code), replay_id) if replay_id is not None else rejected_subject(int(code))
        )
        log.warning("factory_message_rejected", code=int(code), detail=text, topic=topic[:128])
        try:
            body = rejected.model_dump_json(exclude_none=True).encode()
            await self._bus.publish(subject, body, f"outbox.{delivery.stream_sequence}")
        except BusUnavailable as error:
            log.warning("outbox_rejection_not_stored", reason=str(error))
            await self._consumer.nak([delivery], delay_s=5.0)
            return
        await self._consumer.ack([delivery])


def _same_lane(waiting: Iterable[Delivery], lane: Lane) -> list[_Ready]:
    """The messages that follow on the lane, up to one that cannot be read: that one is rejected in its turn."""
    found: list[_Ready] = []
    for delivery in waiting:
        read = _parse(delivery)
        if not isinstance(read, _Ready) or read.lane != lane:
            break
        found.append(read)
    return found


def _parse(delivery: Delivery) -> _Ready | _NoMessage:
    """The message that a delivery holds, or why it holds none."""
    try:
        message = FactoryOutbox.model_validate_json(delivery.body)
        payload = base64.b64decode(message.payload_base64, validate=True)
    except (ValidationError, binascii.Error, ValueError) as error:
        return _NoMessage("", Code.PAYLOAD_SERIALIZATION_FAILED, line_of(error))
    lane = lane_of(delivery.subject)
    if lane is None:
        return _NoMessage(message.topic, Code.TOPIC_MISMATCH, "no lane of the factory")
    return _Ready(delivery, lane, message, payload)


async def _answers(connection: MqttConnection) -> bool:
    """Whether the broker answers now: one that is frozen would take what is written much later."""
    try:
        return await connection.answers(_ANSWERS_WITHIN_S)
    except ConnectionLost:
        return False


def lane_of(subject: str) -> Lane | None:
    """The lane of a subject `mqtt.factory.{lane}.{serial}`."""
    tokens = subject.split(".")
    return cast(Lane, tokens[2]) if len(tokens) == _TOKENS and tokens[2] in _LANES else None


def _publication(ready: _Ready, now_ms: int | None) -> MqttPublication:
    """The MQTT message. now_ms: of a command, whose rest of its time the broker may keep it (MQTT 5)."""
    message = ready.message
    expiry_s = None if now_ms is None else max(1, (message.queued_at + SEND_WITHIN_MS - now_ms) // 1000)
    retain = message.retain and (ready.lane != "command" or _clears(ready))
    qos = message.qos if ready.lane == "command" else 1  # so that nothing of a replay or a mock factory is lost
    return MqttPublication(message.topic, ready.payload, qos, retain, expiry_s)


def _clears(ready: _Ready) -> bool:
    """Whether the broker is to delete what it retains of the topic."""
    return ready.lane == "command" and ready.message.retain and not ready.payload
