"""The SQL of commands: added and changed with their actuator, and read by id, by key, by time."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from psycopg.rows import class_row

from kaiser_actuator.domain.commands import CommandRecord, deadline
from kaiser_actuator.store import Connection

_COMMAND = """
    command_id, esp_id, gpio, kaiser_id, command, value, duration_s, issued_by, queued_at, expires_at, state, reason,
    idempotency_key, body_hash, state_reason, dispatched_at, sent_at, ended_at, message
"""


async def add(connection: Connection, command: CommandRecord, timeout: timedelta) -> None:
    """Store a new command."""
    await connection.execute(
        """
        INSERT INTO actuator.commands (command_id, esp_id, gpio, kaiser_id, command, value, duration_s, reason,
            issued_by, idempotency_key, body_hash, state, state_reason, message, queued_at, expires_at, dispatched_at,
            sent_at, ended_at, deadline_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
        """,
        (
            command.command_id,
            command.esp_id,
            command.gpio,
            command.kaiser_id,
            command.command,
            command.value,
            command.duration_s,
            command.reason,
            command.issued_by,
            command.idempotency_key,
            command.body_hash,
            command.state,
            command.state_reason,
            command.message,
            command.queued_at,
            command.expires_at,
            command.dispatched_at,
            command.sent_at,
            command.ended_at,
            deadline(command, timeout),
        ),
    )


async def update(connection: Connection, command: CommandRecord, timeout: timedelta) -> None:
    """Write how far a command is."""
    await connection.execute(
        """
        UPDATE actuator.commands SET state = %s, state_reason = %s, message = %s, dispatched_at = %s, sent_at = %s,
            ended_at = %s, deadline_at = %s
        WHERE command_id = %s
        """,
        (
            command.state,
            command.state_reason,
            command.message,
            command.dispatched_at,
            command.sent_at,
            command.ended_at,
            deadline(command, timeout),
            command.command_id,
        ),
    )


async def open_of(
    connection: Connection, keys: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], list[CommandRecord]]:
    """The open commands of actuators, in the order in which they came."""
    async with connection.cursor(row_factory=class_row(CommandRecord)) as cursor:
        await cursor.execute(
            f"""
            SELECT {_COMMAND} FROM actuator.commands
            JOIN unnest(%s::text[], %s::int[]) AS w (esp_id, gpio) USING (esp_id, gpio)
            WHERE state IN ('queued', 'sent') ORDER BY number
            """,
            ([esp_id for esp_id, _ in keys], [gpio for _, gpio in keys]),
        )
        found: dict[tuple[str, int], list[CommandRecord]] = {}
        for command in await cursor.fetchall():
            found.setdefault((command.esp_id, command.gpio), []).append(command)
    return found


async def open_places(connection: Connection, command_ids: Sequence[str]) -> set[tuple[str, int]]:
    """The actuators (device and gpio) of those of these commands that are open."""
    if not command_ids:
        return set()
    cursor = await connection.execute(
        "SELECT esp_id, gpio FROM actuator.commands WHERE command_id = ANY(%s) AND state IN ('queued', 'sent')",
        (list(command_ids),),
    )
    return {(esp_id, gpio) for esp_id, gpio in await cursor.fetchall()}


async def by_id(connection: Connection, command_id: str) -> CommandRecord | None:
    """One command."""
    async with connection.cursor(row_factory=class_row(CommandRecord)) as cursor:
        await cursor.execute(f"SELECT {_COMMAND} FROM actuator.commands WHERE command_id = %s", (command_id,))
        return await cursor.fetchone()


async def by_key(connection: Connection, esp_id: str, gpio: int, idempotency_key: str) -> CommandRecord | None:
    """The command that was sent with an idempotency key."""
    async with connection.cursor(row_factory=class_row(CommandRecord)) as cursor:
        await cursor.execute(
            f"SELECT {_COMMAND} FROM actuator.commands WHERE esp_id = %s AND gpio = %s AND idempotency_key = %s",
            (esp_id, gpio, idempotency_key),
        )
        return await cursor.fetchone()


async def last_failed(connection: Connection, limit: int) -> list[CommandRecord]:
    """The last ended command of each actuator, where it did not succeed; the newest first."""
    async with connection.cursor(row_factory=class_row(CommandRecord)) as cursor:
        await cursor.execute(
            f"""
            SELECT last.* FROM actuator.actuators AS a CROSS JOIN LATERAL (
                SELECT {_COMMAND} FROM actuator.commands AS c
                WHERE c.esp_id = a.esp_id AND c.gpio = a.gpio AND c.ended_at IS NOT NULL
                ORDER BY c.queued_at DESC, c.number DESC LIMIT 1
            ) AS last
            WHERE last.state <> 'acknowledged' ORDER BY last.ended_at DESC, last.command_id LIMIT %s
            """,
            (limit,),
        )
        return await cursor.fetchall()


async def count_since(connection: Connection, esp_id: str, gpio: int, since: datetime) -> int:
    """How many commands an actuator got since a time; OFF is not counted."""
    cursor = await connection.execute(
        "SELECT count(*) FROM actuator.commands"
        " WHERE esp_id = %s AND gpio = %s AND queued_at > %s AND command <> 'OFF'",
        (esp_id, gpio, since),
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def waiting_devices(connection: Connection) -> list[str]:
    """Devices for which a command waits that was not given to the OUTBOX yet."""
    cursor = await connection.execute(
        "SELECT DISTINCT esp_id FROM actuator.commands WHERE state = 'queued' AND dispatched_at IS NULL"
    )
    return [row[0] for row in await cursor.fetchall()]
