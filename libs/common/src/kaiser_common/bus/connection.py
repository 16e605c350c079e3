"""The connection to NATS JetStream, and publishing that waits until the message is acknowledged from disk.

Consuming is in consumer.py and reader.py, the KV mirror in mirror.py, requests in rpc.py and their answers in
requests.py. If a process is killed while it publishes, its message is either stored or not. The message is published
again later, because the message that caused it was not acknowledged, or the caller got no answer and asks again; under
the same id it is stored once.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import BadSubjectError, MaxPayloadError
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.nuid import NUID

from kaiser_common.bus import metrics
from kaiser_common.bus.client import BusUnavailable, close_client, open_client
from kaiser_common.bus.settings import BusSettings

MAX_BATCH = 1000
"""Messages of an atomic batch at most (ADR-50 of NATS)."""

_BATCH_BYTES = 4 * 1024 * 1024

_FEW = 20
"""Up to this many messages cost NATS half as much one by one, and reach the disk no later (docs/performance.md)."""
_LARGE_BYTES = 8 * 1024
"""Messages of this average size cost less one by one, however many there are (docs/performance.md)."""

_DUPLICATE_IN_BATCH = 10201
_ROUND_TRIP_EVERY_S = 5.0
_MOST_SILENT = 12


class BusClosed(Exception):
    """The client has given up the connection; the process must end and be started again."""


class Outgoing(NamedTuple):
    """A message to publish. The id makes a repeated publish harmless within the stream's duplicate window."""

    subject: str
    body: bytes
    msg_id: str
    traceparent: str = ""
    """Of a sampled message the trace it belongs to."""
    headers: tuple[tuple[str, str], ...] = ()
    """Further headers; neither names nor values have line breaks."""


class Bus:
    """An open connection. Build it with `connect`."""

    def __init__(self, client: Client, name: str, *, is_main: bool = True) -> None:
        self.client = client
        self.name = name
        self._is_main = is_main
        self.jetstream: JetStreamContext = client.jetstream()
        self._ids = NUID()
        self._prefix = self._ids.next().decode()
        self._sequence = count(1)
        self._reply_prefix = f"{client.new_inbox()}."
        self._replies: dict[str, asyncio.Future[bytes]] = {}

    def tell_state(self, connected: int) -> None:
        """Set the metric of the connection, if this is the main one of the process."""
        if self._is_main:
            metrics.BUS_CONNECTED.set(connected)

    def message_id(self) -> str:
        """A new id, unique over processes and restarts."""
        return f"{self._prefix}{next(self._sequence)}"

    async def round_trip(self, timeout_s: float = 2.0) -> None:
        """Send a message to ourselves through the server. Raises BusUnavailable.

        nats-py's own PING has no usable timeout: `flush` returns immediately while reconnecting and after the
        client's reader has ended, and a PONG that comes after its timeout ends the reader.
        """
        if not self.client.is_connected:
            raise BusUnavailable("not connected to NATS")
        reply = self._reply_subject()
        try:
            await self._answer_of(reply, [(reply, b"", None)], timeout_s)
        except (TimeoutError, NatsError, OSError) as error:
            raise BusUnavailable(f"NATS does not answer: {error or type(error).__name__}") from error

    async def publish(self, subject: str, body: bytes, msg_id: str | None = None, *, deadline_s: float = 10.0) -> None:
        """Publish one durable message and wait until JetStream has it on disk. Raises BusUnavailable."""
        await self.publish_batch([Outgoing(subject, body, msg_id or self.message_id())], deadline_s=deadline_s)

    async def publish_batch(
        self, messages: Sequence[Outgoing], *, deadline_s: float = 10.0, ordered: bool = True
    ) -> None:
        """Publish messages of one stream in atomic batches, in order, and wait for the acknowledgement from disk.

        Not `ordered`, for independent messages: up to 20, or any number of large ones, are sent one after the other
        without waiting, which is faster. If one of them is refused, it may be stored after the others when it is
        repeated.

        After a missing acknowledgement a batch is repeated with the same ids until `deadline_s` (seconds) is over:
        BusUnavailable then means that some may be stored, and publishing the same again stores none twice.
        """
        deadline = time.monotonic() + deadline_s
        for part in _parts(messages):
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise BusUnavailable(f"no acknowledgement for {part[0].subject!r} within {deadline_s:g} s")
                if await self._attempt(part, min(left, 2.0), ordered):
                    break
                metrics.BUS_PUBLISH_RETRIES.inc()

    async def _attempt(self, part: Sequence[Outgoing], timeout_s: float, ordered: bool) -> bool:
        """Publish a batch once: True when stored, False for "try again"; BusUnavailable when refused."""
        if not self.client.is_connected:
            await asyncio.sleep(min(timeout_s, 0.1))
            return False
        if len(part) == 1:
            error_code, text = await self._store([_single(part[0])], timeout_s)
        elif not ordered and (len(part) <= _FEW or _are_large(part)):
            return await self._attempt_singly(part, timeout_s)
        else:
            error_code, text = await self._store(_batch(part, self._ids.next().decode()), timeout_s)
            if error_code == _DUPLICATE_IN_BATCH:
                return await self._attempt_singly(part, timeout_s)
        if error_code is None:
            return False
        if error_code != 0:
            raise BusUnavailable(f"JetStream refused {part[0].subject!r}: {text} ({error_code})")
        return True

    async def _attempt_singly(self, part: Sequence[Outgoing], timeout_s: float) -> bool:
        """Publish each message separately, pipelined; a message whose id is stored already is answered with
        "duplicate"."""
        answers = [_said(body) for body in await self._answers_of(part, timeout_s)]
        for error_code, text in answers:
            if error_code is not None and error_code != 0:
                raise BusUnavailable(f"JetStream refused {part[0].subject!r}: {text} ({error_code})")
        return all(error_code == 0 for error_code, _ in answers)

    async def _answers_of(self, part: Sequence[Outgoing], timeout_s: float) -> list[bytes]:
        """Publish messages in order, each with a reply subject of its own, and wait for the answers; a missing
        answer is empty. One timeout for all, and no task for each, saves a fifth to a third of the CPU."""
        loop = asyncio.get_running_loop()
        waiting = {self._reply_subject(): loop.create_future() for _ in part}
        self._replies.update(waiting)
        try:
            async with asyncio.timeout(timeout_s):
                for reply, message in zip(waiting, part, strict=True):
                    subject, body, headers = _single(message)
                    await self.client.publish(subject, body, reply, headers)
                for answer in waiting.values():
                    await answer
        except (MaxPayloadError, BadSubjectError):
            raise  # the message itself is wrong: it will never be stored
        except (TimeoutError, NatsError, OSError):
            pass  # the answers that came in time count
        finally:
            for reply in waiting:
                del self._replies[reply]
        return [answer.result() if answer.done() and not answer.cancelled() else b"" for answer in waiting.values()]

    async def _store(self, messages: Sequence["_Message"], timeout_s: float) -> tuple[int | None, str]:
        """Send and wait for the PubAck: (0, "") stored, (None, "") no answer, (error code, text) refused."""
        try:
            body = await self._answer_of(self._reply_subject(), messages, timeout_s)
        except (MaxPayloadError, BadSubjectError):
            raise  # the message itself is wrong: it will never be stored
        except (TimeoutError, NatsError, OSError):
            return None, ""
        return _said(body)

    def _reply_subject(self) -> str:
        return f"{self._reply_prefix}{next(self._sequence)}"

    async def _answer_of(self, reply: str, messages: Sequence["_Message"], timeout_s: float) -> bytes:
        """Publish messages in order, the last one with a reply subject, and wait for the answer."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._replies[reply] = answer
        try:
            async with asyncio.timeout(timeout_s):
                for subject, body, headers in messages[:-1]:
                    await self.client.publish(subject, body, headers=headers)
                subject, body, headers = messages[-1]
                await self.client.publish(subject, body, reply, headers)
                return await answer
        finally:
            del self._replies[reply]

    async def send(self, subject: str, body: bytes, reply: str = "") -> None:
        """Publish without an acknowledgement, in order with everything else that this client sends.

        BusUnavailable while disconnected: nothing is kept for later, so nothing grows.
        """
        if not self.client.is_connected:
            raise BusUnavailable("not connected to NATS")
        await self.client.publish(subject, body, reply)

    async def _on_reply(self, message: Msg) -> None:
        answer = self._replies.get(message.subject)
        if answer is not None and not answer.done():
            answer.set_result(message.data)

    async def listen(self) -> None:
        """Take answers; `connect` calls it."""
        await self.client.subscribe(f"{self._reply_prefix}*", cb=self._on_reply)

    async def _watch(self) -> None:
        """Keep the connection gauge true; BusClosed ends the process when the client has given up, or has stopped
        reading.

        A client that does not read a server which is away is not connected within two of its own PINGs: over a minute
        of silence on one connection is the client's fault.
        """
        silent, reconnects = 0, 0
        while True:
            if self.client.is_closed:
                raise BusClosed("the NATS client closed its connection")
            if self.client.stats["reconnects"] != reconnects or not self.client.is_connected:
                silent, reconnects = 0, self.client.stats["reconnects"]
            if silent > _MOST_SILENT:
                raise BusClosed("the NATS client has stopped reading")
            try:
                await self.round_trip()
            except BusUnavailable:
                silent += 1
                self.tell_state(0)
            else:
                silent = 0
                self.tell_state(1)
            await asyncio.sleep(_ROUND_TRIP_EVERY_S)


def _parts(messages: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    """The messages in order, in parts of at most MAX_BATCH messages and _BATCH_BYTES, or one message."""
    start = size = 0
    for place, message in enumerate(messages):
        if place > start and (place - start == MAX_BATCH or size + len(message.body) > _BATCH_BYTES):
            yield messages[start:place]
            start, size = place, 0
        size += len(message.body)
    if start < len(messages):
        yield messages[start:]


_STORED = b'{"stream":'
"""How a PubAck begins, as the server writes it: it need not be decoded, which takes ten times as long."""


def _said(body: bytes) -> tuple[int | None, str]:
    """The meaning of a PubAck: (0, "") stored, (None, "") no answer, (error code, text) refused."""
    if not body:  # 503 from the server itself: no stream has this subject, or JetStream is starting
        return None, ""
    if body.startswith(_STORED) and b'"error"' not in body:
        return 0, ""
    error = json.loads(body).get("error")
    return (0, "") if error is None else (int(error.get("err_code", -1)), str(error.get("description", "")))


def _are_large(part: Sequence[Outgoing]) -> bool:
    return sum(len(message.body) for message in part) >= len(part) * _LARGE_BYTES


_Message = tuple[str, bytes, dict[str, str] | None]
"""Subject, body and headers."""


def _single(message: Outgoing) -> _Message:
    return message.subject, message.body, _headers(message)


def _batch(part: Sequence[Outgoing], batch_id: str) -> list[_Message]:
    """Messages with the headers of an atomic batch (ADR-50 of NATS)."""
    messages = [
        (each.subject, each.body, {**_headers(each), "Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(sequence)})
        for sequence, each in enumerate(part, 1)
    ]
    messages[-1][2]["Nats-Batch-Commit"] = "1"
    return [*messages]


def _headers(message: Outgoing) -> dict[str, str]:
    headers = {"Nats-Msg-Id": message.msg_id}
    if message.traceparent:
        headers["traceparent"] = message.traceparent
    headers.update(message.headers)
    return headers


@asynccontextmanager
async def connect(settings: BusSettings, name: str, *, is_main: bool = True) -> AsyncIterator[Bus]:
    """Open the connection, waiting for NATS as long as it takes, with a log line at each failure. is_main:
    `kaiser_bus_connected` shows whether this connection is up.

    A lost connection is re-established automatically. If the client closes for good, BusClosed is raised in the body.
    """
    client = await open_client(settings, name)
    bus = Bus(client, name, is_main=is_main)
    await bus.listen()
    client.confirm = bus.round_trip
    bus.tell_state(1)
    try:
        async with asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(bus._watch(), name="bus-watch")
            yield bus
            watcher.cancel()
    finally:
        bus.tell_state(0)
        await close_client(client)


__all__ = ["MAX_BATCH", "Bus", "BusClosed", "BusUnavailable", "Outgoing", "connect"]
