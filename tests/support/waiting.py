"""Waits for a condition, by default up to two minutes, checking often: a slow machine does not change the result."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

WITHIN_S = 120.0


async def until(
    condition: Callable[[], Any], what: str = "", within_s: float = WITHIN_S, *, every_s: float = 0.15
) -> Any:
    """Wait until a condition (a function or a coroutine function) is true, and give its value. AssertionError names
    `what` was waited for. every_s: the longest pause; the first ones are shorter."""
    pause_s = min(0.02, every_s)
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what or condition}"
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.3, every_s)
