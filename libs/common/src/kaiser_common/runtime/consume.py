"""The consume loop of durable consumers: processes messages, then acknowledges them; rejects those that keep failing.

A handler's error is one of three. The database or NATS is unavailable: the messages wait. The database refuses a row
(SQLSTATE classes 22, 23 and 54): the message is rejected immediately with 5305. Anything else is a bug: the message is
rejected with 5407 when it fails on its third delivery. A statement that takes too long (57014), or an internal error of
the server (XX), may be an outage or the fault of one message. The messages wait; after five tries the batch is split,
to try them separately. A message that fails on its own is delivered again until another message has been processed, of
the same batch or since its first failure; if it then still fails, it is rejected with 5305. The failing message is
found by bisection, so the rest of its batch is processed and acknowledged. A message that the handler cannot read is
not an error: the handler returns it with the reason, and it is rejected with 5407 on its first delivery. All rejections
count towards the limit (`RejectedShare`).

In a pack the failing line is found by bisection too, and only that line is rejected. A pack is acknowledged as a whole
once each of its lines is processed or rejected; until then a redelivery brings all its lines again.

When the limit is reached within a pack, its remaining bad lines are still rejected, so a restart never begins with the
same pack again.

If the process is killed at any point, the messages it had not acknowledged are delivered again after the consumer's
ack_wait. If it is killed between a rejection and the acknowledgement, the message is rejected again under the same id,
so REJECTED holds it once. The count of rejections starts at zero with each process, so every start can reject as many
messages as the limit allows, and the rest of the last one's pack.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

import structlog

from kaiser_common.bus import metrics
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.bus.consumer import Consumer
from kaiser_common.bus.dead_letters import RejectedShare, likely_device_of, reject, source_of
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.errors import Code, line_of
from kaiser_common.runtime.service import Service
from kaiser_common.runtime.settings import CommonSettings
from kaiser_common.runtime.verdicts import Verdict, judge, may_be_the_message

log = structlog.get_logger()

Unreadable = Sequence[tuple[Delivery, str]]
"""Messages that cannot be read, each with the reason."""
Handler = Callable[[Sequence[Delivery]], Awaitable[Unreadable]]
"""Processes a batch; what of it cannot be read is returned, and no part of the effect."""
Acknowledge = Callable[[Sequence[Delivery]], Awaitable[None]]
"""Acknowledges messages to JetStream, or does it later."""

_HALTED_LOOK_S = 1.0
_HALTED_DELAY_S = 5.0
_DELIVERIES = 3
_DOUBTFUL_TRIES = 5
"""After this many timeouts of a statement the messages are tried apart: one of them may be the cause."""
_DOUBTS_KEPT = 1000
_REASON_CHARACTERS = 300
_SAMPLE = 16
"""The number of messages, or lines of packs, of a processed batch whose devices are noted."""


class DeadLetters:
    """Where a service's consume loops put what they fail on, within a limit for each consumer."""

    def __init__(self, bus: Bus, service: Service, settings: CommonSettings) -> None:
        self._bus = bus
        self._service = service
        self._settings = settings

    def share(self) -> RejectedShare:
        """A new count, for one consumer."""
        return RejectedShare(self._settings.dead_letter_share, self._settings.dead_letter_least)

    def watched(self, consumer: Consumer) -> AbstractContextManager[None]:
        """While entered, the consumer is a check of /readyz."""
        return self._service.checking(f"consumer {consumer.name}", consumer.check)

    async def put(self, delivery: Delivery, code: Code, error: Exception) -> None:
        """Store a message in REJECTED. BusUnavailable: it is not stored."""
        await reject(self._bus, [(delivery, line_of(error)[:_REASON_CHARACTERS])], code)

    async def put_unreadable(self, unreadable: Unreadable) -> None:
        """Store messages that cannot be read in REJECTED. BusUnavailable: not all are stored."""
        await reject(
            self._bus, [(each, reason[:_REASON_CHARACTERS]) for each, reason in unreadable], Code.PROCESSING_FAILED
        )


def _nothing() -> None:
    """The default of the callbacks: does nothing."""


@dataclass(frozen=True, slots=True)
class Taking:
    """How a consumer takes its messages; the defaults are the usual way."""

    postponed: Callable[[], None] = _nothing
    """Called when the database or NATS is away."""
    resumed: Callable[[], None] = _nothing
    """Called after each success."""
    rejected: Callable[[], None] = _nothing
    """Called after each rejection of a message on which the handler failed."""
    retry_s: float = 1.0
    hold: bool = False
    """With the database or NATS away, keep the messages in progress and try again, instead of having them delivered
    again after `retry_s`."""
    keeps_unreadable: bool = True
    """False: unreadable messages are counted and acknowledged, because another consumer rejects them."""
    acknowledge: Acknowledge | None = None
    """Called instead of the consumer's own acknowledgement, if the effect of a message is complete only later."""


AS_USUAL = Taking()


async def take(consumer: Consumer, on_messages: Handler, letters: DeadLetters, taking: Taking = AS_USUAL) -> None:
    """Give each batch to `on_messages` and acknowledge it once that returns, until the consumer is stopped.

    Database or NATS away: the messages are delivered again after `retry_s`, or held (`Taking.hold`).

    More rejections than the limit (`dead_letter_limit`): nothing more is rejected, nothing is acknowledged, the
    messages wait on the stream for a version that can process them, and /readyz says 503 until the service is started
    again. The process goes on, so what else it serves, such as emergency stops, is still served.
    """
    loop = _Loop(consumer, on_messages, letters, taking)
    with ExitStack() as stack:
        stack.enter_context(letters.watched(consumer))
        async for batch in consumer:
            await loop.process(batch)
            if loop.halted:
                await loop.wait_halted()


class _Loop:
    """The state of one consume loop."""

    def __init__(self, consumer: Consumer, on_messages: Handler, letters: DeadLetters, taking: Taking) -> None:
        self._consumer = consumer
        self._on_messages = on_messages
        self._letters = letters
        self._taking = taking
        self._acknowledge = taking.acknowledge or consumer.ack
        self._share = letters.share()
        self._held = 0
        self._successes = self._successes_before = 0
        self._doubted: dict[str, int] = {}
        self._doubt_is_open = False
        self.halted = False

    async def process(self, batch: Sequence[Delivery]) -> None:
        """Process a batch in order, by halves around the messages on which the handler fails.

        Each part is acknowledged, rejected or sent back before the next one begins. Database or NATS away, or the
        limit reached: that part and all behind it go back.
        """
        parts = [batch]
        self._held, self._doubt_is_open, self._successes_before = 0, False, self._successes
        while parts:
            part = parts.pop()
            outcome = await self._outcome(part)
            if not isinstance(outcome, Exception):
                left = await self._conclude(part, outcome)
            elif self._verdict(part, outcome) is Verdict.RETRY:
                left = part
            elif len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
                continue
            else:
                left = await self._settle(part[0], outcome)
            if left:
                await self._send_back([left, *reversed(parts)])
                return

    async def _settle(self, delivery: Delivery, error: Exception) -> Sequence[Delivery]:
        """Process the lines of a message apart, and acknowledge it or have it delivered again; itself where it could
        not be settled, because REJECTED cannot take it or the limit is reached."""
        parts = [delivery]
        again = False
        while parts:
            part = parts.pop()
            outcome = error if part is delivery else await self._outcome([part])
            if not isinstance(outcome, Exception):
                if await self._reject_unreadable([part], outcome):
                    return [delivery]
            elif self._verdict([part], outcome) is Verdict.RETRY:
                return [delivery]
            elif part.count > 1:
                first, second = part.halves()
                parts += [second, first]
            elif self._has_another_try(part, outcome):
                again = True
                self._note_failed(part, outcome)
            elif not await self._put_aside(part, outcome):
                return [delivery]
        if again:
            await self._consumer.nak([delivery], delay_s=self._taking.retry_s * delivery.deliveries)
        else:
            await self._acknowledge([delivery])
        return []

    def _verdict(self, part: Sequence[Delivery], error: Exception) -> Verdict:
        """The verdict for a part of a batch. RETRY becomes REJECT if the part was tried often and may be the cause,
        unless the message before it failed alone too: then it is the database."""
        found = judge(error)
        if found is not Verdict.RETRY or not may_be_the_message(error) or self._doubt_is_open:
            return found
        tries = max(self._held, *(delivery.deliveries for delivery in part))
        return Verdict.REJECT if tries >= _DOUBTFUL_TRIES else found

    def _has_another_try(self, delivery: Delivery, error: Exception) -> bool:
        """Whether a message or line that failed alone is delivered once more before it is rejected.

        A bug has three deliveries. A failure that may be the database's has them until another message was processed:
        of the same batch, or since it first failed alone.
        """
        if not may_be_the_message(error):
            return judge(error) is not Verdict.REJECT and delivery.deliveries < _DELIVERIES
        if self._doubted.setdefault(delivery.origin, self._successes_before) < self._successes:
            return False
        while len(self._doubted) > _DOUBTS_KEPT:
            del self._doubted[next(iter(self._doubted))]
        self._doubt_is_open = True
        return True

    async def _send_back(self, parts: Sequence[Sequence[Delivery]]) -> None:
        """Have messages delivered again later."""
        rest = [delivery for part in parts for delivery in part]
        await self._consumer.nak(rest, delay_s=_HALTED_DELAY_S if self.halted else self._taking.retry_s)

    async def _conclude(self, part: Sequence[Delivery], unreadable: Unreadable) -> Sequence[Delivery]:
        """Reject what cannot be read of a part, acknowledge the rest; the messages that could not be settled, because
        REJECTED cannot take a line of theirs or the limit is reached."""
        left = {delivery.reply for delivery, _ in await self._reject_unreadable(part, unreadable)}
        await self._acknowledge([delivery for delivery in part if delivery.reply not in left])
        return [delivery for delivery in part if delivery.reply in left]

    async def _reject_unreadable(self, part: Sequence[Delivery], unreadable: Unreadable) -> Unreadable:
        """Count the lines of a part, and reject those that cannot be read; the ones that could not be rejected."""
        step = len(part) // _SAMPLE + 1
        self._share.note_processed(
            sum(delivery.count for delivery in part) - sum(each.count for each, _ in unreadable),
            [
                likely_device_of(line)
                for delivery in part[::step]
                for line in delivery.some(_SAMPLE * step // len(part) or 1)
            ],
        )
        admitted = unreadable[: self._share.room([source_of(each) for each, _ in unreadable])]
        if not await self._put_unreadable(admitted):
            admitted = []
        elif len(admitted) < len(unreadable):
            self._halt()
        return unreadable[len(admitted) :]

    async def _put_unreadable(self, unreadable: Unreadable) -> bool:
        """Reject and count messages that cannot be read. False: REJECTED cannot take them."""
        if unreadable and self._taking.keeps_unreadable:
            try:
                await self._letters.put_unreadable(unreadable)
            except BusUnavailable as away:
                log.warning("rejection_postponed", consumer=self._consumer.name, reason=line_of(away))
                return False
            metrics.DEAD_LETTERS.labels(self._consumer.name, "unreadable").inc(len(unreadable))
            delivery, reason = unreadable[0]
            log.error(
                "messages_unreadable",
                consumer=self._consumer.name,
                messages=len(unreadable),
                subject=delivery.subject[:128],
                reason=reason[:_REASON_CHARACTERS],
            )
        self._share.note_rejected([source_of(delivery) for delivery, _ in unreadable])
        return True

    async def _outcome(self, part: Sequence[Delivery]) -> Exception | Unreadable:
        """Call the handler; what it raised, or what it could not read. With `hold` an outage is waited out here, until
        the consumer is stopped."""
        while True:
            try:
                unreadable = await self._on_messages(part)
            # Whatever the handler raises is a verdict on its messages, and each verdict is carried out by `process`.
            except Exception as error:  # noqa: BLE001
                if judge(error) is not Verdict.RETRY:
                    return error
                log.warning(
                    "messages_postponed", consumer=self._consumer.name, messages=len(part), reason=line_of(error)
                )
                self._taking.postponed()
                self._held += may_be_the_message(error)
                if not self._taking.hold or self._held >= _DOUBTFUL_TRIES:
                    return error
                if await self._consumer.stopped_within(self._taking.retry_s):
                    return error
            else:
                self._taking.resumed()
                self._successes += 1
                self._doubt_is_open = False
                return unreadable

    def _note_failed(self, delivery: Delivery, error: Exception) -> None:
        """Log that a handler failed on a message that it gets again: a bug after 1 s and 2 s."""
        log.warning(
            "message_failed",
            consumer=self._consumer.name,
            subject=delivery.subject[:128],
            deliveries=delivery.deliveries,
            reason=line_of(error),
        )

    async def _put_aside(self, delivery: Delivery, error: Exception) -> bool:
        """Reject a message or a line. False: REJECTED cannot take it, or the limit is reached."""
        refused = judge(error) is not Verdict.BUG
        if not self._share.room([source_of(delivery)]):
            self._halt()
            return False
        code = Code.INTEGRITY_ERROR if refused else Code.PROCESSING_FAILED
        try:
            await self._letters.put(delivery, code, error)
        except BusUnavailable as away:
            log.warning("rejection_postponed", consumer=self._consumer.name, reason=line_of(away))
            return False
        self._share.note_rejected([source_of(delivery)])
        self._doubted.pop(delivery.origin, None)
        self._taking.rejected()
        metrics.DEAD_LETTERS.labels(self._consumer.name, "refused" if refused else "bug").inc()
        log.error(
            "message_rejected",
            consumer=self._consumer.name,
            subject=delivery.subject[:128],
            code=int(code),
            reason=line_of(error),
            exc_info=error,
        )
        return True

    def _halt(self) -> None:
        self.halted = True
        self._consumer.trouble = "dead_letter_limit: too many of the last messages were rejected; see docs/runbooks.md"
        metrics.DEAD_LETTER_LIMIT.labels(self._consumer.name).set(1)
        log.error("dead_letter_limit", consumer=self._consumer.name, hint="see docs/runbooks.md, DeadLetterLimit")

    async def wait_halted(self) -> None:
        """Process nothing until the consumer is stopped; what still arrives goes back, for a replica that can."""
        while not await self._consumer.stopped_within(_HALTED_LOOK_S):
            await self._consumer.give_back(delay_s=_HALTED_DELAY_S)
