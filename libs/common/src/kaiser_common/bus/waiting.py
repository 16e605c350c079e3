"""Waiting with a time limit, and a guard for library waits that would swallow a cancellation."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


async def set_within(event: asyncio.Event, within_s: float | None) -> bool:
    """Wait for an event for at most `within_s` (None: without a limit); whether it is set."""
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


@contextmanager
def cancellable() -> Iterator[None]:
    """Raise CancelledError behind a library's wait in which the task was cancelled.

    nats-py, psycopg's pool and aiomqtt wait by `asyncio.wait_for`. In Python 3.11 it returns the answer where a
    cancellation comes in the same turn of the loop (fixed in 3.12), and a loop around it would never end. Kaiser's own
    waits are `asyncio.timeout`, which keeps the cancellation.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
