"""The buffer of each topic, which is the stream TOPICS: pages of it, single messages, counts, and clearing."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.bus.direct import API, DirectMessage, next_messages
from kaiser_common.bus.pull import ask, stream_info
from kaiser_common.contract.subjects import TOPICS
from kaiser_factory_dialect.subjects import topic_of, topic_subject
from nats.errors import Error as NatsError

from kaiser_gateway.domain.kept import TopicMessage, kept_of

LOOK_BACK_S = 3.0
_ASK_S = 3.0
_FIRST_S = 10.0
"""How long the first part of a page may take: it must get somewhere."""
_FIRST_WINDOW, _GROWS = 2000, 4
_BATCHES = 6
"""Batches of 4 MiB under way at a time, for all readers together: NATS disconnects a client for which 64 MiB wait, and
that ends the requests of all users, emergency stops included."""
_HANDED_ON = 20
"""Messages of a batch that are handed on between two turns of the others."""
_DIRECT_GET = f"{API}.{TOPICS.name}"
_PURGES_AT_ONCE = 16
_COUNTED_AT_ONCE = 200
"""Topics that are counted between two turns of the others: some milliseconds."""


class BuffersUnavailable(Exception):
    """TOPICS cannot be read now; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages of each topic are kept, and the sequence up to which that counts."""

    held: Mapping[str, int]
    last_seq: int


@dataclass(frozen=True, slots=True)
class Page:
    """Messages, the newest first. before: where an older page begins; None: nothing is older."""

    messages: Sequence[TopicMessage]
    before: int | None


class Buffers:
    """Reads TOPICS. Nothing is kept here."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._batches = asyncio.Semaphore(_BATCHES)

    async def counts(self, env: str) -> Counts:
        """The counts of an environment. Raises BuffersUnavailable."""
        state = await self._state({"subjects_filter": f"topic.{env}.>"})
        held: dict[str, int] = {}
        for number, (subject, count) in enumerate((state.get("subjects") or {}).items()):
            if number % _COUNTED_AT_ONCE == _COUNTED_AT_ONCE - 1:
                await asyncio.sleep(0)
            held[topic_of(subject)[1]] = int(count)
        return Counts(held, int(state["last_seq"]))

    async def message(self, env: str, seq: int) -> TopicMessage | None:
        """A message of an environment with its whole payload. None: it is not kept. Raises BuffersUnavailable."""
        request = json.dumps({"seq": seq}).encode()
        try:
            found = await self._bus.client.request(_DIRECT_GET, request, timeout=_ASK_S)
        except (NatsError, OSError, TimeoutError) as error:
            raise BuffersUnavailable(f"NATS does not answer: {error or type(error).__name__}") from error
        headers = found.headers or {}
        subject = headers.get("Nats-Subject", "")
        if not subject.startswith(f"topic.{env}."):
            return None
        return kept_of(DirectMessage(subject, found.data, headers, seq))

    async def before(self, env: str, message: TopicMessage) -> TopicMessage | None:
        """The message before another one on its topic, with its whole payload. Raises BuffersUnavailable."""
        subject = topic_subject(env, message.topic)
        page = await self.page(subject, lambda _: True, message.seq, 1, _FIRST_S)
        return await self.message(env, page.messages[0].seq) if page.messages else None

    async def page(
        self,
        subject: str,
        wanted: Callable[[TopicMessage], bool],
        before: int | None,
        limit: int,
        within_s: float = LOOK_BACK_S,
    ) -> Page:
        """The newest `limit` wanted messages of a subject filter before a sequence, looking back for `within_s`.

        The stream is read forwards in windows that end at the point reached: the first is small, each is larger than
        the one before. Raises BuffersUnavailable.
        """
        state = await self._state({})
        first, end = int(state["first_seq"]), int(state["last_seq"]) + 1
        end = end if before is None else min(before, end)
        deadline, window = time.monotonic() + within_s, _FIRST_WINDOW
        found: list[TopicMessage] = []
        while end > first and len(found) < limit:
            left_s = _FIRST_S if window == _FIRST_WINDOW else deadline - time.monotonic()
            start = max(first, end - window)
            inside: deque[TopicMessage] = deque(maxlen=limit - len(found))
            try:
                async with asyncio.timeout(max(0.0, left_s)):
                    async with aclosing(self._between(subject, start, end)) as messages:
                        async for stored in messages:
                            message = kept_of(stored)
                            if wanted(message):
                                inside.append(message.shown())
            except TimeoutError as error:
                if window == _FIRST_WINDOW:
                    raise BuffersUnavailable(f"TOPICS was not read within {_FIRST_S:g} s") from error
                break
            found += reversed(inside)
            end = inside[0].seq if len(inside) == inside.maxlen else start
            window *= _GROWS
        return Page(found, end if end > first else None)

    async def clear(self, env: str, counts: Counts, wanted: Callable[[str], bool]) -> tuple[int, int]:
        """Delete all messages of the wanted topics but the last of each; how many topics and messages that were.

        The last one is left because services build their state from it. Raises BuffersUnavailable.
        """
        due = iter([topic for topic, held in counts.held.items() if held > 1 and wanted(topic)])
        done: list[int] = []

        async def purge() -> None:
            for topic in due:
                done.append(await self._purge(topic_subject(env, topic)))

        await asyncio.gather(*(purge() for _ in range(_PURGES_AT_ONCE)))
        return len(done), sum(done)

    async def since(self, subject: str, start: int, end: int) -> AsyncIterator[TopicMessage]:
        """The messages of a subject filter from a sequence to another, not included, without large payloads.

        Raises BuffersUnavailable when nothing comes for 5 s.
        """
        async with aclosing(self._between(subject, start, end)) as messages:
            async for message in messages:
                yield kept_of(message).shown()

    async def _purge(self, subject: str) -> int:
        request = {"filter": subject, "keep": 1}
        answer = await ask(self._bus, f"$JS.API.STREAM.PURGE.{TOPICS.name}", request, _ASK_S)
        if not answer.get("success"):
            raise BuffersUnavailable(f"NATS did not purge: {answer.get('error', {}).get('description', '')}")
        return int(answer.get("purged", 0))

    async def _between(self, subject: str, start: int, end: int) -> AsyncGenerator[DirectMessage, None]:
        """The messages of a subject filter from a sequence to another, which is not included.

        Asked for in batches, without a consumer: a stream has a limit of these, and pages are many.
        """
        while start < end:
            try:
                async with self._batches:
                    batch = await next_messages(self._bus, TOPICS.name, subject, start)
            except BusUnavailable as error:
                raise BuffersUnavailable(str(error)) from error
            start = end
            async for found in _in_turns(batch):
                if found.stream_sequence >= end:
                    return
                start = found.stream_sequence + 1
                yield found

    async def _state(self, request: dict[str, str]) -> dict[str, Any]:
        answer = await stream_info(self._bus, TOPICS.name, request, _ASK_S)
        if "state" not in answer:
            raise BuffersUnavailable(f"NATS does not answer: {answer.get('error', {}).get('description', '')}")
        return dict(answer["state"])


async def _in_turns(batch: Sequence[DirectMessage]) -> AsyncIterator[DirectMessage]:
    """The messages of a batch, with turns for others in between."""
    for number, found in enumerate(batch, 1):
        yield found
        if number % _HANDED_ON == 0:
            await asyncio.sleep(0)
