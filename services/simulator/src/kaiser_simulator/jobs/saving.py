"""Stores the changes that mocks made on their own."""

import asyncio

import structlog
from kaiser_common.bus.connection import BusUnavailable
from kaiser_common.contract.errors import line_of
from kaiser_common.runtime.database import UNAVAILABLE
from kaiser_common.runtime.loops import every

from kaiser_simulator import metrics
from kaiser_simulator.publish import Sender
from kaiser_simulator.store.changes import Mocks

log = structlog.get_logger()

_SAVE_EVERY_S = 0.25
_AT_END_S = 2.0
_LOST: tuple[type[Exception], ...] = (*UNAVAILABLE, BusUnavailable, TimeoutError)


async def keep_saved(mocks: Mocks) -> None:
    """Store the changes that mocks made on their own, four times a second. Database unavailable: the next round stores
    them."""

    async def save() -> None:
        running = sum(device.life.running for device in mocks.world)
        metrics.MOCKS.labels("yes").set(running)
        metrics.MOCKS.labels("no").set(len(mocks.world) - running)
        await mocks.save_changed()

    await every(_SAVE_EVERY_S, save, "mocks_not_saved", delay_s=_SAVE_EVERY_S)


async def save_at_end(mocks: Mocks, sender: Sender) -> None:
    """Store and publish what is at hand; what takes longer than two seconds is lost."""
    try:
        async with asyncio.timeout(_AT_END_S):
            await mocks.save_changed()
            await sender.until_sent(_AT_END_S)
    except _LOST as error:
        log.warning("final_messages_lost", error=line_of(error))
