"""Messages of a stream by direct get, which takes no consumer: a stream has a limit of these (ADR-31 of NATS)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.bus.waiting import cancellable

API = "$JS.API.DIRECT.GET"
_AT_ONCE = 500
_BYTES_AT_ONCE = 4 * 1024 * 1024
_SILENCE_S = 5.0
_ENDS = frozenset({"204", "404"})
"""Statuses: the batch is complete; the stream has no such message."""


@dataclass(frozen=True, slots=True)
class DirectMessage:
    """A message as a direct get answers with it."""

    subject: str
    body: bytes
    headers: Mapping[str, str]
    stream_sequence: int

    @property
    def timestamp_ns(self) -> int:
        """When JetStream stored it, in ns since the epoch by the server's clock, exact to the microsecond."""
        return round(datetime.fromisoformat(self.headers["Nats-Time-Stamp"]).timestamp() * 1_000_000) * 1000


async def next_messages(bus: Bus, stream: str, subject: str, start: int) -> list[DirectMessage]:
    """The messages of a subject filter from a sequence on, the oldest first: 500 or about 4 MiB at most. Empty: there
    are no more.

    Raises BusUnavailable when NATS refuses, when it is not connected, or when nothing comes for 5 s.
    """
    request = {"seq": start, "next_by_subj": subject, "batch": _AT_ONCE, "max_bytes": _BYTES_AT_ONCE}
    inbox = bus.client.new_inbox()
    try:
        subscription = await bus.client.subscribe(inbox)
        try:
            await bus.send(f"{API}.{stream}", json.dumps(request).encode(), inbox)
            return await _batch(subscription)
        finally:
            await subscription.unsubscribe()
    except (NatsError, OSError) as error:
        raise BusUnavailable(f"no answer about {stream}: {error or type(error).__name__}") from error


async def _batch(subscription: Subscription) -> list[DirectMessage]:
    """The messages of one batch, which an answer with a status ends."""
    found: list[DirectMessage] = []
    while True:
        with cancellable():
            message = await subscription.next_msg(timeout=_SILENCE_S)
        headers = message.headers or {}
        if "Nats-Sequence" in headers:
            sequence = int(headers["Nats-Sequence"])
            found.append(DirectMessage(headers["Nats-Subject"], message.data, headers, sequence))
        elif (status := headers.get("Status", "")) in _ENDS:
            return found
        else:
            raise BusUnavailable(f"NATS refused a direct get: {status} {headers.get('Description', '')}".rstrip())
