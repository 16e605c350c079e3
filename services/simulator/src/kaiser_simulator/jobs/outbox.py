"""Watches how full OUTBOX is, every second: mocks send nothing while their messages do not reach MQTT."""

import asyncio

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.contract.subjects import OUTBOX
from kaiser_common.runtime.loops import every
from nats.errors import Error as NatsError

from kaiser_simulator import metrics
from kaiser_simulator.domain.world import World
from kaiser_simulator.publish import Sender

log = structlog.get_logger()

_LOOK_EVERY_S = 1.0
_ASK_WITHIN_S = 2.0


async def watch_outbox(bus: Bus, sender: Sender, world: World, limit: int) -> None:
    """Keep `world.blocked` true while OUTBOX holds over `limit` messages (no ingest carries them), until cancelled.

    A device without a connection drops its readings too; OUTBOX stays free for commands.
    """

    async def look() -> None:
        held = await _held(bus)
        blocked = sender.is_full or (held is None and world.blocked) or (held is not None and held > limit)
        if blocked != world.blocked:
            log.warning("mocks_blocked" if blocked else "mocks_unblocked", outbox=held, limit=limit)
        world.blocked = blocked
        metrics.BLOCKED.set(blocked)

    await every(_LOOK_EVERY_S, look, "outbox_not_watched")


async def _held(bus: Bus) -> int | None:
    """Messages in OUTBOX, None when NATS does not say."""
    try:
        async with asyncio.timeout(_ASK_WITHIN_S):
            return int((await bus.jetstream.stream_info(OUTBOX.name)).state.messages)
    except (NatsError, OSError, TimeoutError) as error:
        log.debug("outbox_fill_unknown", reason=str(error) or type(error).__name__)
        return None
