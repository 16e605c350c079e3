"""Advances the mocks: each acts when it is due."""

import asyncio

from kaiser_common.runtime.clock import now_ms

from kaiser_simulator.domain.world import World
from kaiser_simulator.publish import Sender

_SHORTEST_SLEEP_S = 0.005
_LONGEST_SLEEP_S = 0.02
_SLEEP_WITHOUT_MOCKS_S = 0.2


async def pass_time(world: World, sender: Sender) -> None:
    """Let the mocks do what is due, until cancelled."""
    while True:
        now = now_ms()
        world.tick(now)
        sender.add(world.take())
        if not len(world):
            await asyncio.sleep(_SLEEP_WITHOUT_MOCKS_S)
            continue
        due = world.next_due()
        left_s = _LONGEST_SLEEP_S if due is None else (due - now_ms()) / 1000
        await asyncio.sleep(min(max(left_s, _SHORTEST_SLEEP_S), _LONGEST_SLEEP_S))
