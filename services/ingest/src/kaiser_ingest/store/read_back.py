"""Reads the last packs of SENSORS, REJECTED and FACTORY back, so that a new holder of the lease knows what is stored.

The holder before it may have been killed between the PubAck of a pack and the PUBACKs of its messages: the broker then
delivers them again, with the same content.
"""

import asyncio
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.contract.subjects import FACTORY, KEPT_PACKS, REJECTED, SENSORS, Stream, site_in
from kaiser_common.runtime.loops import until_done
from nats.errors import Error as NatsError
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from kaiser_ingest.domain.factory_packs import deliveries_in

log = structlog.get_logger()

_WITHIN_S = 3.0
_OF_FACTORY_WITHIN_S = 10.0
"""Longer, because a message that is on FACTORY twice is two facts to the factory service."""
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


async def last_packs(bus: Bus, sites: Collection[str]) -> list[bytes]:
    """The bodies of the last packs of readings of these sites ("+": of all sites), oldest first.

    For each site and shard this finds the last pack, reads it and the 15 messages before it on the stream, and keeps
    the packs of these sites. A batch of ingest has mostly one pack for each site and shard, so the packs of the last
    batch are among them, even while other ingests publish on the stream. In a flood of bad messages the packs of four
    batches may not be acknowledged yet (trailing.py), with a factory those of eight more (topics_trail.py), and a batch
    may have two of a site and shard. A pack is missed if it is more than 15 messages before the last pack of its site
    and shard: its events may then be shown twice.

    If NATS does not answer within 3 s, there are none, which is logged: some events may then be shown twice, but no
    row is doubled.
    """
    try:
        async with asyncio.timeout(_WITHIN_S):
            info = await bus.jetstream.stream_info(SENSORS.name, subjects_filter=SENSORS.subjects[0])
            subjects = [each for each in info.state.subjects or {} if ALL_SITES in sites or site_in(each) in sites]
            lasts = await asyncio.gather(*(_last_place(bus, each) for each in islice(subjects, _MOST_PACKS)))
            messages = await _messages(bus, SENSORS, places_before(lasts))
            ours = set(subjects)
            return [message.data or b"" for message in messages if message.subject in ours]
    except (NatsError, OSError, TimeoutError) as error:
        return _none(SENSORS, error)


async def last_rejections(bus: Bus) -> list[bytes]:
    """The bodies of the last messages of REJECTED, oldest first.

    If NATS does not answer within 3 s, there are none, which is logged: some rejections may then be kept twice.
    """
    try:
        async with asyncio.timeout(_WITHIN_S):
            last = (await bus.jetstream.stream_info(REJECTED.name)).state.last_seq
            places = range(max(1, last - LAST_REJECTED + 1), last + 1)
            return [message.data or b"" for message in await _messages(bus, REJECTED, places)]
    except (NatsError, OSError, TimeoutError) as error:
        return _none(REJECTED, error)


async def last_of_factory(bus: Bus) -> list[str]:
    """The ids of the deliveries that the messages of FACTORY of the last two minutes hold, about the last 4,000.

    Not of older ones: JetStream forgets the id of a message alone by then, and a broker that was restarted may give a
    new message the packet id of an equal old one. If NATS does not answer within 10 s, there are none, which is logged:
    some messages may then be on FACTORY twice.
    """
    found: list[str] = []

    async def step() -> None:
        found[:] = await _of_factory(bus)

    try:
        async with asyncio.timeout(_OF_FACTORY_WITHIN_S):
            await until_done(step, "factory_not_read_back_yet", retry_s=_RETRY_S)
    except (NatsError, OSError, TimeoutError) as error:
        _none(FACTORY, error)
    return found


async def _of_factory(bus: Bus) -> list[str]:
    info = await bus.jetstream.stream_info(FACTORY.name)
    first, last = max(1, info.state.first_seq), info.state.last_seq
    since = datetime.now(UTC) - timedelta(seconds=FACTORY.duplicate_window_s)
    found: list[str] = []
    while last >= first and len(found) < _DELIVERIES:
        places = range(max(first, last - _PLACES_TOGETHER + 1), last + 1)
        messages = [one for one in await _messages(bus, FACTORY, places) if one.time and one.time >= since]
        for message in messages:
            found += deliveries_in(message.subject or "", message.data or b"", message.headers or {})
        last = places.start - 1 if messages else 0
    return found


def places_before(lasts: Iterable[int]) -> list[int]:
    """The 16 places up to each of these, in order, without those below 1; at most 1,024 of them, the last ones."""
    places = {place for last in lasts for place in range(max(1, last - KEPT_PACKS + 1), last + 1)}
    return sorted(places)[-_MOST_PACKS:]


def _none(stream: Stream, error: Exception) -> list[bytes]:
    log.warning("packs_not_read_back", stream=stream.name, reason=str(error) or type(error).__name__)
    return []


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
