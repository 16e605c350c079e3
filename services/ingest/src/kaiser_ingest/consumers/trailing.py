"""Stores rejections behind the batches that they came in, so that a flood of bad messages holds up no readings.

A batch is finished, and so acknowledged, once its rejections are stored too, in the order of receipt. Killed: the
broker delivers again what was not acknowledged, and the next holder of the lease reads back which readings and
rejections of it are stored.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import accumulate

from kaiser_common.bus.connection import Bus, Outgoing

from kaiser_ingest.consumers.held_batches import HeldBatches
from kaiser_ingest.consumers.publishing import Part, Publisher
from kaiser_ingest.consumers.sorting import Batch
from kaiser_ingest.domain.outgoing import to_rejected_packs
from kaiser_ingest.domain.own_packs import OwnPacks

MOST_BATCHES = 3
_MOST_PACKS = 4
"""Packs of readings that are stored and not acknowledged, unless a single batch has more: the next holder of the lease
reads back the last 16 packs (read_back.py)."""
_MOST_LINES = 1_000
_MOST_BYTES = 2 * 1024 * 1024
"""Rejections that are published together, unless a single batch has more; the packs that are read back suffice for
them."""


class RejectionTrail:
    """The batches that are stored but for their rejections, or wait behind such a batch: at most three, and no further
    one while they have 1,000 rejections or 2 MiB."""

    def __init__(self, bus: Bus, publisher: Publisher) -> None:
        self._new_id = bus.message_id
        self._publisher = publisher
        self._own_packs = OwnPacks()
        self.held = HeldBatches()
        self._added = asyncio.Event()
        self._removed = asyncio.Event()

    def add(self, batch: Batch) -> None:
        """Have the rejections of a batch stored behind those of the batches before it."""
        self.held.add(batch)
        self._added.set()

    async def room(self) -> None:
        """Wait until there is room for another batch."""
        while self._is_full():
            await self._one_less()

    async def emptied(self) -> None:
        """Wait until no batch is left."""
        while self.held:
            await self._one_less()

    async def run(self, on_stored: Callable[[Batch], None], on_left: Callable[[Batch], None]) -> None:
        """Store rejections until cancelled, of several batches together; each batch goes to `on_stored`, in order.

        If the lease ends before, `on_left` gets all batches.
        """
        while True:
            if not self.held:
                self._added.clear()
                await self._added.wait()
            together = self._together()
            rejections = [each for batch in together for each in batch.trailing.values()]
            parts = [Part(self.to_packs(rejections), is_packs=True)]
            is_stored = await self._publisher.store(parts, comes_again=True)
            for _ in range(len(together) if is_stored else len(self.held)):
                (on_stored if is_stored else on_left)(self.held.pop())
            self._removed.set()

    def to_packs(self, rejections: Sequence[Outgoing]) -> list[Outgoing]:
        """Rejections as messages of REJECTED."""
        return to_rejected_packs(rejections, self._new_id, self._has_own_packs)

    def _is_full(self) -> bool:
        held = self.held
        return len(held) >= MOST_BATCHES or held.packs >= _MOST_PACKS or len(self._together()) < len(held)

    async def _one_less(self) -> None:
        self._removed.clear()
        await self._removed.wait()

    def _together(self) -> list[Batch]:
        """The first batches, as many as have their rejections published together."""
        batches = list(self.held)
        lines = accumulate(len(batch.trailing) for batch in batches)
        sizes = accumulate(sum(len(each.body) for each in batch.trailing.values()) for batch in batches)
        fitting = sum(count <= _MOST_LINES and size <= _MOST_BYTES for count, size in zip(lines, sizes, strict=True))
        return batches[: max(1, fitting)]

    def _has_own_packs(self, rejected_subject: str) -> bool:
        return self._own_packs.allows(rejected_subject, time.monotonic())
