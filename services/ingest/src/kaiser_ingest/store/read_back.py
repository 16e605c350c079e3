"""Reads the last packs of SENSORS, REJECTED and FACTORY back, so that a new holder of the lease knows what is stored.

The holder before it may have been killed between the PubAck of a pack and the PUBACKs of its messages: the broker then
delivers them again, with the same content. Each comes with its age in seconds at the time of reading, because a broker
that was restarted may give a new message the packet id of an equal old one. Killed meanwhile: the next holder reads.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.contract.subjects import FACTORY, KEPT_PACKS, REJECTED, SENSORS, Stream, site_in
from kaiser_common.runtime.loops import until_done
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from kaiser_ingest.domain.factory_packs import deliveries_in

log = structlog.get_logger()

ItemT = TypeVar("ItemT")

_WITHIN_S = 10.0
"""The lease is renewed meanwhile, and no message is taken from the broker."""
_DELIVERIES = 4_000
"""Twice as many as a broker has under way to one ingest."""
_PLACES_TOGETHER = 64
_RETRY_S = 0.5
LAST_REJECTED = 192
"""At most this many packs of rejections are stored together: they are at most 1,000 and 2 MiB, or of one batch, which
has at most 1,000 messages and 1 MiB."""
_MOST_PACKS = 1024
"""So many packs are read at most, the newest ones: a batch of ingest has a pack for each site and shard."""
ALL_SITES = "+"


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def last_packs(
    bus: Bus, sites: Collection[str], now: Callable[[], datetime] = _utc_now
) -> list[tuple[bytes, float]]:
    """The bodies of the last packs of readings of these sites ("+": of all sites), oldest first, each with its age (s).

    For each site and shard this finds the last pack, reads it and the 15 messages before it on the stream, and keeps
    the packs of these sites. A batch of ingest has mostly one pack for each site and shard, so the packs of the last
    batch are among them, even while other ingests publish on the stream. In a flood of bad messages the packs of four
    batches may not be acknowledged yet (trailing.py), with a factory those of eight more (topics_trail.py), and a batch
    may have two of a site and shard. A pack is missed if it is more than 15 messages before the last pack of its site
    and shard: its events may then be shown twice.

    What NATS does not answer is asked again for 10 s. After that there are none, which is logged: some events may then
    be shown twice, and a reading with the server's clock may be two rows.
    """

    async def read() -> list[tuple[bytes, float]]:
        info = await bus.jetstream.stream_info(SENSORS.name, subjects_filter=SENSORS.subjects[0])
        subjects = [each for each in info.state.subjects or {} if ALL_SITES in sites or site_in(each) in sites]
        lasts = await asyncio.gather(*(_last_place(bus, each) for each in islice(subjects, _MOST_PACKS)))
        messages = await _messages(bus, SENSORS, places_before(lasts))
        ours, now_ = set(subjects), now()
        return [(message.data or b"", _age_s(message, now_)) for message in messages if message.subject in ours]

    return await _read(SENSORS, read)


async def last_rejections(bus: Bus, now: Callable[[], datetime] = _utc_now) -> list[tuple[bytes, float]]:
    """The bodies of the last messages of REJECTED, oldest first, each with its age (s).

    What NATS does not answer is asked again for 10 s. After that there are none, which is logged: some rejections may
    then be kept twice.
    """

    async def read() -> list[tuple[bytes, float]]:
        last = (await bus.jetstream.stream_info(REJECTED.name)).state.last_seq
        messages = await _messages(bus, REJECTED, range(max(1, last - LAST_REJECTED + 1), last + 1))
        now_ = now()
        return [(message.data or b"", _age_s(message, now_)) for message in messages]

    return await _read(REJECTED, read)


async def last_of_factory(bus: Bus, now: Callable[[], datetime] = _utc_now) -> list[tuple[str, float]]:
    """The ids of the deliveries that the messages of FACTORY of the last two minutes hold, about the last 4,000, each
    with its age (s).

    Not of older ones: JetStream forgets the id of a message alone by then. What NATS does not answer is asked again for
    10 s. After that there are none, which is logged: some messages may then be on FACTORY twice.
    """

    async def read() -> list[tuple[str, float]]:
        info = await bus.jetstream.stream_info(FACTORY.name)
        first, last = max(1, info.state.first_seq), info.state.last_seq
        now_, found = now(), list[tuple[str, float]]()
        while last >= first and len(found) < _DELIVERIES:
            places = range(max(first, last - _PLACES_TOGETHER + 1), last + 1)
            aged = [(message, _age_s(message, now_)) for message in await _messages(bus, FACTORY, places)]
            young = [(message, age_s) for message, age_s in aged if age_s <= FACTORY.duplicate_window_s]
            for message, age_s in young:
                held = deliveries_in(message.subject or "", message.data or b"", message.headers or {})
                found += [(delivery, age_s) for delivery in held]
            last = places.start - 1 if young else 0
        return found

    return await _read(FACTORY, read)


async def _read(stream: Stream, read: Callable[[], Awaitable[list[ItemT]]]) -> list[ItemT]:
    """Ask until NATS answers, for 10 s at most; nothing is found if it does not."""
    found: list[ItemT] = []

    async def step() -> None:
        found[:] = await read()

    try:
        async with asyncio.timeout(_WITHIN_S):
            await until_done(step, f"{stream.name.lower()}_not_read_back_yet", retry_s=_RETRY_S)
    except TimeoutError:
        log.warning("packs_not_read_back", stream=stream.name, reason=f"no answer within {_WITHIN_S:.0f} s")
    return found


def _age_s(message: RawStreamMsg, now: datetime) -> float:
    """How long a message has been stored; at least 0, because the clock of NATS may be ahead of ours."""
    return max(0.0, (now - message.time).total_seconds()) if message.time is not None else math.inf


def places_before(lasts: Iterable[int]) -> list[int]:
    """The 16 places up to each of these, in order, without those below 1; at most 1,024 of them, the last ones."""
    places = {place for last in lasts for place in range(max(1, last - KEPT_PACKS + 1), last + 1)}
    return sorted(places)[-_MOST_PACKS:]


async def _last_place(bus: Bus, subject: str) -> int:
    """Where the last message of a subject is; 0 if it was purged meanwhile."""
    try:
        # with a seq, if only 0, nats-py asks on the subject that ingest may use for messages by their places too
        return (await bus.jetstream.get_msg(SENSORS.name, 0, subject, direct=True)).seq or 0
    except NotFoundError:
        return 0


async def _messages(bus: Bus, stream: Stream, places: Iterable[int]) -> list[RawStreamMsg]:
    """The messages at these places, in order, without those that were purged."""
    found = await asyncio.gather(*(_message(bus, stream, place) for place in places))
    return [message for message in found if message is not None]


async def _message(bus: Bus, stream: Stream, place: int) -> RawStreamMsg | None:
    try:
        return await bus.jetstream.get_msg(stream.name, place, direct=True)
    except NotFoundError:
        return None
