"""Taking messages from JetStream by a durable consumer, each acknowledged."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from nats.errors import Error as NatsError

from kaiser_common.bus import metrics
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.bus.pull import API, SHORT_REPLY, Delivery, Pull, ask, stored_at_ns
from kaiser_common.contract.subjects import DurableConsumer

log = structlog.get_logger()

_LAG_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Spacing:
    """After fewer than `small` lines, the next ones are handed out no sooner than `least_s` seconds later.

    What comes after a quiet moment waits for nothing.
    """

    least_s: float
    small: int


@dataclass(frozen=True, slots=True)
class Position:
    """How far a durable consumer is: messages not yet delivered and not yet acknowledged, and the stream's sequences up
    to which all are delivered and all are acknowledged."""

    pending: int
    unacknowledged: int
    delivered: int
    acknowledged: int


class Consumer:
    """A durable pull consumer; iterate to get the messages that have arrived, at least one and at most `max_messages`.

    `most_lines`: no further pack is delivered once there are this many lines.

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
    ) -> None:
        self._bus = bus
        self.spec = spec
        self._most_lines = most_lines
        self._spacing = spacing
        self._next_at = 0.0
        self._pull = Pull(bus, spec.stream, spec.name, max_messages)
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
        try:
            async with self._pull.open(to_the_end=True), asyncio.TaskGroup() as tasks:
                keeper = tasks.create_task(self._keep_in_progress(), name=f"in-progress-{self.spec.name}")
                lag = tasks.create_task(self._tell_lag(), name=f"lag-{self.spec.name}")
                try:
                    yield self
                finally:
                    keeper.cancel()
                    lag.cancel()
        finally:
            await self.nak(self._pull.take(), delay_s=0.1)

    async def __aiter__(self) -> AsyncIterator[list[Delivery]]:
        while not self._stopping:
            if not await self._pull.wait(1.0):
                continue
            if self._pull.gone:
                log.warning("consumer_gone", stream=self.spec.stream, consumer=self.spec.name)
                await self._declared()
                self._pull.gone = False
                continue
            await self._wait_spacing()
            batch = self._handed_out()
            if self._stopping:
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
    def _stopping(self) -> bool:
        return self._stop.is_set()

    async def check(self) -> None:
        """For /readyz. RuntimeError: the consumer or its stream is not declared, or nothing is processed."""
        if self.trouble:
            raise RuntimeError(self.trouble)
        answer = await ask(self._bus, f"{API}.INFO.{self.spec.stream}.{self.spec.name}", {})
        if "error" in answer:
            description = answer["error"].get("description", "")
            raise RuntimeError(f"consumer {self.spec.name} of {self.spec.stream}: {description}; run migrate")

    async def position(self) -> Position | None:
        """How far all replicas together have come; None if the server does not say."""
        answer = await ask(self._bus, f"{API}.INFO.{self.spec.stream}.{self.spec.name}", {})
        if "error" in answer:
            return None
        return Position(
            pending=int(answer["num_pending"]),
            unacknowledged=int(answer["num_ack_pending"]),
            delivered=int(answer["delivered"]["stream_seq"]),
            acknowledged=int(answer["ack_floor"]["stream_seq"]),
        )

    def oldest_age_s(self, now_s: float) -> float:
        """Age of the oldest message that arrived and is not acknowledged, by JetStream's clock; 0 if there is none.

        If the database is unavailable, this is the oldest message that is not stored, because nothing more is fetched.
        """
        stored_at = [stored_at_ns(reply) for reply in self._held]
        stored_at += [delivery.timestamp_ns for delivery in self._pull.arrived]
        return max(0.0, now_s - min(stored_at) / 1e9) if stored_at else 0.0

    async def stopped_within(self, seconds: float) -> bool:
        """Wait until `stop`, at most so long; whether it was called."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return False
        return True

    async def give_back(self, *, delay_s: float) -> None:
        """Have what has arrived and was not handed out delivered again after `delay_s`."""
        await self.nak(self._pull.take(), delay_s=delay_s)

    def stop(self) -> None:
        """Fetch nothing more; the iteration ends when the batch at hand is done."""
        self._stop.set()
        self._pull.interrupt()

    async def ack(self, batch: Iterable[Delivery]) -> None:
        """Acknowledge. An acknowledgement lost with the connection means a redelivery."""
        await self._answer(batch, b"")

    async def nak(self, batch: Iterable[Delivery], *, delay_s: float) -> None:
        """Have messages delivered again after `delay_s` (a delay of 0 would storm)."""
        await self._answer(batch, b'-NAK {"delay": %d}' % int(max(delay_s, 0.01) * 1e9))

    async def _answer(self, batch: Iterable[Delivery], body: bytes) -> None:
        replies = [delivery.reply for delivery in batch]
        for reply in replies:
            self._held.pop(reply, None)
        await self._send(replies, body)

    async def _send(self, replies: Sequence[str], body: bytes) -> None:
        try:
            for reply in replies:
                await self._bus.send(reply, body)
        except (BusUnavailable, NatsError) as error:
            log.warning("acknowledgement_lost", consumer=self.spec.name, messages=len(replies), reason=str(error))

    async def _keep_in_progress(self) -> None:
        while True:
            await asyncio.sleep(self.spec.ack_wait_s / 3)
            await self._send([*self._held, *(delivery.reply for delivery in self._pull.arrived)], b"+WPI")

    async def _tell_lag(self) -> None:
        """Set the gauges of the lag every few seconds, also while nothing is taken; without an answer they stay."""
        oldest = metrics.BUS_OLDEST.labels(self.spec.name)
        pending = metrics.BUS_PENDING.labels(self.spec.name)
        unacknowledged = metrics.BUS_UNACKNOWLEDGED.labels(self.spec.name)
        while True:
            answer = await ask(self._bus, f"{API}.INFO.{self.spec.stream}.{self.spec.name}", {})
            oldest.set(self.oldest_age_s(time.time()))
            if "error" not in answer:
                pending.set(int(answer["num_pending"]))
                unacknowledged.set(int(answer["num_ack_pending"]))
            await asyncio.sleep(_LAG_EVERY_S)

    async def _declared(self) -> None:
        """Wait until the consumer exists, with a log line every few seconds."""
        wait_s = 0.2
        while not self._stopping:
            answer = await ask(self._bus, f"{API}.INFO.{self.spec.stream}.{self.spec.name}", {})
            if "error" not in answer:
                return
            reason = answer["error"].get("description", "")
            log.warning(
                "consumer_missing",
                stream=self.spec.stream,
                consumer=self.spec.name,
                reason=reason,
                hint="run migrate",
            )
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, 5.0)


def _redelivered(batch: Sequence[Delivery]) -> int:
    """How many were delivered before. Replies to first deliveries begin alike, so hardly any is taken apart."""
    fields = batch[0].reply.split(".")
    if batch[0].deliveries > 1:
        return sum(delivery.deliveries > 1 for delivery in batch)
    to_count = 5 if len(fields) == SHORT_REPLY else 7
    first = ".".join([*fields[:to_count], ""])
    return sum(delivery.deliveries > 1 for delivery in batch if not delivery.reply.startswith(first))
