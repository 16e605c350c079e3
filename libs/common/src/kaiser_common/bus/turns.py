"""Holds a lock for one request or job after others, with a limit on the wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kaiser_common.bus.rpc import UNAVAILABLE, RpcError

TURN_WITHIN_S = 3.0
"""Shorter than the 5 s that a caller waits, so the caller sees why."""


@asynccontextmanager
async def held(lock: asyncio.Lock, within_s: float) -> AsyncIterator[None]:
    """The lock, held until the end. TimeoutError: others have held it for `within_s` seconds."""
    await _acquire(lock, within_s)
    try:
        yield
    finally:
        lock.release()


@asynccontextmanager
async def turn_of(lock: asyncio.Lock, why: str, within_s: float = TURN_WITHIN_S) -> AsyncIterator[None]:
    """The lock for a request, held until the end. RpcError 503 that says why: others have held it for `within_s`
    seconds."""
    try:
        await _acquire(lock, within_s)
    except TimeoutError as error:
        raise RpcError(503, UNAVAILABLE, f"{why}: try again in a moment") from error
    try:
        yield
    finally:
        lock.release()


async def _acquire(lock: asyncio.Lock, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        await lock.acquire()
