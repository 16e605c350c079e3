"""A database that does not answer, for tests of waits for those that wait for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class HangingPool:
    """Gives no connection. `asked`: somebody waits for one; `times`: how often it was asked."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.times = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        self.times += 1
        self.asked.set()
        await asyncio.Event().wait()
        yield
