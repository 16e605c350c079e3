"""Reads the last packs of SENSORS and REJECTED back, so that a new holder of the lease knows what is stored already.

The holder before it may have been killed between the PubAck of a pack and the PUBACKs of its messages: the broker then
delivers them again, with the same content.
"""

import asyncio

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.contract.subjects import KEPT_PACKS, REJECTED, SENSORS, Stream
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

log = structlog.get_logger()

_WITHIN_S = 3.0
LAST_REJECTED = 192
"""A batch has no more packs of rejections: of 1,000 messages and 1 MiB."""


async def last_packs(bus: Bus) -> list[bytes]:
    """The bodies of the last 16 packs of readings, oldest first. NATS does not give them within 3 s: none of them,
    logged; then some events may be shown twice, and no row is doubled."""
    return await _last(bus, SENSORS, KEPT_PACKS)


async def last_rejections(bus: Bus) -> list[bytes]:
    """The bodies of the last messages of REJECTED, oldest first. NATS does not give them within 3 s: none of them,
    logged; then some rejections may be kept twice."""
    return await _last(bus, REJECTED, LAST_REJECTED)


async def _last(bus: Bus, stream: Stream, count: int) -> list[bytes]:
    try:
        async with asyncio.timeout(_WITHIN_S):
            last = (await bus.jetstream.stream_info(stream.name)).state.last_seq
            places = range(max(1, last - count + 1), last + 1)
            return [body for body in await asyncio.gather(*(_body(bus, stream, place) for place in places)) if body]
    except (NatsError, OSError, TimeoutError) as error:
        log.warning("packs_not_read_back", stream=stream.name, reason=str(error) or type(error).__name__)
        return []


async def _body(bus: Bus, stream: Stream, sequence: int) -> bytes:
    """The body of a pack, empty where it was purged."""
    try:
        return (await bus.jetstream.get_msg(stream.name, sequence, direct=True)).data or b""
    except NotFoundError:
        return b""
