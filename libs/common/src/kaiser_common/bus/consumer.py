"""Takes messages from JetStream through a durable consumer; each message is acknowledged."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from nats.errors import Error as NatsError
from nats.js.api import ConsumerInfo
from nats.js.errors import APIError

from kaiser_common.bus import metrics
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.bus.pull import SHORT_REPLY, Delivery, Pull, stored_at_ns
from kaiser_common.bus.waiting import set_within
from kaiser_common.contract.subjects import DurableConsumer

log = structlog.get_logger()

_LAG_EVERY_S = 5.0
_ANSWER_WITHIN_S = 3.0
_ACKS_TOGETHER = 64
_LOOKS_IN_ACK_WAIT = 5
"""A message is reported in progress after two fifths of its ack_wait at the latest, and then each fifth."""


@dataclass(frozen=True, slots=True)
class Spacing:
    """After fewer than `small` lines, the next ones are handed out no sooner than `least_s` seconds later.

    What comes after a quiet moment waits for nothing.
    """

    least_s: float
    small: int


@dataclass(frozen=True, slots=True)
class ConsumerPosition:
    """How far a durable consumer is: messages not yet delivered and not yet acknowledged, and the stream's sequences up
    to which all are delivered and all are acknowledged."""

    pending: int
    unacknowledged: int
    delivered: int
    acknowledged: int


class Consumer:
    """A durable pull consumer; iterate to get the messages that have arrived, at least one and at most `max_messages`.

    `most_lines`: no further pack is delivered once there are this many lines. `in_order`: what a killed predecessor
    held comes first; until it has come again, after the ack_wait, nothing is handed out. `acks_within_s`: so long an
    acknowledgement may wait for others, as they are sent together at less cost; for effects that a redelivery does not
    repeat, because a killed process gets these messages again.

    Delivered messages are reported as in progress until they are acknowledged, so that JetStream does not redeliver
    them during a long wait for the database. Killed in between: JetStream delivers it again after the consumer's
    ack_wait. The iteration ends after `stop`; messages that have arrived but were not delivered are returned
    immediately.
    """

    def __init__(
        self,
        bus: Bus,
        spec: DurableConsumer,
        *,
        max_messages: int = 1000,
        most_lines: int | None = None,
        spacing: Spacing | None = None,
        in_order: bool = False,
        acks_within_s: float = 0.0,
    ) -> None:
        self._bus = bus
        self.spec = spec
        self._most_lines = most_lines
        self._spacing = spacing
        self._in_order = in_order
        self._next_at = 0.0
        rest_s = spacing.least_s if spacing is not None else 0.0
        self._pull = Pull(bus, spec.stream, spec.name, max_messages, lambda: rest_s)
        self._acks_within_s = acks_within_s
        self._unsent_acks: list[str] = []
        self._acks_wait = asyncio.Event()
        self._held: dict[str, None] = {}
        self._stop = asyncio.Event()
        self.name = spec.name
        self.trouble = ""
        """Why nothing is processed although messages arrive; empty in the normal case. See `check`."""
        self._consumed = metrics.BUS_CONSUMED.labels(spec.name)
        self._redelivered = metrics.BUS_REDELIVERED.labels(spec.name)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Consumer"]:
        """Bind to the consumer, waiting until it is declared."""
        await self._declared()
        if self._in_order:
            await self._let_predecessor_end()
        try:
            async with self._pull.open(to_the_end=True), asyncio.TaskGroup() as tasks:
                keeper = tasks.create_task(self._keep_in_progress(), name=f"in-progress-{self.spec.name}")
                lag = tasks.create_task(self._report_lag(), name=f"lag-{self.spec.name}")
                acks = tasks.create_task(self._keep_sending_acks(), name=f"acks-{self.spec.name}")
                try:
                    yield self
                finally:
                    keeper.cancel()
                    lag.cancel()
                    acks.cancel()
        finally:
            await self._send_acks()
            await self.give_back(delay_s=0.1)

    async def _let_predecessor_end(self) -> None:
        """Wait until what a killed predecessor held comes again: newer messages must not overtake it."""
        position = await self.position()
        if position is None or position.unacknowledged:
            held = None if position is None else position.unacknowledged
            log.info("consumer_waits_for_redelivery", consumer=self.name, messages=held)
            await self.stopped_within(self.spec.ack_wait_s)

    async def __aiter__(self) -> AsyncIterator[list[Delivery]]:
        while not self.stopping:
            if not await self._pull.wait():
                continue
            if self._pull.gone:
                log.warning("consumer_gone", stream=self.spec.stream, consumer=self.spec.name)
                await self._declared()
                self._pull.gone = False
                continue
            await self._wait_spacing()
            batch = self._handed_out()
            if self.stopping:
                await self.nak(batch, delay_s=0.1)
            elif batch:
                yield batch

    async def more(self) -> list[Delivery]:
        """Return further messages that have arrived, without waiting: for a caller that holds a batch for long."""
        batch = self._handed_out()
        await self._pull.top_up()
        return batch

    async def _wait_spacing(self) -> None:
        left_s = self._next_at - time.monotonic()
        if left_s > 0 and await self.stopped_within(left_s):
            return

    def _handed_out(self) -> list[Delivery]:
        batch = self._pull.take(self._most_lines)
        if self._spacing is not None and sum(delivery.count for delivery in batch) < self._spacing.small:
            self._next_at = time.monotonic() + self._spacing.least_s
        self._held.update(dict.fromkeys([delivery.reply for delivery in batch]))
        self._consumed.inc(len(batch))
        again = _redelivered(batch) if batch else 0
        if again:
            self._redelivered.inc(again)
        return batch

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def holds(self, delivery: Delivery) -> bool:
        """Whether a message was handed out and neither acknowledged nor given back."""
        return delivery.reply in self._held

    async def check(self) -> None:
        """For /readyz. RuntimeError: the consumer or its stream is not declared, or nothing is processed."""
        if self.trouble:
            raise RuntimeError(self.trouble)
        try:
            await self._info()
        except BusUnavailable as error:
            raise RuntimeError(f"consumer {self.spec.name} of {self.spec.stream}: {error}; run migrate") from error

    async def position(self) -> ConsumerPosition | None:
        """How far all replicas together have come; None if the server does not say."""
        try:
            info = await self._info()
        except BusUnavailable:
            return None
        return ConsumerPosition(
            pending=info.num_pending or 0,
            unacknowledged=info.num_ack_pending or 0,
            delivered=info.delivered.stream_seq if info.delivered is not None else 0,
            acknowledged=info.ack_floor.stream_seq if info.ack_floor is not None else 0,
        )

    def oldest_age_s(self, now_s: float) -> float:
        """Age of the oldest message that arrived and is not acknowledged, by JetStream's clock; 0 if there is none.

        If the database is unavailable, this is the oldest message that is not stored, because nothing more is fetched.
        """
        stored_at = [stored_at_ns(reply) for reply in self._held]
        stored_at += [delivery.timestamp_ns for delivery in self._pull.arrived]
        return max(0.0, now_s - min(stored_at) / 1e9) if stored_at else 0.0

    async def stopped_within(self, seconds: float) -> bool:
        """Wait for `stop` for at most this time; whether it was called."""
        return await set_within(self._stop, seconds)

    async def give_back(self, *, delay_s: float) -> None:
        """Have what has arrived and was not handed out delivered again after `delay_s`."""
        await self._send([delivery.reply for delivery in self._pull.take()], _nak(delay_s))

    def stop(self) -> None:
        """Fetch nothing more; the iteration ends when the batch at hand is done."""
        self._stop.set()
        self._pull.interrupt()

    async def ack(self, batch: Iterable[Delivery]) -> None:
        """Acknowledge, but what was acknowledged or given back before. An acknowledgement lost with the connection
        means a redelivery."""
        self._unsent_acks += self._settled(batch)
        if not self._acks_within_s or len(self._unsent_acks) >= _ACKS_TOGETHER:
            await self._send_acks()
        else:
            self._acks_wait.set()

    async def nak(self, batch: Iterable[Delivery], *, delay_s: float) -> None:
        """Have messages delivered again after `delay_s` (a delay of 0 would storm), but what was acknowledged or given
        back before: it may be here again by now, and would come once more."""
        await self._send(self._settled(batch), _nak(delay_s))

    async def _send_acks(self) -> None:
        replies, self._unsent_acks = self._unsent_acks, []
        await self._send(replies, b"")

    async def _keep_sending_acks(self) -> None:
        """Send what waits, until cancelled. While nothing is acknowledged this does not wake."""
        while True:
            await self._acks_wait.wait()
            self._acks_wait.clear()
            await asyncio.sleep(self._acks_within_s)
            await self._send_acks()

    def _settled(self, batch: Iterable[Delivery]) -> list[str]:
        """The replies of the messages that were held; none is held any more."""
        return [delivery.reply for delivery in batch if self._held.pop(delivery.reply, "not held") is None]

    async def _send(self, replies: Sequence[str], body: bytes) -> None:
        try:
            for reply in replies:
                await self._bus.send(reply, body)
        except (BusUnavailable, NatsError) as error:
            log.warning("acknowledgement_lost", consumer=self.spec.name, messages=len(replies), reason=str(error))

    async def _keep_in_progress(self) -> None:
        """Report what was here at the look before already: of a message that is acknowledged soon, nothing is said."""
        before: set[str] = set()
        while True:
            await asyncio.sleep(self.spec.ack_wait_s / _LOOKS_IN_ACK_WAIT)
            here = [*self._held, *(delivery.reply for delivery in self._pull.arrived)]
            await self._send([reply for reply in here if reply in before], b"+WPI")
            before = set(here)

    async def _report_lag(self) -> None:
        """Set the gauges of the lag every few seconds, also while nothing is taken; without an answer they stay."""
        oldest = metrics.BUS_OLDEST.labels(self.spec.name)
        pending = metrics.BUS_PENDING.labels(self.spec.name)
        unacknowledged = metrics.BUS_UNACKNOWLEDGED.labels(self.spec.name)
        while True:
            position = await self.position()
            oldest.set(self.oldest_age_s(time.time()))
            if position is not None:
                pending.set(position.pending)
                unacknowledged.set(position.unacknowledged)
            await asyncio.sleep(_LAG_EVERY_S)

    async def _declared(self) -> None:
        """Wait until the consumer exists, with a log line every few seconds."""
        wait_s = 0.2
        while not self.stopping:
            try:
                await self._info()
            except BusUnavailable as error:
                log.warning(
                    "consumer_missing",
                    stream=self.spec.stream,
                    consumer=self.spec.name,
                    reason=str(error),
                    hint="run migrate",
                )
            else:
                return
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, 5.0)

    async def _info(self) -> ConsumerInfo:
        """The consumer's state by JetStream. BusUnavailable: no answer, or no such consumer; the text is the reason."""
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                info: ConsumerInfo = await self._bus.jetstream.consumer_info(self.spec.stream, self.spec.name)
        except APIError as error:
            raise BusUnavailable(error.description or "refused") from error
        except (NatsError, OSError, TimeoutError) as error:
            raise BusUnavailable(str(error) or type(error).__name__) from error
        return info


def _nak(delay_s: float) -> bytes:
    return b'-NAK {"delay": %d}' % int(max(delay_s, 0.01) * 1e9)


def _redelivered(batch: Sequence[Delivery]) -> int:
    """How many were delivered before. Replies to first deliveries begin alike, so hardly any is taken apart."""
    fields = batch[0].reply.split(".")
    if batch[0].deliveries > 1:
        return sum(delivery.deliveries > 1 for delivery in batch)
    to_count = 5 if len(fields) == SHORT_REPLY else 7
    first = ".".join([*fields[:to_count], ""])
    return sum(delivery.deliveries > 1 for delivery in batch if not delivery.reply.startswith(first))
