"""Sends a client the events after a sequence number that are still kept."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.bus.right_of_way import RightOfWay
from kaiser_common.bus.waiting import set_within
from kaiser_common.contract.pack import place_of, seq_of
from kaiser_common.contract.subjects import EVENTS, event_pack_subject, event_subject, is_packed
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from kaiser_gateway import metrics
from kaiser_gateway.domain.filters import Filters
from kaiser_gateway.domain.frames import answer, events_of, last_seq_of
from kaiser_gateway.ws.client import Client
from kaiser_gateway.ws.hub import Hub

_TIMEOUT_S = 3.0
_SILENCE_S = 5.0
"""Kept events come immediately: if none has come for this time, NATS is unavailable."""
_AT_ONCE = 16
_TURN_S = 30.0
_BATCH = 32
"""Messages that one replay holds at most; packs of the largest size are 16 MB, as good as all are far smaller."""
_LOOKED_AT = 50
"""Events that a replay looks at between two turns of the others: less than a millisecond."""


class ReplayFailed(Exception):
    """The kept events cannot be read now; the text gives the reason. The client should connect again and resume."""


@dataclass(frozen=True, slots=True)
class KeptEvents:
    """The stream sequences that the stream still has; `first` is `last` + 1 when it is empty."""

    first: int
    last: int


def gap(after: int, kept: KeptEvents) -> tuple[int, int]:
    """The seq from which a replay can start, and the number of lost messages: at least as many events. For a seq beyond
    the end (the stream was created again) all kept events are sent, and no loss can be counted. A seq of a version
    before packs, a plain stream sequence, is thousands of times too small, so all events but the kept ones count as
    lost.
    """
    first = seq_of(kept.first)
    if after >= seq_of(kept.last + 1):
        return first, 0
    missed = max(0, kept.first - 1 - place_of(after)[0])
    return max(after + 1, first), missed


def subject_of(filters: Filters | None) -> str | None:
    """The narrowest subject that holds all that the filters admit, so that less is read; None when that is nothing.

    One subject, as the rights of the gateway's user at NATS are held to that of the request. Where the events of a type
    are packed, its subjects name no device.
    """
    if filters is None:
        return None
    devices = {esp_id for esp_id in filters.esp_ids if _is_token(esp_id)}
    kinds = set(filters.types)
    if filters.esp_ids and not devices:
        return None
    packed = any(is_packed(event_pack_subject(kind=kind)) for kind in kinds)
    if len(devices) == 1 and kinds and not packed:
        return f"event.{kinds.pop() if len(kinds) == 1 else '*'}.{devices.pop()}"
    return f"event.{kinds.pop()}.*" if len(kinds) == 1 else EVENTS.subjects[0]


def _is_token(text: str) -> bool:
    try:
        event_subject("any", text)
    except ValueError:
        return False
    return text != "" and text.isascii()


class Replays:
    """Replays to clients, sixteen at a time, because after a restart all clients resume together."""

    def __init__(self, bus: Bus, hub: Hub, way: RightOfWay) -> None:
        """way: replays wait while an emergency stop is under way."""
        self._bus = bus
        self._hub = hub
        self._way = way
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def run(self, client: Client, after: int) -> None:
        """Send the gap, replay without conflation as fast as the client reads, then continue live.

        Raises ReplayFailed within 5 s of silence, 30 s in the queue; the client is then closed while still paused, so
        that no newer event has raised its highest seq above the missing ones. A gateway that has just started replays
        only once it reads live events: those between the two would be missed.
        """
        waited = self._hub.hold_for_replay(client)
        async with self._turn():
            if not await set_within(self._hub.follows, _SILENCE_S):
                raise ReplayFailed(f"events cannot be read since {_SILENCE_S:g} s")
            kept = await self._kept()
            start, missed = gap(after, kept)
            if waited is not None:
                start = min(start, max(waited, seq_of(kept.first)))
            client.replayed_to = start - 1
            await client.answer(answer("resumed", time.time(), {"from": start, "missed": missed}))
            while client.paused:
                await self._replay(client)
        metrics.REPLAYS.inc()

    async def _replay(self, client: Client) -> None:
        """Replay by the filters in force until all is sent, or until they change."""
        filters = client.filters
        subject = subject_of(filters)
        if filters is None or subject is None:
            client.paused = False
            return
        client.skipped_to = 0  # live events before now are in the stream, and so before the reader's end
        start = place_of(client.replayed_to + 1)[0]
        reader = OrderedReader(self._bus, EVENTS.name, [subject], start_sequence=start, max_messages=_BATCH)
        async with aclosing(reader.__aiter__()) as batches:
            while client.filters is filters:
                try:
                    async with asyncio.timeout(_SILENCE_S):
                        batch = await anext(batches)
                except TimeoutError as error:
                    raise ReplayFailed(f"no kept event within {_SILENCE_S:g} s") from error
                for delivery in batch:
                    await self.send(client, filters, delivery)
                # No await between this look and the end of the pause: nothing can slip between replay and live.
                done = not batch or batch[-1].pending == 0
                if done and client.filters is filters and client.skipped_to <= client.replayed_to:
                    client.paused = False
                    return

    async def send(self, client: Client, filters: Filters, delivery: Delivery) -> None:
        """Send the events of a message that are wanted. Where the client changes its filters meanwhile, the rest is
        left for a replay with those."""
        for number, event in enumerate(events_of(delivery, filters.may_admit), 1):
            if number % _LOOKED_AT == 0:
                await self._way.let_others()
            if client.filters is not filters:
                return
            if event.seq > client.replayed_to and client.wants(event):
                await client.answer(event.frame)
                client.replayed_to = event.seq
        await self._way.let_others()
        if client.filters is filters:
            client.replayed_to = max(client.replayed_to, last_seq_of(delivery))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_TURN_S):
                await self._turns.acquire()
        except TimeoutError as error:
            raise ReplayFailed(f"{_AT_ONCE} other replays took {_TURN_S:g} s") from error
        try:
            yield
        finally:
            self._turns.release()

    async def _kept(self) -> KeptEvents:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                state = (await self._bus.jetstream.stream_info(EVENTS.name)).state
        except NotFoundError as error:
            raise ReplayFailed(f"there is no stream {EVENTS.name}") from error
        except (NatsError, OSError, TimeoutError) as error:
            raise ReplayFailed(f"NATS does not answer: {error or type(error).__name__}") from error
        return KeptEvents(first=max(1, state.first_seq), last=state.last_seq)
