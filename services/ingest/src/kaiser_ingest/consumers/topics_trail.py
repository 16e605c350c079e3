"""Writes TOPICS behind the rest of a batch, after which the messages of the batch are acknowledged.

On TOPICS each message is one of its own, and NATS syncs each, unless many are written as one atomic batch. So the
messages of several batches are written together, 0.1 s after the last ones; the live state of the factory follows
FACTORY, which waits for none of this. Killed: what is not on TOPICS was not acknowledged, so the broker delivers it to
the next holder of the lease, which finds it on FACTORY and writes it to TOPICS alone.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from itertools import chain

from kaiser_common.bus.connection import Outgoing
from kaiser_common.bus.waiting import set_within

from kaiser_ingest.consumers.held_batches import HeldBatches
from kaiser_ingest.consumers.publishing import Part, Publisher
from kaiser_ingest.consumers.sorting import Batch

_SPACING_S = 0.1
"""Least time between two writings. Of 1,000 states/s there are then a hundred together, which cost NATS 4 ms of CPU in
place of 11 (docs/decisions/0402). The first message after a quiet moment waits for nothing."""
_QUIET_S = 0.025
"""If no batch follows for so long, all is written: a broker may send only 20 messages (Mosquitto's default) before it
waits for their PUBACKs. Longer than the time between two batches."""
_MANY = 500
"""So many messages are written without the spacing: a quarter of what the broker may have under way."""
_MOST = 1500
_MOST_PACKS = 6
"""Packs of readings that are stored and not acknowledged, beside those of the rejection trail and of the batch under
way: the next holder of the lease reads 16 packs back (store/read_back.py)."""


class TopicsTrail:
    """The batches whose messages TOPICS does not have yet, or that wait behind one, in the order of receipt."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.held = HeldBatches()
        self._written_at = -math.inf
        self._added = asyncio.Event()
        self._hurry = asyncio.Event()
        self._removed = asyncio.Event()

    def add(self, batch: Batch) -> None:
        """Have a batch written behind those before it."""
        self.held.add(batch)
        self._added.set()
        if self.held.messages_held >= _MANY:
            self.hurry()

    def hurry(self) -> None:
        """Write what is there without the spacing."""
        if self.held:
            self._hurry.set()
            self._added.set()

    async def room(self) -> None:
        """Wait until another batch may be stored before these are acknowledged, however long NATS is away."""
        while self._is_full():
            self._removed.clear()
            self.hurry()
            await self._removed.wait()

    def _is_full(self) -> bool:
        """Whether it is all that the next holder of the lease finds again beside the batches behind it; so that the
        rejections that it reads back suffice, a batch with some is written before the next one is stored."""
        has_rejections = any(batch.rejected or batch.trailing for batch in self.held)
        return self.held.messages_held >= _MOST or self.held.packs >= _MOST_PACKS or has_rejections

    async def run(self, on_written: Callable[[Batch], None], on_left: Callable[[Batch], None]) -> None:
        """Write until cancelled; each batch goes to `on_written`, in order, or to `on_left` if the lease ended."""
        now_s = asyncio.get_running_loop().time
        while True:
            if not self.held:
                self._added.clear()
                await self._added.wait()
            await self._gathered(now_s)
            self._hurry.clear()
            self._written_at = now_s()
            together = list(self.held)
            is_written = await self._write(together)
            for _ in together:
                (on_written if is_written else on_left)(self.held.pop())
            self._removed.set()

    async def _gathered(self, now_s: Callable[[], float]) -> None:
        """Wait until what is there is to be written: the spacing is over, it is many, or nothing more comes."""
        while (left := self._written_at + _SPACING_S - now_s()) > 0 and not self._hurry.is_set():
            self._added.clear()
            if not await set_within(self._added, min(left, _QUIET_S)):
                return

    async def _write(self, together: Sequence[Batch]) -> bool:
        """Publish until TOPICS has all, however long NATS is away. False: the lease is over, so that only messages of
        QoS 0 were published, because they come only once; the broker delivers the others again."""
        read = list(chain.from_iterable(batch.factory.values() for batch in together))
        topics = {msg_id: message for batch in together for msg_id, message in batch.topics.items()}
        if await self._publisher.store([_part(read, list(topics.values()))], comes_again=True):
            return True
        once = set(chain.from_iterable(batch.come_once for batch in together))
        only_once = [message for msg_id, message in topics.items() if msg_id in once]
        await self._publisher.store([_part(read, only_once)], comes_again=False)
        return False


def _part(read: Sequence[Outgoing], as_they_came: Sequence[Outgoing]) -> Part:
    """Messages for TOPICS, in order where some depend on each other: two of one machine or of the CCU, or two of one
    topic. Behind the lease they are not written, as packs are not: the next holder may have written newer ones.

    What was read has the machine's serial at the end of its subject, the CCU's messages `_`.
    """
    senders = {message.subject.rpartition(".")[2] for message in read}
    topics = {message.subject for message in as_they_came}
    needs_order = len(senders) < len(read) or len(topics) < len(as_they_came)
    return Part(as_they_came, ordered=needs_order, is_packs=True)
