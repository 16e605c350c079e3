"""Stores the changes that people made at any service, from the durable consumer `health-audit`."""

from collections.abc import Sequence

from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.schemas.audit import AuditRecord
from kaiser_common.runtime.consume import Unreadable
from kaiser_common.runtime.database import DatabasePool
from pydantic import ValidationError

from kaiser_health.store import audit


class AuditRecords:
    """Acknowledges after the commit. Database away: the stream AUDIT keeps what waits. A record that comes again
    changes nothing."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool

    async def on_messages(self, batch: Sequence[Delivery]) -> Unreadable:
        """Store a batch; returns the unreadable ones."""
        readable: list[AuditRecord] = []
        unreadable: list[tuple[Delivery, str]] = []
        for delivery in batch:
            try:
                readable.append(AuditRecord.model_validate_json(delivery.body))
            except ValidationError as error:
                unreadable.append((delivery, str(error.errors(include_url=False)[0]["msg"])))
        if readable:
            async with self._pool.connection() as connection:
                await audit.store(connection, readable)
        return unreadable
