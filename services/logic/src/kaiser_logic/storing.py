"""Writes what rules did into the table, whenever the database is there."""

from collections.abc import Sequence

import psycopg
import structlog
from kaiser_common.bus import Bus, BusUnavailable
from kaiser_common.consumer import Consumer
from kaiser_common.database import UNAVAILABLE, DatabasePool, Verdict, verdict
from kaiser_common.errors import Code
from kaiser_common.pull import Delivery
from kaiser_common.quarantine import reject
from kaiser_common.schemas.api.logic import Execution
from pydantic import ValidationError

from kaiser_logic import metrics, store

log = structlog.get_logger()

_RETRY_S = 1.0
_OUTSIDE: tuple[type[Exception], ...] = (*UNAVAILABLE, psycopg.Error, BusUnavailable)


class Storing:
    """Acknowledges after the commit. Database away: the stream EXECUTIONS keeps what waits, the newest 64 MiB of it."""

    def __init__(self, bus: Bus, pool: DatabasePool) -> None:
        self._bus = bus
        self._pool = pool

    async def run(self, consumer: Consumer) -> None:
        """Write batches until the consumer is stopped."""
        async for batch in consumer:
            try:
                await self.on_executions(batch)
            except _OUTSIDE as error:
                if isinstance(error, psycopg.Error) and verdict(error) is not Verdict.RETRY:
                    raise
                log.warning("executions_postponed", messages=len(batch), error=str(error).splitlines()[0])
                await consumer.nak(batch, delay_s=_RETRY_S)
            else:
                await consumer.ack(batch)

    async def on_executions(self, batch: Sequence[Delivery]) -> None:
        """Write a batch; what can never be written goes to REJECTED."""
        readable: list[tuple[Delivery, Execution]] = []
        refused: list[tuple[Delivery, str]] = []
        for delivery in batch:
            try:
                readable.append((delivery, Execution.model_validate_json(delivery.body)))
            except ValidationError as error:
                refused.append((delivery, str(error.errors(include_url=False)[0]["msg"])))
        refused += await self._write(readable)
        if refused:
            await reject(self._bus, refused, Code.INTEGRITY_ERROR)
        metrics.STORED.inc(len(batch) - len(refused))

    async def _write(self, executions: Sequence[tuple[Delivery, Execution]]) -> list[tuple[Delivery, str]]:
        """In one transaction, or by halves where one of them cannot be written; those with the reason."""
        if not executions:
            return []
        try:
            async with self._pool.connection() as connection:
                await store.note_executions(connection, [execution for _, execution in executions])
        except psycopg.Error as error:
            if verdict(error) is not Verdict.REJECT:
                raise
            if len(executions) == 1:
                return [(executions[0][0], str(error).splitlines()[0])]
            half = len(executions) // 2
            return await self._write(executions[:half]) + await self._write(executions[half:])
        return []
