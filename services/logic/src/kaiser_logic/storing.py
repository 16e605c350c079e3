"""Writes what rules did into the table, whenever the database is there."""

from collections.abc import Sequence

from kaiser_common.consumer import Consumer
from kaiser_common.database import DatabasePool
from kaiser_common.outside import DeadLetters, Unreadable, take
from kaiser_common.pull import Delivery
from kaiser_common.schemas.api.logic import Execution
from pydantic import ValidationError

from kaiser_logic import metrics, store


class Storing:
    """Acknowledges after the commit. Database away: the stream EXECUTIONS keeps what waits, the newest 64 MiB of it."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool

    async def run(self, consumer: Consumer, letters: DeadLetters) -> None:
        """Write batches until the consumer is stopped."""
        await take(consumer, self.on_executions, letters)

    async def on_executions(self, batch: Sequence[Delivery]) -> Unreadable:
        """Write a batch; what of it cannot be read."""
        readable: list[Execution] = []
        unreadable: list[tuple[Delivery, str]] = []
        for delivery in batch:
            try:
                readable.append(Execution.model_validate_json(delivery.body))
            except ValidationError as error:
                unreadable.append((delivery, str(error.errors(include_url=False)[0]["msg"])))
        if readable:
            async with self._pool.connection() as connection:
                await store.note_executions(connection, readable)
        metrics.STORED.inc(len(readable))
        return unreadable
