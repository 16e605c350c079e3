"""The broker's retained values where a turn of a replay begins (start, seek, repeat): read by page, sent in parts."""

import asyncio
from collections import deque
from itertools import islice

from kaiser_common.runtime.database import DatabasePool
from kaiser_factory_dialect.lanes import Gate
from kaiser_factory_dialect.recordings import Recorded
from kaiser_factory_dialect.snapshot import HeldValues

from kaiser_recorder.domain.replayed import ReplayedTopics, ToSend, to_send
from kaiser_recorder.store import recordings
from kaiser_recorder.store.replays import Replay


class TurnSnapshot:
    """The retained messages at the place where the turn begins. Killed: the next process reads them again."""

    def __init__(self, pool: DatabasePool, replay: Replay, topics: ReplayedTopics, interfaces: tuple[str, ...]) -> None:
        self._pool = pool
        self._replay = replay
        self._topics = topics
        self._interfaces = interfaces
        self._held = HeldValues(interfaces)
        self._read_to = 0
        self._sent = 0
        self._waiting: deque[ToSend] = deque()

    @property
    def is_read(self) -> bool:
        """Whether everything before the place is read."""
        return self._read_to >= self._replay.number

    @property
    def is_sent(self) -> bool:
        """Whether nothing of it waits any more."""
        return self.is_read and not self._waiting

    async def read_page(self) -> None:
        """Read the next messages; they are judged in a thread."""
        replay = self._replay
        async with self._pool.connection() as connection:
            page = await recordings.messages_after(connection, replay.recording_id, self._read_to)
        await asyncio.to_thread(self._take, [message for number, message in page if number <= replay.number])
        self._read_to = page[-1][0] if page else replay.number
        if self.is_read:
            self._waiting.extend(self._values())

    def part(self, most: int) -> list[tuple[str, ToSend]]:
        """The next values with their ids."""
        prefix = f"replay.{self._replay.replay_id}.{self._replay.turn}.s"
        return [(f"{prefix}{self._sent + at}", each) for at, each in enumerate(islice(self._waiting, most))]

    def passed(self, count: int) -> None:
        """So many of them are sent."""
        self._sent += count
        for _ in range(count):
            self._waiting.popleft()

    def _take(self, messages: list[Recorded]) -> None:
        for message in messages:
            self._held.take(message)

    def _values(self) -> list[ToSend]:
        replay = self._replay
        gate = Gate("replay", replay.env, replay.epoch)
        held = sorted(self._held.values().values(), key=lambda each: each.at_us)
        wanted = [each for each in held if self._topics.has(each.topic)]
        found = [to_send(each, gate, replay.shift_ms, self._interfaces) for each in wanted]
        return [each for each in found if isinstance(each, ToSend)]
