"""Taking messages from JetStream: durable consumers with acknowledgement, ordered reading without.

One lingering pull request is kept open, so a message is handed out the moment it arrives and an idle consumer costs
one request in half a minute; under load the batches grow by themselves. (FastStream's batch pull waits out its whole
timeout, and nats-py's `fetch` costs a task a message: docs/decisions/0001.)
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from nats.errors import Error as NatsError

from kaiser_common import metrics
from kaiser_common.bus import Bus, BusUnavailable, end_if_cancelled
from kaiser_common.client import parse_headers
from kaiser_common.subjects import DurableConsumer

log = structlog.get_logger()

_EXPIRES_S = 30.0
_IDLE_HEARTBEAT_S = 2.0
_SILENCE_S = 2 * _IDLE_HEARTBEAT_S + 1.0
_LAG_EVERY_S = 5.0
_API = "$JS.API.CONSUMER"
_ACK_REPLY = "$JS.ACK."


class Delivery:
    """A message as JetStream delivered it."""

    __slots__ = ("_raw_headers", "body", "reply", "subject")

    def __init__(self, subject: str, reply: str, body: bytes, raw_headers: bytes | None) -> None:
        self.subject = subject
        self.reply = reply
        self.body = body
        self._raw_headers = raw_headers

    @property
    def headers(self) -> dict[str, str]:
        return parse_headers(self._raw_headers)

    @property
    def traceparent(self) -> str:
        """The trace that a sampled message belongs to (W3C Trace Context); empty for all others."""
        raw = self._raw_headers
        return self.headers.get("traceparent", "") if raw is not None and b"traceparent:" in raw else ""

    @property
    def deliveries(self) -> int:
        """How often it was delivered, this time included."""
        return int(self._field(-5))

    @property
    def stream_sequence(self) -> int:
        return int(self._field(-4))

    @property
    def origin(self) -> str:
        """Stream sequence and time: what tells this message from any other, also of a stream made anew."""
        fields = self.reply.split(".")
        if len(fields) != _SHORT_REPLY:
            del fields[-1]
        return f"{fields[-4]}-{fields[-2]}"

    @property
    def consumer_sequence(self) -> int:
        return int(self._field(-3))

    @property
    def timestamp_ns(self) -> int:
        """When JetStream stored it, in ns since the epoch by the server's clock."""
        return int(self._field(-2))

    @property
    def pending(self) -> int:
        """How many more messages the consumer has to deliver."""
        return int(self._field(-1))

    def _field(self, index: int) -> str:
        # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>, or the same after a
        # domain and account hash and with one random token at the end (ADR-15 of NATS).
        fields = self.reply.split(".")
        return fields[index] if len(fields) == _SHORT_REPLY else fields[index - 1]


_SHORT_REPLY = 9


def _redelivered(batch: Sequence[Delivery]) -> int:
    """How many were delivered before. Replies to first deliveries begin alike, so hardly any is taken apart."""
    fields = batch[0].reply.split(".")
    if batch[0].deliveries > 1:
        return sum(delivery.deliveries > 1 for delivery in batch)
    to_count = 5 if len(fields) == _SHORT_REPLY else 7
    first = ".".join([*fields[:to_count], ""])
    return sum(delivery.deliveries > 1 for delivery in batch if not delivery.reply.startswith(first))


class _Pull:
    """An inbox with one pull request open on a consumer; what arrives waits here, at most `max_messages`."""

    def __init__(self, bus: Bus, stream: str, consumer: str, max_messages: int) -> None:
        self._bus = bus
        self._next = f"{_API}.MSG.NEXT.{stream}.{consumer}"
        self._max = max_messages
        self._inbox = bus.client.new_inbox()
        self._asked = 0
        self._heard_at = time.monotonic()
        self._connection = 0
        self._wake = asyncio.Event()
        self.arrived: list[Delivery] = []
        self.gone = False
        """True when the server says that the consumer does not exist."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["_Pull"]:
        subscription = await self._bus.client.subscribe(self._inbox)
        self._bus.client.divert(subscription, self._on_message)
        try:
            yield self
        finally:
            self._bus.client.restore(subscription)
            try:
                await subscription.unsubscribe()
            except NatsError as error:
                log.debug("unsubscribe_failed", error=str(error))

    async def wait(self, timeout_s: float) -> bool:
        """Ask for more where there is room, then wait until something has arrived. False: nothing yet."""
        await self.top_up()
        if self.arrived or self.gone:
            return True
        self._wake.clear()
        try:
            await asyncio.wait_for(self._wake.wait(), timeout_s)
        except TimeoutError:
            return False
        return bool(self.arrived) or self.gone

    def interrupt(self) -> None:
        self._wake.set()

    def take(self) -> list[Delivery]:
        batch, self.arrived = self.arrived, []
        return batch

    async def top_up(self) -> None:
        """Ask for more where there is room for half of the most."""
        reconnects = self._bus.client.stats["reconnects"]
        if reconnects != self._connection or time.monotonic() - self._heard_at > _SILENCE_S:
            self._connection = reconnects
            self._asked = 0  # the request died with its connection, or its end was lost
            self._heard_at = time.monotonic()
        room = self._max - self._asked - len(self.arrived)
        if 2 * room < self._max:
            return
        request = {
            "batch": room,
            "expires": int(_EXPIRES_S * 1e9),
            "idle_heartbeat": int(_IDLE_HEARTBEAT_S * 1e9),
        }
        body = json.dumps(request).encode()
        self._asked += room  # before the write, in which the first answers may arrive already
        try:
            await self._bus.write(
                b"PUB %b %b %d\r\n%b\r\n" % (self._next.encode(), self._inbox.encode(), len(body), body)
            )
        except BusUnavailable:
            self._asked = 0  # not connected: no request is open
            await asyncio.sleep(0.1)

    def _on_message(self, subject: str, reply: str, body: bytes, raw_headers: bytes | None) -> None:
        self._heard_at = time.monotonic()
        if reply.startswith(_ACK_REPLY):
            self._asked -= 1
            self.arrived.append(Delivery(subject, reply, body, raw_headers))
            self._wake.set()
        else:
            headers = parse_headers(raw_headers)
            self._on_status(headers.get("Status", ""), headers)

    def _on_status(self, status: str, headers: Mapping[str, str]) -> None:
        if status == "100":  # idle heartbeat
            return
        unused = headers.get("Nats-Pending-Messages")
        self._asked = max(0, self._asked - int(unused)) if unused is not None else 0
        description = headers.get("Description", "")
        if status == "404" or (status == "409" and "Consumer Deleted" in description):
            self.gone = status == "409"
        elif status not in ("408", "409"):
            log.warning("pull_refused", status=status, description=description, request=self._next)
        self._wake.set()


class Consumer:
    """A durable pull consumer; iterate to get what has arrived, at least one message, at most `max_messages`.

    What is handed out and not yet acknowledged is reported in progress, so that a long wait for a database does not
    make JetStream deliver it again. Killed in between: JetStream delivers it again after the consumer's ack_wait.
    The iteration ends after `stop`; what has arrived but was not handed out goes back at once.
    """

    def __init__(self, bus: Bus, spec: DurableConsumer, *, max_messages: int = 1000) -> None:
        self._bus = bus
        self._spec = spec
        self._pull = _Pull(bus, spec.stream, spec.name, max_messages)
        self._held: dict[str, None] = {}
        self._stopping = False
        self._consumed = metrics.BUS_CONSUMED.labels(spec.name)
        self._redelivered = metrics.BUS_REDELIVERED.labels(spec.name)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Consumer"]:
        """Bind to the consumer, waiting until it is declared."""
        await self._declared()
        async with self._pull.open(), asyncio.TaskGroup() as tasks:
            keeper = tasks.create_task(self._keep_in_progress(), name=f"in-progress-{self._spec.name}")
            lag = tasks.create_task(self._tell_lag(), name=f"lag-{self._spec.name}")
            try:
                yield self
            finally:
                keeper.cancel()
                lag.cancel()
                await self.nak(self._pull.take(), delay_s=0.1)

    async def __aiter__(self) -> AsyncIterator[list[Delivery]]:
        while not self._stopping:
            if not await self._pull.wait(1.0):
                continue
            if self._pull.gone:
                log.warning("consumer_gone", stream=self._spec.stream, consumer=self._spec.name)
                await self._declared()
                self._pull.gone = False
                continue
            batch = self._handed_out()
            if self._stopping:
                await self.nak(batch, delay_s=0.1)
            elif batch:
                yield batch

    async def more(self) -> list[Delivery]:
        """What else has arrived by now, without waiting: for one that holds a batch for long."""
        batch = self._handed_out()
        await self._pull.top_up()
        return batch

    def _handed_out(self) -> list[Delivery]:
        batch = self._pull.take()
        self._held.update(dict.fromkeys([delivery.reply for delivery in batch]))
        self._consumed.inc(len(batch))
        again = _redelivered(batch) if batch else 0
        if again:
            self._redelivered.inc(again)
        return batch

    def stop(self) -> None:
        """Fetch nothing more; the iteration ends when the batch at hand is done."""
        self._stopping = True
        self._pull.interrupt()

    async def ack(self, batch: Iterable[Delivery]) -> None:
        """Acknowledge, all in one write. An acknowledgement lost with the connection means a redelivery."""
        await self._answer(batch, b"")

    async def nak(self, batch: Iterable[Delivery], *, delay_s: float) -> None:
        """Have messages delivered again after `delay_s` (a delay of 0 would storm)."""
        await self._answer(batch, b'-NAK {"delay": %d}' % int(max(delay_s, 0.01) * 1e9))

    async def _answer(self, batch: Iterable[Delivery], body: bytes) -> None:
        replies = [delivery.reply for delivery in batch]
        for reply in replies:
            self._held.pop(reply, None)
        await self._write(replies, body)

    async def _write(self, replies: Sequence[str], body: bytes) -> None:
        if not replies:
            return
        tail = f" {len(body)}\r\n{body.decode()}\r\n"
        try:
            await self._bus.write(f"PUB {f'{tail}PUB '.join(replies)}{tail}".encode())
        except BusUnavailable as error:
            log.warning("acknowledgement_lost", consumer=self._spec.name, messages=len(replies), reason=str(error))

    async def _keep_in_progress(self) -> None:
        while True:
            await asyncio.sleep(self._spec.ack_wait_s / 3)
            await self._write([*self._held, *(delivery.reply for delivery in self._pull.arrived)], b"+WPI")

    async def _tell_lag(self) -> None:
        """Set the gauges of the lag every few seconds, also while nothing is taken; without an answer they stay."""
        pending = metrics.BUS_PENDING.labels(self._spec.name)
        unacknowledged = metrics.BUS_UNACKNOWLEDGED.labels(self._spec.name)
        while True:
            answer = await _api(self._bus, f"{_API}.INFO.{self._spec.stream}.{self._spec.name}", {})
            end_if_cancelled()
            if "error" not in answer:
                pending.set(int(answer["num_pending"]))
                unacknowledged.set(int(answer["num_ack_pending"]))
            await asyncio.sleep(_LAG_EVERY_S)

    async def _declared(self) -> None:
        """Wait until the consumer exists, with a log line every few seconds."""
        wait_s = 0.2
        while not self._stopping:
            answer = await _api(self._bus, f"{_API}.INFO.{self._spec.stream}.{self._spec.name}", {})
            if "error" not in answer:
                return
            reason = answer["error"].get("description", "")
            log.warning(
                "consumer_missing",
                stream=self._spec.stream,
                consumer=self._spec.name,
                reason=reason,
                hint="run migrate",
            )
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, 5.0)


class OrderedReader:
    """Reads a stream in order from a point on, without acknowledgement; starts itself again after any gap.

    Iterate to get what has arrived. Kept by an ephemeral consumer that the server drops after a minute unused.
    """

    def __init__(
        self,
        bus: Bus,
        stream: str,
        filters: Sequence[str],
        *,
        start_sequence: int | None = None,
        last_per_subject: bool = False,
        max_messages: int = 1000,
    ) -> None:
        self._bus = bus
        self._stream = stream
        self._filters = list(filters)
        self._last_per_subject = last_per_subject
        self._next_sequence = start_sequence
        self._max = max_messages
        self._created = ""
        self._stopping = False
        self.restarts = 0
        """How often it began again: a reader of last values must then forget what it had."""
        self.pending_at_start = 0
        """Messages that the stream held when reading began, or began again."""

    def stop(self) -> None:
        self._stopping = True

    async def __aiter__(self) -> AsyncIterator[list[Delivery]]:
        """Lists of messages in stream order; an empty list once right after each (re)start when nothing is kept."""
        while not self._stopping:
            info = await self._create()
            if info is None:
                await asyncio.sleep(0.5)
                continue
            self.pending_at_start = int(info.get("num_pending", 0))
            pull = _Pull(self._bus, self._stream, info["name"], self._max)
            async with pull.open():
                if not self.pending_at_start:
                    yield []
                async for batch in self._read(pull):
                    yield batch
            self.restarts += 1

    async def _read(self, pull: _Pull) -> AsyncIterator[list[Delivery]]:
        """What one ephemeral consumer delivers, until it is gone or a gap shows."""
        expected = 1
        reconnects = self._bus.client.stats["reconnects"]
        while not self._stopping and not pull.gone:
            arrived = await pull.wait(1.0)
            if self._bus.client.stats["reconnects"] != reconnects:
                return  # the server may have lost the consumer, or the stream begun anew
            if not arrived:
                continue
            batch = []
            for delivery in pull.take():
                if delivery.consumer_sequence != expected:
                    log.warning("ordered_gap", stream=self._stream, expected=expected, got=delivery.consumer_sequence)
                    pull.gone = True
                    break
                expected += 1
                batch.append(delivery)
            if batch:
                self._next_sequence = batch[-1].stream_sequence + 1
                yield batch

    async def _look_at_stream(self) -> None:
        """Begin at 1 where the stream was made anew: its numbers of before would be waited for, perhaps for days."""
        stream = await _api(self._bus, f"$JS.API.STREAM.INFO.{self._stream}", {})
        created = str(stream.get("created", ""))
        if created and self._created and created != self._created:
            log.warning("stream_began_anew", stream=self._stream, next_before=self._next_sequence)
            self._next_sequence = 1
        self._created = created or self._created

    async def _create(self) -> dict[str, Any] | None:
        if not self._last_per_subject:
            await self._look_at_stream()
        name = f"{self._bus.name}-{self._bus.message_id()}"
        subject = f"{_API}.CREATE.{self._stream}.{name}"
        config: dict[str, Any] = {
            "name": name,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(60e9),
        }
        if len(self._filters) == 1:
            # In the subject too, so that a user's rights can be narrowed to it: the server compares the two.
            config["filter_subject"] = self._filters[0]
            subject = f"{subject}.{self._filters[0]}"
        else:
            config["filter_subjects"] = self._filters
        if self._last_per_subject:
            config["deliver_policy"] = "last_per_subject"
        elif self._next_sequence is None:
            config["deliver_policy"] = "new"
        else:
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": max(1, self._next_sequence)}
        request = {"stream_name": self._stream, "config": config, "action": "create"}
        answer = await _api(self._bus, subject, request)
        if "error" in answer:
            log.warning("reader_refused", stream=self._stream, reason=answer["error"].get("description", ""))
            return None
        return answer


async def _api(bus: Bus, subject: str, request: dict[str, Any], timeout_s: float = 3.0) -> dict[str, Any]:
    """A JetStream API call; a missing answer comes back as an error too."""
    try:
        answer = await bus.client.request(subject, json.dumps(request).encode(), timeout=timeout_s)
    except (NatsError, OSError, TimeoutError) as error:
        return {"error": {"description": str(error) or type(error).__name__}}
    return dict(json.loads(answer.data))
