"""Asks a service's dependencies once for all who ask /readyz at the same time."""

import asyncio
from collections.abc import Awaitable, Callable

States = dict[str, str]
"""Each dependency's state: "ok" or why not."""


class SharedLook:
    """At most one look at the dependencies is under way, however many ask: a flood of /readyz takes one connection of
    the database at a time. Each gets what a look found that began after it asked, so no state is older than its
    question; it waits for two looks at most."""

    def __init__(self, look: Callable[[], Awaitable[States]]) -> None:
        self._look = look
        self._lock = asyncio.Lock()
        self._began_at = float("-inf")
        self._states: States = {}

    async def states(self) -> States:
        """The states that the look found. An error goes to the caller who began it; the next in line looks again."""
        clock = asyncio.get_running_loop().time
        asked_at = clock()
        async with self._lock:
            if self._began_at < asked_at:
                began_at = clock()
                self._states = await self._look()
                self._began_at = began_at
        return self._states
