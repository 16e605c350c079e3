"""Reads TOPICS once for all viewers of the message centre: the last value of each topic, then every message.

Killed, or NATS unavailable: the last values are read again, and each viewer gets them again. When the environment is
switched, a new index begins; viewers get the values of the environment in force.
"""

import asyncio
import time

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.environment import EnvironmentMirror
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.subjects import TOPICS

from kaiser_gateway import metrics
from kaiser_gateway.domain.kept import kept_of
from kaiser_gateway.domain.message_frames import Waiting
from kaiser_gateway.domain.topic_index import TopicIndex
from kaiser_gateway.store.buffers import Buffers, BuffersUnavailable
from kaiser_gateway.ws.viewer import Viewer

log = structlog.get_logger()

_MOST_UNREAD = 500
_RETRY_S = 0.5
_UNUSED_S = 5.0
"""Each switch of the environment leaves a consumer behind for this time, and TOPICS has 32 at most."""
_PER_TOPIC = TOPICS.most_per_subject or 1000


class TopicsHub:
    """Offers each message to the viewers whose selection admits its topic. `index` is None until it is complete."""

    def __init__(self, bus: Bus) -> None:
        self.buffers = Buffers(bus)
        self.index: TopicIndex | None = None
        self.draining = False
        self._bus = bus
        self._environments = EnvironmentMirror(bus)
        self._viewers: set[Viewer] = set()
        self._ready = asyncio.Event()

    def __len__(self) -> int:
        return len(self._viewers)

    def viewers_of(self, user: str) -> int:
        """How many viewers a user has."""
        return sum(viewer.user == user for viewer in self._viewers)

    @property
    def environment(self) -> FactoryEnvironment | None:
        """The environment in force; None: no ingest keeps messages, or none was entered yet."""
        return self._environments.current

    async def ready(self, timeout_s: float) -> TopicIndex | None:
        """The index, waited for while it is read; None if it is not complete in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while (index := self.index) is None:
                    await self._ready.wait()
        except TimeoutError:
            return None
        return index

    def join(self, viewer: Viewer, index: TopicIndex, after: int | None) -> None:
        """Send a viewer what is there, and what comes."""
        self._viewers.add(viewer)
        metrics.VIEWERS.set(len(self._viewers))
        viewer.begin(self.index or index, after)

    def leave(self, viewer: Viewer) -> None:
        """Send a viewer nothing more."""
        self._viewers.discard(viewer)
        metrics.VIEWERS.set(len(self._viewers))

    async def run(self) -> None:
        """Follow the environment in force until cancelled; viewers are closed then (1001)."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._environments.keep(), name="environment")
                await self._follow(tasks)
        finally:
            self.draining = True
            for viewer in self._viewers:
                viewer.close(1001, "the server is going away")

    async def _follow(self, tasks: asyncio.TaskGroup) -> None:
        known: FactoryEnvironment | None = None
        reading: asyncio.Task[None] | None = None
        while True:
            found = await self._environments.another(known)
            if known is None or (found.env, found.epoch) != (known.env, known.epoch):
                self._forget()
                if reading is not None:
                    reading.cancel()
                    await asyncio.wait([reading])
                reading = tasks.create_task(self._read(found), name="topics")
            known = found

    async def _read(self, environment: FactoryEnvironment) -> None:
        reader = OrderedReader(
            self._bus,
            TOPICS.name,
            [f"topic.{environment.env}.>"],
            last_per_subject=True,
            max_messages=_MOST_UNREAD,
            unused_s=_UNUSED_S,
        )
        restarts, index = -1, TopicIndex(environment, _PER_TOPIC)
        async for batch in reader:
            if reader.restarts != restarts:
                restarts, index = reader.restarts, TopicIndex(environment, _PER_TOPIC)
                self._forget()
            if self.index is None:
                for delivery in batch:
                    index.take(kept_of(delivery))
                if not batch or batch[-1].pending == 0:
                    await self._open(index)
            else:
                self._offer(index, batch)
            await asyncio.sleep(0)  # let the viewers' senders run between batches

    async def _open(self, index: TopicIndex) -> None:
        """Count what is kept of each topic, then begin with every viewer."""
        while True:
            try:
                counts = await self.buffers.counts(index.environment.env)
                break
            except BuffersUnavailable as error:
                log.warning("topics_not_counted", reason=str(error))
                await asyncio.sleep(_RETRY_S)
        index.count(counts.held, index.last_seq)
        self.index = index
        self._ready.set()
        log.info("topics_ready", env=index.environment.env, topics=len(index))
        for viewer in self._viewers:
            viewer.begin(index)

    def _offer(self, index: TopicIndex, batch: list[Delivery]) -> None:
        """Note messages, and offer each to the viewers that want it; it is encoded once, if at all."""
        now = time.monotonic()
        for delivery in batch:
            message = kept_of(delivery)
            index.take(message)
            wanting = [viewer for viewer in self._viewers if viewer.selection.admits(message.topic)]
            if wanting:
                waiting = Waiting(message, index.held(message.topic))
                for viewer in wanting:
                    viewer.offer(waiting, now)

    def _forget(self) -> None:
        self.index = None
        self._ready.clear()
