"""Reading a stream of JetStream in order, without acknowledgement."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.pull import API, Delivery, Pull, ask, stream_info

log = structlog.get_logger()


class OrderedReader:
    """Reads a stream in order from a point on, without acknowledgement; starts itself again after any gap.

    Iterate to get what has arrived. Kept by an ephemeral consumer that the server drops once it is unused for a time.
    """

    def __init__(
        self,
        bus: Bus,
        stream: str,
        filters: Sequence[str],
        *,
        start_sequence: int | None = None,
        start_at: datetime | None = None,
        last_per_subject: bool = False,
        max_messages: int = 1000,
        unused_s: float = 60.0,
        rest: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """start_sequence, start_at: without either, what is stored from the first consumer on, also over restarts.

        start_at: without a sequence, from the first message that was stored at this time or later.

        unused_s: how long the server keeps the consumer of a reader that has ended; a stream has a limit of consumers.
        rest: how long, in seconds, a message may wait for others, so that they are handed out together.
        """
        self._bus = bus
        self._stream = stream
        self._start_at = start_at
        self._filters = list(filters)
        self._last_per_subject = last_per_subject
        self._next_sequence = start_sequence
        self._max = max_messages
        self._unused_s = unused_s
        self._rest = rest
        self._created = ""
        self._stopping = False
        self.restarts = 0
        """How often it began again: a reader of last values must then forget what it had."""
        self.pending_at_start = 0
        """Messages that the stream held when reading began, or began again."""

    def stop(self) -> None:
        self._stopping = True

    async def __aiter__(self) -> AsyncGenerator[list[Delivery], None]:
        """Lists of messages in stream order; an empty list once right after each (re)start when nothing is kept."""
        while not self._stopping:
            info = await self._create()
            if info is None:
                await asyncio.sleep(0.5)
                continue
            self.pending_at_start = int(info.get("num_pending", 0))
            pull = Pull(self._bus, self._stream, info["name"], self._max, self._rest)
            async with pull.open():
                if not self.pending_at_start:
                    yield []
                async for batch in self._read(pull):
                    yield batch
            self.restarts += 1

    async def _read(self, pull: Pull) -> AsyncIterator[list[Delivery]]:
        """Yield the messages of one ephemeral consumer, until it is deleted or a message is missing. Who holds a batch
        for longer than `unused_s` finds it dropped."""
        expected = 1
        reconnects = self._bus.client.stats["reconnects"]
        while not self._stopping and not pull.gone and not pull.unheard:
            arrived = await pull.wait()
            if self._bus.client.stats["reconnects"] != reconnects:
                return  # the server may have lost the consumer, or the stream may have been recreated
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
        """Start at 1 if the stream was created again: otherwise the reader would wait for the old sequence numbers,
        perhaps for days."""
        stream = await stream_info(self._bus, self._stream)
        created = str(stream.get("created", ""))
        if created and self._created and created != self._created:
            log.warning("stream_recreated", stream=self._stream, next_before=self._next_sequence)
            self._next_sequence = 1
        self._created = created or self._created

    async def _create(self) -> dict[str, Any] | None:
        if not self._last_per_subject:
            await self._look_at_stream()
        name = f"{self._bus.name}-{self._bus.message_id()}"
        subject = f"{API}.CREATE.{self._stream}.{name}"
        config: dict[str, Any] = {
            "name": name,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(self._unused_s * 1e9),
        }
        if len(self._filters) == 1:
            # In the subject too, so that a user's rights can be narrowed to it: the server compares the two.
            config["filter_subject"] = self._filters[0]
            subject = f"{subject}.{self._filters[0]}"
        else:
            config["filter_subjects"] = self._filters
        if self._last_per_subject:
            config["deliver_policy"] = "last_per_subject"
        elif self._next_sequence is None and self._start_at is not None:
            at = self._start_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
            config |= {"deliver_policy": "by_start_time", "opt_start_time": at}
        elif self._next_sequence is None:
            config["deliver_policy"] = "new"
        else:
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": max(1, self._next_sequence)}
        request = {"stream_name": self._stream, "config": config, "action": "create"}
        answer = await ask(self._bus, subject, request)
        if "error" in answer:
            log.warning("reader_refused", stream=self._stream, reason=answer["error"].get("description", ""))
            return None
        if config["deliver_policy"] == "new":
            # A restart before the first message must not begin with what is new by then.
            self._next_sequence = int(answer["delivered"]["stream_seq"]) + 1
        return answer
