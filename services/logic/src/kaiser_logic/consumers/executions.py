"""Stores what rules did, from the durable consumer `logic-store`."""

from collections.abc import Sequence

from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.schemas.api.logic import Execution
from kaiser_common.runtime.consume import Unreadable
from kaiser_common.runtime.database import DatabasePool
from pydantic import ValidationError

from kaiser_logic import metrics
from kaiser_logic.store import rules


class ExecutionMessages:
    """Acknowledges after the commit. Database away: the stream EXECUTIONS keeps what waits, the newest 64 MiB of it."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool

    async def on_messages(self, batch: Sequence[Delivery]) -> Unreadable:
        """Store a batch; returns what of it cannot be read."""
        readable: list[Execution] = []
        unreadable: list[tuple[Delivery, str]] = []
        for delivery in batch:
            try:
                readable.append(Execution.model_validate_json(delivery.body))
            except ValidationError as error:
                unreadable.append((delivery, str(error.errors(include_url=False)[0]["msg"])))
        if readable:
            async with self._pool.connection() as connection:
                await rules.note_executions(connection, readable)
        metrics.STORED.inc(len(readable))
        return unreadable
