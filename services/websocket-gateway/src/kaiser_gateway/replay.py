"""Sends a client what came after a sequence number and is still kept."""

import json
import time
from dataclasses import dataclass

from kaiser_common.bus import Bus
from kaiser_common.consumer import OrderedReader
from kaiser_common.subjects import EVENTS

from kaiser_gateway.client import Client
from kaiser_gateway.frames import Event, answer
from kaiser_gateway.hub import Hub

_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Kept:
    """The sequence numbers that the stream still has; `first` is `last` + 1 when it is empty."""

    first: int
    last: int


def gap(after: int, kept: Kept) -> tuple[int, int]:
    """From where a replay can start, and how many events were missed for good.

    A number from the future (the stream began anew) misses nothing that could be named: all that is kept is sent.
    """
    if after > kept.last:
        return kept.first, 0
    start = max(after + 1, kept.first)
    return start, start - (after + 1)


async def resume(bus: Bus, hub: Hub, client: Client, after: int) -> None:
    """Tell the gap, replay without conflation as fast as the client takes it, then go on live.

    Raises nats errors or TimeoutError when NATS is away: the client is told and may ask again.
    """
    client.paused = True
    try:
        kept = await _kept(bus)
        start, missed = gap(after, kept)
        await client.answer(answer("resumed", time.time(), {"from": start, "missed": missed}))
        if start > max(kept.last, hub.last_seq):  # no await from here to the end of the pause: nothing can slip through
            return
        reader = OrderedReader(bus, EVENTS.name, EVENTS.subjects, start_sequence=start, max_messages=500)
        async for batch in reader:
            for delivery in batch:
                event = Event.of(delivery)
                if client.filters is not None and client.filters.admits(event):
                    await client.answer(event.frame)
            if batch:
                client.replayed_to = batch[-1].stream_sequence
            # No await between this look and the end of the pause: nothing can slip between replay and live.
            if batch and batch[-1].stream_sequence >= max(kept.last, hub.last_seq):
                break
    finally:
        client.paused = False


async def _kept(bus: Bus) -> Kept:
    reply = await bus.client.request(f"$JS.API.STREAM.INFO.{EVENTS.name}", b"", timeout=_TIMEOUT_S)
    state = json.loads(reply.data)["state"]
    return Kept(first=max(1, state["first_seq"]), last=state["last_seq"])
