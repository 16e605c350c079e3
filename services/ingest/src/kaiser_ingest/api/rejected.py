"""Rejected messages as the API sees them: listed newest first, and replayed.

A replay validates the message again, with its original receive time, and publishes the valid part, marked as replayed.
A message of REJECTED has one rejection or a pack of them, one per line; `seq` is the number of a line (pack.seq_of).
"""

import asyncio
import base64
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b

from kaiser_common.bus.connection import Bus, BusUnavailable, Outgoing
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code, Rejected
from kaiser_common.contract.pack import place_of, seq_of
from kaiser_common.contract.schemas.api.messages import CheckedMessage
from kaiser_common.contract.schemas.api.rejected import (
    Encoding,
    FixedMessage,
    FixRejected,
    RejectedItem,
    RejectedKey,
    RejectedPage,
    RejectedQuery,
    ReplayAnswer,
    ReplayRequest,
)
from kaiser_common.contract.schemas.event import RejectedMessage
from kaiser_common.contract.subjects import REJECTED
from kaiser_common.contract.topics import is_downlink, parse
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from pydantic_core import to_json

from kaiser_ingest.domain.admission import Registered, admit
from kaiser_ingest.domain.outgoing import to_outgoing
from kaiser_ingest.domain.rejected_lines import lines_of, subjects_of
from kaiser_ingest.domain.replays import to_outgoing_again
from kaiser_ingest.domain.validate import Accepted, Outcome, Rejection, validate
from kaiser_ingest.domain.verdicts import judged

_LONGEST_LOOK_S = 3.0
_FIRST_SPAN = 500
_LONGEST_SPAN = 20_000
UNUSED_S = 1.0
"""REJECTED has 32 consumers at most: the one of a look is dropped soon after it. A slow look gets another one."""
MOST_PAGE_BYTES = 1024 * 1024
"""A page is one message of the bus: a rejection alone may have 100 kB, with its payload escaped in JSON."""


class RejectedMessages:
    """Reads the stream REJECTED; a replay publishes immediately."""

    def __init__(self, bus: Bus, registered: Registered, retention_ms: int, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._bus = bus
        self._registered = registered
        self._retention_ms = retention_ms

    async def page(self, query: RejectedQuery, _: Caller) -> RejectedPage:
        """A page, newest first, of at most 1 MiB and begun within 3 s: it may be short and still have a cursor."""
        state = (await self._bus.jetstream.stream_info(REJECTED.name)).state
        before = query.before if query.before is not None else seq_of(state.last_seq + 1)
        high = min(place_of(before - 1)[0], state.last_seq)
        first = max(1, state.first_seq)
        deadline = time.monotonic() + _LONGEST_LOOK_S
        span = _FIRST_SPAN
        items: list[RejectedItem] = []
        size, full = 0, False
        while not full and high >= first and len(items) < query.limit and time.monotonic() < deadline:
            low = max(first, high - span + 1)
            found, full = await self._read(subjects_of(query), low, high)
            for item in _items(reversed(found), query, before):
                size += len(to_json(item))
                if items and (len(items) == query.limit or size > MOST_PAGE_BYTES):
                    full = True
                    break
                items.append(item)
            high = low - 1
            span = min(span * 4, _LONGEST_SPAN)
        cursor = items[-1].seq if full and items else seq_of(high + 1)
        return RejectedPage(items=items, next_cursor=str(cursor) if full or high >= first else None)

    async def replay(self, request: ReplayRequest, _: Caller) -> ReplayAnswer:
        """Validate a rejected message again, with its original receive time, and publish what is valid in it now.

        The result is marked as replayed, so that an old alert stops nothing now. A message that a service rejected from
        the bus was valid: it is published to the bus unchanged. RpcError 404 and 422.
        """
        outgoing, rejected = self.again(request.seq, await self._read_one(request.seq))
        await self._publish(outgoing)
        return ReplayAnswer(seq=request.seq, published=len(outgoing), rejected=rejected)

    def again(self, seq: int, message: RejectedMessage) -> tuple[list[Outgoing], int]:
        """The messages that a replay of a rejected one publishes, and how many readings of a batch are bad still.
        RpcError 422: nothing of it is valid."""
        if message.esp_id is None and not message.topic.startswith("kaiser/"):
            raise RpcError(
                422, Code.UNKNOWN_TOPIC, "messages of the factory cannot be replayed: the factory sends them again"
            )
        payload = base64.b64decode(message.payload_base64)
        if message.topic.startswith("esp."):
            again = to_outgoing_again(message.topic, payload, self._registered, f"replay.{seq}.0")
            if isinstance(again, Rejection):
                raise RpcError(422, again.code, f"rejected again: {again.detail}", again.field)
            return [again], 0
        return _accepted(self._outcomes(message.topic, payload, message.received_at), f"replay.{seq}")

    async def item(self, request: RejectedKey, _: Caller) -> RejectedItem:
        """One rejected message. RpcError 404."""
        return _item(request.seq, await self._read_one(request.seq), "text")

    async def check(self, request: FixRejected, _: Caller) -> CheckedMessage:
        """The verdict on a rejected message as it should have been; nothing is published."""
        message = await self._read_one(request.seq)
        topic, payload = _fixed(message, request)
        return judged(self._outcomes(topic, payload, message.received_at))

    async def fix(self, request: FixRejected, _: Caller) -> FixedMessage:
        """Validate a rejected message as it should have been, with its original receive time, and publish what is valid
        in it, marked as replayed. The same correction again within two minutes, the bus's window, adds nothing.
        RpcError 404 and 422."""
        message = await self._read_one(request.seq)
        topic, payload = _fixed(message, request)
        content = blake2b(topic.encode() + b"\n" + payload, digest_size=8).hexdigest()
        outcomes = self._outcomes(topic, payload, message.received_at)
        outgoing, rejected = _accepted(outcomes, f"fixed.{request.seq}.{content}")
        await self._publish(outgoing)
        return FixedMessage(
            seq=request.seq,
            topic=topic,
            payload=request.fix.payload,
            received_at=message.received_at,
            published=len(outgoing),
            rejected=rejected,
        )

    def _outcomes(self, topic: str, payload: bytes, received_at: int) -> tuple[Outcome, ...]:
        oldest_ms = self._now_ms() - self._retention_ms
        return admit(validate(topic, payload, received_at), self._registered, oldest_ms, payload)

    async def _publish(self, outgoing: list[Outgoing]) -> None:
        for each in outgoing:
            await self._bus.publish_batch([each], deadline_s=3.0)

    async def _read_one(self, seq: int) -> RejectedMessage:
        return RejectedMessage.model_validate_json(await self._line(seq))

    async def _line(self, seq: int) -> bytes:
        """A rejection by its number. RpcError 404 if it does not exist."""
        sequence, number = place_of(seq)
        try:
            stored = await self._bus.jetstream.get_msg(REJECTED.name, sequence)
        except NotFoundError as error:
            raise RpcError(404, Code.NOT_FOUND, f"no rejected message {seq}") from error
        except (NatsError, TimeoutError) as error:
            raise BusUnavailable(str(error) or type(error).__name__) from error
        lines = (stored.data or b"").split(b"\n")
        if number >= len(lines):
            raise RpcError(404, Code.NOT_FOUND, f"no rejected message {seq}")
        return lines[number]

    async def _read(self, subjects: list[str], low: int, high: int) -> tuple[deque[Delivery], bool]:
        """The messages of subjects with sequences from low to high, in order; of more than a page holds the newest
        alone, and then True."""
        reader = OrderedReader(self._bus, REJECTED.name, subjects, start_sequence=low, unused_s=UNUSED_S)
        found: deque[Delivery] = deque()
        size, left_out = 0, False
        async with asyncio.timeout(_LONGEST_LOOK_S):
            async for batch in reader:
                for each in batch:
                    if each.stream_sequence <= high:
                        found.append(each)
                        size += len(each.body)
                while found and size - len(found[0].body) > MOST_PAGE_BYTES:
                    size -= len(found.popleft().body)
                    left_out = True
                if not batch or batch[-1].pending == 0 or batch[-1].stream_sequence >= high:
                    reader.stop()
                    break
        return found, left_out


def _accepted(outcomes: tuple[Outcome, ...], identity: str) -> tuple[list[Outgoing], int]:
    """The messages of accepted outcomes, marked as replayed, and how many are rejected. RpcError 422 if nothing is
    accepted and something is rejected."""
    accepted = [each for each in outcomes if isinstance(each, Accepted)]
    rejections = [each for each in outcomes if isinstance(each, Rejection)]
    if rejections and not accepted:
        raise RpcError(422, rejections[0].code, f"rejected again: {rejections[0].detail}", rejections[0].field)
    replayed = (each._replace(message=each.message.model_copy(update={"replayed": True})) for each in accepted)
    return [to_outgoing(each, f"{identity}.{index}") for index, each in enumerate(replayed)], len(rejections)


def _fixed(message: RejectedMessage, request: FixRejected) -> tuple[str, bytes]:
    """Topic and payload of a corrected message. RpcError 422 if it cannot be corrected: what a service rejected from
    the bus, what the factory sent, and what would be sent to a device instead of coming from one."""
    if not message.topic.startswith("kaiser/"):
        text = "only a message that a device sent over MQTT can be corrected; this one can be replayed as it is"
        raise RpcError(422, Code.UNKNOWN_TOPIC, text)
    topic = request.fix.topic or message.topic
    try:
        goes_to_a_device = is_downlink(parse(topic).kind)
    except Rejected as rejected:
        raise RpcError(422, rejected.code, rejected.detail, "topic") from rejected
    if goes_to_a_device:
        raise RpcError(422, Code.UNKNOWN_TOPIC, f"{topic[:128]} goes to a device: devices do not send on it", "topic")
    return topic, request.fix.payload.encode()


def _items(newest_first: Iterable[Delivery], query: RejectedQuery, before: int) -> Iterator[RejectedItem]:
    """The rejections of messages that a query asks for, newest first."""
    for delivery in newest_first:
        for seq, message in lines_of(delivery, newest_first=True):
            is_of_sender = query.esp_id in (None, message.esp_id) and query.serial in (None, message.serial)
            if seq < before and is_of_sender:
                yield _item(seq, message, query.encoding)


def _item(seq: int, message: RejectedMessage, encoding: str) -> RejectedItem:
    payload = message.payload_base64
    used: Encoding = "base64"
    if encoding == "text":
        try:
            payload, used = base64.b64decode(message.payload_base64).decode(), "text"
        except UnicodeDecodeError:
            used = "base64"  # bytes that are no text are shown as they are stored
    return RejectedItem(
        seq=seq,
        topic=message.topic,
        payload=payload,
        encoding=used,
        code=message.code,
        message=message.message,
        field=message.field,
        esp_id=message.esp_id,
        serial=message.serial,
        received_at=message.received_at,
    )
