"""Lets packs of the ordinary lane wait while urgent messages are on their way to the broker.

A stop of everything comes twice, as a pack on the urgent lane and a moment later on the ordinary one. The second takes
as much of the processor as the first, which would then reach its last device later.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from kaiser_common.bus.waiting import set_within


class UrgentFirst:
    """Whether urgent messages are on their way. In memory alone: after a kill none are."""

    def __init__(self) -> None:
        self._batches = 0
        self._over = asyncio.Event()
        self._over.set()

    @contextmanager
    def on_the_way(self) -> Iterator[None]:
        """A batch of urgent messages is handled in the block."""
        self._batches += 1
        self._over.clear()
        try:
            yield
        finally:
            self._batches -= 1
            if self._batches == 0:
                self._over.set()

    async def over(self, within_s: float) -> bool:
        """Wait until none are on their way, for `within_s` at most: a broker that does not answer holds up nothing
        else. Whether none are."""
        return await set_within(self._over, within_s)
