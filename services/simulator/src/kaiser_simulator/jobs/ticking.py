"""Lets mocks do what is due."""

import asyncio
import time

from kaiser_simulator.domain.world import World
from kaiser_simulator.publish import Sender

_SHORTEST_SLEEP_S = 0.005
_LONGEST_SLEEP_S = 0.02


def now_ms() -> int:
    """The clock of the service: ms since 1970."""
    return time.time_ns() // 1_000_000


async def pass_time(world: World, sender: Sender) -> None:
    """Let the mocks do what is due, until cancelled."""
    while True:
        now = now_ms()
        world.tick(now)
        sender.add(world.take())
        due = world.next_due()
        left_s = _LONGEST_SLEEP_S if due is None else (due - now_ms()) / 1000
        await asyncio.sleep(min(max(left_s, _SHORTEST_SLEEP_S), _LONGEST_SLEEP_S))
