"""Purges from a stream what all consumers acknowledged a while ago, but for the last messages (docs/decisions/0002)."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass

import structlog
from nats.errors import Error as NatsError

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.waiting import set_within
from kaiser_common.contract.subjects import KEPT_S, DurableConsumer, Stream

log = structlog.get_logger()

_EVERY_S = 2.0
_HURRY_S = 0.2
_HURRY_FOR_S = 10.0
_FILLED = 0.5


@dataclass(frozen=True, slots=True)
class Purging:
    """A stream of which what all these consumers have acknowledged is purged after `kept_s` seconds, but for the last
    `kept` messages."""

    stream: Stream
    consumers: tuple[DurableConsumer, ...]
    kept: int
    kept_s: float = KEPT_S


class PassedFloors:
    """The floors of the last `kept_s` seconds: up to there all consumers have acknowledged. They
    are noted at least 0.2 s apart, so for 15 s there are at most 76, and for FACTORY's 150 s at most 751."""

    def __init__(self, kept_s: float = KEPT_S) -> None:
        self._kept_s = kept_s
        self._floors: deque[tuple[float, int]] = deque()
        self._passed = 0

    def note(self, floor: int, now_s: float) -> int:
        """Note the floor now; returns the newest one that is at least `kept_s` old, 0 while there is none."""
        self._floors.append((now_s, floor))
        while self._floors and self._floors[0][0] <= now_s - self._kept_s:
            _, self._passed = self._floors.popleft()
        return self._passed


async def keep_purging(bus: Bus, purging: Purging, stopping: asyncio.Event) -> None:
    """Purge every two seconds until stopped; five times a second while the stream is or was just half full, because a
    full stream accepts the broker's backlog only as fast as it is purged; nothing is kept for its age then. NATS
    unavailable: tried again; the stream only keeps more meanwhile. Replicas may purge at the same time, and a kill in
    between costs nothing: the purge names a sequence, not a count.
    """
    purged_to = 0
    passed = PassedFloors(purging.kept_s)
    hurry_until = 0.0
    while not stopping.is_set():
        try:
            if await _is_filled(bus, purging.stream):
                hurry_until = time.monotonic() + _HURRY_FOR_S
            purged_to = await _purge(bus, purging, purged_to, passed, in_hurry=time.monotonic() < hurry_until)
        except (NatsError, TimeoutError) as error:
            log.warning("purge_postponed", stream=purging.stream.name, error=str(error) or type(error).__name__)
        await set_within(stopping, _HURRY_S if time.monotonic() < hurry_until else _EVERY_S)


async def _is_filled(bus: Bus, stream: Stream) -> bool:
    """Whether the stream is half full; no answer, such as with rights of an older version, means no hurry."""
    try:
        info = await bus.jetstream.stream_info(stream.name)
    except (NatsError, TimeoutError) as error:
        log.warning("fill_unknown", stream=stream.name, error=str(error) or type(error).__name__)
        return False
    return 0 < _FILLED * (info.config.max_bytes or 0) < info.state.bytes


async def _purge(bus: Bus, purging: Purging, purged_to: int, passed: PassedFloors, *, in_hurry: bool) -> int:
    floor = min([await _acknowledged(bus, consumer) for consumer in purging.consumers])
    before = passed.note(floor, time.monotonic())
    floor = (floor if in_hurry else min(floor, before)) - purging.kept
    if floor > purged_to:
        await bus.jetstream.purge_stream(purging.stream.name, seq=floor + 1)  # the first to keep
    return max(floor, 0)


async def _acknowledged(bus: Bus, consumer: DurableConsumer) -> int:
    """The stream sequence up to which the consumer has acknowledged everything; 0 if there is none."""
    floor = (await bus.jetstream.consumer_info(consumer.stream, consumer.name)).ack_floor
    return 0 if floor is None else floor.stream_seq
