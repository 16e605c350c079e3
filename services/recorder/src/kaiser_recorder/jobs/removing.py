"""Removes the messages of recordings that are deleted, or whose import has failed, some at a time."""

from kaiser_common.runtime.database import DatabasePool

from kaiser_recorder.domain.budget import Budget
from kaiser_recorder.store import recordings


async def remove_deleted(pool: DatabasePool, budget: Budget) -> None:
    """Remove everything that is due; each step is a transaction of its own."""
    while True:
        async with pool.connection() as connection:
            if not await recordings.remove_some(connection):
                budget.set(await recordings.total_bytes(connection))
                return
