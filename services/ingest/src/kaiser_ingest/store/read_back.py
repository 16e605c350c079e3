"""Reads the last packs of SENSORS back, so that a new holder of the lease knows what the one before it has stored.

That one may have been killed between the PubAck of a pack and the PUBACKs of its messages: the broker then delivers
them again, with the same content.
"""

import asyncio
from collections.abc import Iterable, Iterator

import msgspec
import structlog
from kaiser_common.bus import Bus
from kaiser_common.subjects import KEPT_PACKS, SENSORS
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

log = structlog.get_logger()

_WITHIN_S = 3.0


class StoredReading(msgspec.Struct, frozen=True):
    """What of a line tells its reading from every other."""

    esp_id: str
    gpio: int
    sensor_type: str
    ts: int
    address: str = ""
    clock: str = "device"
    raw: int | float | None = None
    raw_value: float | None = None
    value: float | None = None
    delivery: str | None = None


_decode = msgspec.json.Decoder(StoredReading).decode


def stored_readings(packs: Iterable[bytes]) -> Iterator[StoredReading]:
    """The readings of packs, but for lines that are none: the consumers reject those."""
    for pack in packs:
        for line in pack.split(b"\n"):
            try:
                yield _decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue


async def last_packs(bus: Bus) -> list[bytes]:
    """The bodies of the last 16 packs, oldest first. NATS does not give them within 3 s: none of them, logged; then
    some events may be shown twice, and no row is doubled."""
    try:
        async with asyncio.timeout(_WITHIN_S):
            last = (await bus.jetstream.stream_info(SENSORS.name)).state.last_seq
            places = range(max(1, last - KEPT_PACKS + 1), last + 1)
            return [body for body in await asyncio.gather(*(_body(bus, place) for place in places)) if body]
    except (NatsError, OSError, TimeoutError) as error:
        log.warning("packs_not_read_back", reason=str(error) or type(error).__name__)
        return []


async def _body(bus: Bus, sequence: int) -> bytes:
    """The body of a pack, empty where it was purged."""
    try:
        return (await bus.jetstream.get_msg(SENSORS.name, sequence, direct=True)).data or b""
    except NotFoundError:
        return b""
