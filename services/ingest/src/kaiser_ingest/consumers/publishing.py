"""Publishes the parts of a batch until all of them are stored, for as long as ingest has the lease.

Killed: a part is stored or not, and the broker delivers again what was not acknowledged. The next holder of the lease
finds on the streams what is stored.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable, Outgoing

log = structlog.get_logger()

_RETRY_S = 0.5
_PUBLISH_S = 10.0
"""How long a part of a batch is repeated before the batch is looked at again."""


class Part(NamedTuple):
    """Messages of one stream. is_packs: JetStream does not know a line of a pack by its id, so they must not be
    published behind the next holder of the lease."""

    messages: Sequence[Outgoing]
    ordered: bool = False
    is_packs: bool = False


class Publisher:
    """Publishes parts until they are stored, however long NATS is away."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.valid_until: Callable[[], float] = lambda: math.inf
        """Until when (monotonic) the lease is ours."""

    async def store(self, parts: Iterable[Part], *, comes_again: bool) -> bool:
        """Publish these parts beside each other until all are stored.

        comes_again: the broker delivers their messages again. Then packs wait for no longer than the lease: False, they
        are left. A process that was stopped for a while must not publish them behind the next holder.
        """
        left = [part for part in parts if part.messages]
        while left:
            within_s = _PUBLISH_S
            if comes_again and any(part.is_packs for part in left):
                within_s = min(within_s, self.valid_until() - time.monotonic())
                if within_s <= 0:
                    return False
            attempts = [self._is_published(part, within_s) for part in left]
            done = [await attempts[0]] if len(attempts) == 1 else await asyncio.gather(*attempts)
            left = [part for part, published in zip(left, done, strict=True) if not published]
            if left:
                await asyncio.sleep(_RETRY_S)
        return True

    async def _is_published(self, part: Part, within_s: float) -> bool:
        try:
            await self._bus.publish_batch(part.messages, ordered=part.ordered, deadline_s=within_s)
        except BusUnavailable as error:
            log.warning("not_stored_yet", messages=len(part.messages), reason=str(error))
            return False
        return True
