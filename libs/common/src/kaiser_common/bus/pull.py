"""Messages as JetStream delivers them to a consumer, and the pull request that brings them.

One lingering pull request is kept open, so a message is handed out the moment it arrives and an idle consumer costs one
request in half a minute; under load the batches grow. A reader that can wait a little takes several messages at a time
instead (`rest`), because each delivery costs the server and the process about 0.1 ms.

FastStream's batch pull waits out its whole timeout, and nats-py's `fetch` starts a task for each message
(docs/decisions/0001). Consumers are in consumer.py and reader.py.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.contract.pack import count, split
from kaiser_common.contract.subjects import is_packed

log = structlog.get_logger()

API = "$JS.API.CONSUMER"
"""Where JetStream takes requests about consumers."""
SHORT_REPLY = 9
"""Tokens of the reply of a delivery that names neither domain nor account."""

_LONGEST_WAIT_S = 1.0
_EXPIRES_S = 30.0
_IDLE_HEARTBEAT_S = 2.0
_SILENCE_S = 2 * _IDLE_HEARTBEAT_S + 1.0
_LINGERING = {"expires": int(_EXPIRES_S * 1e9), "idle_heartbeat": int(_IDLE_HEARTBEAT_S * 1e9)}
_UNTIL_EMPTY = {"no_wait": True, **_LINGERING}
"""All that waits, or the next that comes: the server ends such a request (404) once it has nothing more to deliver."""
_ACK_REPLY = "$JS.ACK."
_PLACES_APART = 7919
"""A prime, so that looks at packs of one length begin at each place of a step in turn."""


class Delivery:
    """A message as JetStream delivered it, or some lines of one that is a pack.

    first_line: of some lines, where they begin in the pack; None for the whole message.
    """

    __slots__ = ("_count", "_headers", "body", "first_line", "reply", "subject")

    def __init__(
        self, subject: str, reply: str, body: bytes, headers: Mapping[str, str] | None, first_line: int | None = None
    ) -> None:
        self.subject = subject
        self.reply = reply
        self.body = body
        self.first_line = first_line
        self._headers = headers
        self._count: int | None = None

    @property
    def count(self) -> int:
        """How many lines it has; one where it is no pack. Counted once, because several steps ask for it."""
        if self._count is None:
            self._count = count(self.body) if is_packed(self.subject) else 1
        return self._count

    def lines(self) -> list[bytes]:
        """The body of each line. NotAPack: it is empty, or has more than a pack may have."""
        return split(self.body)

    def line(self, number: int, body: bytes) -> "Delivery":
        """One of its lines; `number` counts within what this has."""
        return Delivery(self.subject, self.reply, body, self._headers, (self.first_line or 0) + number)

    def some(self, most: int) -> list["Delivery"]:
        """Some of its lines, at most so many, from all over it: for a look that must not depend on its size. Other
        ones of the next message."""
        if self.count == 1:
            return [self]
        if self.count <= most:
            return [
                Delivery(self.subject, self.reply, line, self._headers, self.first_line)
                for line in self.body.split(b"\n")
            ]
        step = max(1, len(self.body) // most)
        found: dict[int, Delivery] = {}
        for place in range(self.stream_sequence * _PLACES_APART % step, len(self.body), step)[:most]:
            begin, end = self.body.rfind(b"\n", 0, place) + 1, self.body.find(b"\n", place)
            line = self.body[begin : end if end >= 0 else None]
            found[begin] = Delivery(self.subject, self.reply, line, self._headers, self.first_line)
        return list(found.values())

    def halves(self) -> tuple["Delivery", "Delivery"]:
        """Its lines in two parts. NotAPack as `lines`."""
        lines = self.lines()
        middle = len(lines) // 2
        return self.line(0, b"\n".join(lines[:middle])), self.line(middle, b"\n".join(lines[middle:]))

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers or {}

    @property
    def traceparent(self) -> str:
        """The trace that a sampled message belongs to (W3C Trace Context); empty for all others."""
        return self.headers.get("traceparent", "")

    @property
    def deliveries(self) -> int:
        """How often it was delivered, this time included."""
        return int(self._field(-5))

    @property
    def stream_sequence(self) -> int:
        return int(self._field(-4))

    @property
    def message(self) -> str:
        """Stream sequence and time: together they name this message alone, also after the stream was recreated."""
        fields = self.reply.split(".")
        if len(fields) != SHORT_REPLY:
            del fields[-1]
        return f"{fields[-4]}-{fields[-2]}"

    @property
    def origin(self) -> str:
        """The name of the message; of some lines of a pack the number of the first one follows."""
        return self.message if self.first_line is None else f"{self.message}-{self.first_line}"

    @property
    def consumer_sequence(self) -> int:
        return int(self._field(-3))

    @property
    def timestamp_ns(self) -> int:
        """When JetStream stored it, in ns since the epoch by the server's clock."""
        return stored_at_ns(self.reply)

    @property
    def pending(self) -> int:
        """How many more messages the consumer has to deliver."""
        return int(self._field(-1))

    def _field(self, index: int) -> str:
        return _field(self.reply, index)


def stored_at_ns(reply: str) -> int:
    """When JetStream stored the message of a reply, in ns since the epoch by the server's clock."""
    return int(_field(reply, -2))


def _field(reply: str, index: int) -> str:
    # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>, or the same after a
    # domain and account hash and with one random token at the end (ADR-15 of NATS).
    fields = reply.split(".")
    return fields[index] if len(fields) == SHORT_REPLY else fields[index - 1]


class Pull:
    """An inbox with one pull request open on a consumer; what arrives waits here, at most `max_messages`.

    `rest`: the time in seconds between two requests, each for all messages that wait; asked for before each request. A
    message after a quiet moment is still handed out the moment it arrives. While half of `max_messages` wait on the
    server, it asks as without a rest.
    """

    def __init__(
        self, bus: Bus, stream: str, consumer: str, max_messages: int, rest: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._bus = bus
        self._next = f"{API}.MSG.NEXT.{stream}.{consumer}"
        self._max = max_messages
        self._rest = rest
        self._rested_at = 0.0
        self._waiting = 0
        self._until_empty = False
        self._inbox = bus.client.new_inbox()
        self._asked = 0
        self._heard_at = time.monotonic()
        self._connection = 0
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self.arrived: list[Delivery] = []
        self.gone = False
        """True when the server says that the consumer does not exist."""
        self.unheard = False
        """True when nobody took a request: the consumer was dropped while none was open, or JetStream is starting."""

    @asynccontextmanager
    async def open(self, *, to_the_end: bool = False) -> AsyncIterator["Pull"]:
        """Take messages. `to_the_end`: at the end what was on its way is in `arrived` too, after a round trip."""
        subscription = await self._bus.client.subscribe(
            self._inbox, cb=self._on_message, pending_msgs_limit=0, pending_bytes_limit=0
        )
        try:
            yield self
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            try:
                await (subscription.drain() if to_the_end else subscription.unsubscribe())  # type: ignore[no-untyped-call]
            except (NatsError, OSError, TimeoutError) as error:
                log.debug("unsubscribe_failed", error=str(error) or type(error).__name__)

    async def wait(self) -> bool:
        """Ask for more where there is room, then wait until something has arrived, a second at most. False: nothing
        yet.

        One timer ends the waits of a second: one for each of 200 messages a second would cost more than the waits.
        """
        await self.top_up()
        if self.arrived or self.gone:
            return True
        self._wake.clear()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LONGEST_WAIT_S, self._end_wait)
        await self._wake.wait()  # set within a second by `_end_wait`
        return bool(self.arrived) or self.gone

    def _end_wait(self) -> None:
        self._timer = None
        self._wake.set()

    def interrupt(self) -> None:
        self._wake.set()

    def take(self, most_lines: int | None = None) -> list[Delivery]:
        """Return the messages that have arrived; no further pack once there are `most_lines` lines."""
        cut = len(self.arrived)
        if most_lines is not None:
            lines = 0
            for place, delivery in enumerate(self.arrived):
                if lines >= most_lines:
                    cut = place
                    break
                lines += delivery.count
        batch, self.arrived = self.arrived[:cut], self.arrived[cut:]
        return batch

    async def top_up(self) -> None:
        """Ask for more where there is room for half of the most."""
        reconnects = self._bus.client.stats["reconnects"]
        if reconnects != self._connection or time.monotonic() - self._heard_at > _SILENCE_S:
            self._connection = reconnects
            self._asked = 0  # the request died with its connection, or its end was lost
            self._heard_at = time.monotonic()
        room = self._max - self._asked - len(self.arrived)
        if 2 * room < self._max or (self._until_empty and self._asked):
            return
        rest_s = self._rest()
        self._until_empty = False
        if not rest_s or 2 * self._waiting >= self._max:
            await self._ask(room, _LINGERING)
        elif not self._asked and not self.arrived:
            await asyncio.sleep(self._rested_at - time.monotonic())
            self._rested_at = time.monotonic() + rest_s
            self._until_empty = True
            await self._ask(self._max, _UNTIL_EMPTY)

    async def _ask(self, count: int, until: Mapping[str, Any]) -> None:
        self._asked += count  # before the write, in which the first answers may arrive already
        try:
            await self._bus.send(self._next, json.dumps({"batch": count, **until}).encode(), self._inbox)
        except (BusUnavailable, NatsError):
            self._asked = 0  # not connected: no request is open
            await asyncio.sleep(0.1)

    async def _on_message(self, message: Msg) -> None:
        self._heard_at = time.monotonic()
        if not message.reply.startswith(_ACK_REPLY):
            headers = message.headers or {}
            self._on_status(headers.get("Status", ""), headers)
            return
        self._asked = max(0, self._asked - 1)
        delivery = Delivery(message.subject, message.reply, message.data, message.headers)
        self.arrived.append(delivery)
        if self._rested_at:
            self._waiting = delivery.pending
        self._wake.set()

    def _on_status(self, status: str, headers: Mapping[str, str]) -> None:
        if status == "100":  # idle heartbeat
            return
        unused = headers.get("Nats-Pending-Messages")
        self._asked = max(0, self._asked - int(unused)) if unused is not None else 0
        description = headers.get("Description", "")
        if status == "404" or (status == "409" and "Consumer Deleted" in description):
            self.gone = status == "409"
        elif status not in ("408", "409"):
            self.unheard = status == "503"
            log.warning("pull_refused", status=status, description=description, request=self._next)
        self._wake.set()


async def ask(bus: Bus, subject: str, request: dict[str, Any], timeout_s: float = 3.0) -> dict[str, Any]:
    """A JetStream API call whose answer is needed as it is. A missing answer comes back as an error too.

    nats-py's own calls cut the nanoseconds off the time of a stream's creation, by which a stream is known again.
    """
    try:
        answer = await bus.client.request(subject, json.dumps(request).encode(), timeout=timeout_s)
    except (NatsError, OSError, TimeoutError) as error:
        return {"error": {"description": str(error) or type(error).__name__}}
    return dict(json.loads(answer.data))


async def stream_info(
    bus: Bus, stream: str, request: dict[str, Any] | None = None, timeout_s: float = 3.0
) -> dict[str, Any]:
    """A stream's configuration and state. request: further parts of the answer, such as the subjects."""
    return await ask(bus, f"$JS.API.STREAM.INFO.{stream}", request or {}, timeout_s)
