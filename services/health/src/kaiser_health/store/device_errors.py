"""The SQL of errors that devices report."""

from datetime import datetime

from kaiser_common.runtime.statements import execute
from sqlalchemy.dialects.postgresql import insert

from kaiser_health.store import Connection
from kaiser_health.store.tables import device_errors


async def add(
    connection: Connection,
    esp_id: str,
    at: datetime,
    error_code: int,
    severity: str,
    category: str | None,
    message: str,
    text_digest: str,
) -> bool:
    """Store an error that a device reported; False if it was stored already. text_digest distinguishes errors of the
    same time."""
    add_error = insert(device_errors).values(
        esp_id=esp_id,
        ts=at,
        error_code=error_code,
        severity=severity,
        category=category,
        message=message,
        text_digest=text_digest,
    )
    cursor = await execute(connection, add_error.on_conflict_do_nothing())
    return cursor.rowcount > 0
