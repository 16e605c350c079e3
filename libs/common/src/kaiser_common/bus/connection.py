"""The connection to NATS JetStream, publishing with acknowledgement from disk.

Consuming is in consumer.py and reader.py, the KV mirror in mirror.py, request/reply in rpc.py. A process that is
killed while it publishes leaves its message either stored or not; the caller has not seen an acknowledgement and
publishes again.
"""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, NamedTuple

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import BadSubjectError, MaxPayloadError
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.nuid import NUID

from kaiser_common.bus import metrics
from kaiser_common.bus.settings import BusSettings

log = structlog.get_logger()

MAX_BATCH = 1000
"""Messages of an atomic batch at most (ADR-50 of NATS)."""

_BATCH_BYTES = 4 * 1024 * 1024

_FEW = 10
"""So many messages are on the disk sooner one by one: an atomic batch costs what ten to twenty messages cost."""

_DUPLICATE_IN_BATCH = 10201
_CONNECT_TIMEOUT_S = 5.0
_ROUND_TRIP_EVERY_S = 5.0
_MOST_SILENT = 12


class BusUnavailable(Exception):
    """NATS did not acknowledge in time, or refused for a reason that may pass (stream full, no leader)."""


class BusClosed(Exception):
    """The client gave the connection up for good; the process must end and be started again."""


def end_if_cancelled() -> None:
    """Raise CancelledError if the running task was cancelled: for the top of a loop around a library's own waits.

    `asyncio.wait_for` of Python 3.11 returns the answer where the cancellation meets it in the same turn of the loop
    (mended in 3.12). Kaiser waits with `asyncio.timeout` and its NATS client sees to it; psycopg's pool and aiomqtt
    wait so, and a loop around them would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class KaiserClient(Client):
    """nats-py's client: its requests do not swallow a cancellation (see `end_if_cancelled`), and its `flush` keeps
    the order, on which nats-py's drains rely.

    Its own `flush` sends a PING past what is still queued, an UNSUB too: a drain could end before the server knew of
    it, and what came then was lost. A PONG that came after its timeout ended the reader.
    """

    confirm: Callable[[], Awaitable[None]] | None = None
    """A round trip behind all that is queued."""

    async def flush(self, timeout: int = 10) -> None:
        """Wait until the server has read what was queued. NATS away: return, there is nothing to wait for."""
        if self.confirm is None:
            await super().flush(timeout)
            return
        try:
            await self.confirm()
        except BusUnavailable as error:
            log.debug("flush_unconfirmed", reason=str(error))

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,
        old_style: bool = False,
        headers: dict[str, str] | None = None,
    ) -> Msg:
        """As nats-py's; JetStream's API, KV and publishing with acknowledgement come through here too."""
        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        try:
            return await super().request(subject, payload, timeout, old_style, headers)
        finally:
            if task is not None and task.cancelling() > before:
                raise asyncio.CancelledError


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

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self.jetstream: JetStreamContext = client.jetstream()
        self._ids = NUID()
        self._prefix = self._ids.next().decode()
        self._sequence = count(1)
        self._reply_prefix = f"{client.new_inbox()}."
        self._replies: dict[str, asyncio.Future[bytes]] = {}

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

        Not `ordered`, for independent messages: up to ten are sent one after the other without waiting, which is
        faster. If one of them is refused, it may be stored after the others when it is repeated.

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
        elif len(part) <= _FEW and not ordered:
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
        answers = await asyncio.gather(*(self._store([_single(message)], timeout_s) for message in part))
        for error_code, text in answers:
            if error_code is not None and error_code != 0:
                raise BusUnavailable(f"JetStream refused {part[0].subject!r}: {text} ({error_code})")
        return all(error_code == 0 for error_code, _ in answers)

    async def _store(self, messages: Sequence["_Message"], timeout_s: float) -> tuple[int | None, str]:
        """Send and wait for the PubAck: (0, "") stored, (None, "") no answer, (error code, text) refused."""
        try:
            body = await self._answer_of(self._reply_subject(), messages, timeout_s)
        except (MaxPayloadError, BadSubjectError):
            raise  # of the message itself: it will never be stored
        except (TimeoutError, NatsError, OSError):
            return None, ""
        if not body:  # 503 from the server itself: no stream has this subject, or JetStream is starting
            return None, ""
        error = json.loads(body).get("error")
        return (0, "") if error is None else (int(error.get("err_code", -1)), str(error.get("description", "")))

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
        """Keep the connection gauge true; BusClosed ends the process when the client has given up, or reads no more.

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
                metrics.BUS_CONNECTED.set(0)
            else:
                silent = 0
                metrics.BUS_CONNECTED.set(1)
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
async def connect(settings: BusSettings, name: str) -> AsyncIterator[Bus]:
    """Open the connection, waiting for NATS as long as it takes, with a log line at each failure.

    A lost connection is re-established automatically. If the client closes for good, BusClosed is raised in the body.
    """
    client = await _open(settings, name)
    bus = Bus(client, name)
    await bus.listen()
    client.confirm = bus.round_trip
    metrics.BUS_CONNECTED.set(1)
    try:
        async with asyncio.TaskGroup() as tasks:
            watcher = tasks.create_task(bus._watch(), name="bus-watch")
            yield bus
            watcher.cancel()
    finally:
        metrics.BUS_CONNECTED.set(0)
        await _close(client)


async def _open(settings: BusSettings, name: str) -> KaiserClient:
    options = _options(settings, name)
    wait_s = 0.2
    while True:
        client = KaiserClient()
        try:
            await client.connect(**options)
        except (NatsError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            log.warning("bus_unreachable", url=_without_secret(settings.nats_address), error=reason, retry_s=wait_s)
            await _close(client)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, 5.0)
        else:
            log.info("bus_connected", url=_without_secret(settings.nats_address))
            return client


async def _close(client: Client) -> None:
    try:
        async with asyncio.timeout(5.0):
            await client.close()
    # RuntimeError: uvloop's word for a write to a transport that is closed, while the connection is being lost.
    except (NatsError, OSError, TimeoutError, RuntimeError) as error:
        log.warning("bus_close_failed", error=str(error) or type(error).__name__)


def _options(settings: BusSettings, name: str) -> dict[str, Any]:
    async def on_error(error: Exception) -> None:
        log.warning("bus_error", error=str(error) or type(error).__name__)

    async def on_disconnect() -> None:
        metrics.BUS_CONNECTED.set(0)
        log.warning("bus_disconnected")

    async def on_reconnect() -> None:
        metrics.BUS_CONNECTED.set(1)
        metrics.BUS_RECONNECTS.inc()
        log.info("bus_reconnected")

    password = settings.nats_password.get_secret_value()
    if settings.nats_password_file is not None:
        password = settings.nats_password_file.read_text().strip()
    options: dict[str, Any] = {
        "servers": [settings.nats_address],
        "name": f"kaiser-{name}",
        "allow_reconnect": True,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.5,
        "connect_timeout": _CONNECT_TIMEOUT_S,
        "ping_interval": 10,
        "max_outstanding_pings": 2,
        "error_cb": on_error,
        "disconnected_cb": on_disconnect,
        "reconnected_cb": on_reconnect,
    }
    if settings.nats_inbox_prefix:
        options["inbox_prefix"] = settings.nats_inbox_prefix
    if settings.nats_address.startswith("tls://"):
        options["tls"] = ssl.create_default_context(cafile=settings.nats_tls_ca_file or None)
    if settings.nats_user:
        options |= {"user": settings.nats_user, "password": password}
    return options


def _without_secret(url: str) -> str:
    """The URL as it may be logged."""
    scheme, _, rest = url.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


__all__ = ["MAX_BATCH", "Bus", "BusClosed", "BusUnavailable", "Outgoing", "connect", "end_if_cancelled"]
