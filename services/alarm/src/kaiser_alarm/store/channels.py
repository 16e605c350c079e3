"""The SQL of channels and routes. The URL of a channel goes in and out encrypted."""

from datetime import datetime
from typing import Any

from kaiser_common.contract.schemas.api.notifications import Channel, ChannelBody, Route, RouteBody
from kaiser_common.runtime.statements import execute
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.elements import ClauseElement

from kaiser_alarm.store import Connection
from kaiser_alarm.store.tables import channels
from kaiser_alarm.store.tables import routes as routes_

_SHOWN = ", ".join(
    f"(extract(epoch FROM {each}) * 1000)::bigint AS {each}" if each.endswith("_at") else each
    for each in Channel.model_fields
)


async def read_all(connection: Connection) -> list[Channel]:
    """All channels, by id, without their URLs."""
    async with connection.cursor(row_factory=class_row(Channel)) as cursor:
        await cursor.execute(f"SELECT {_SHOWN} FROM alarm.channels ORDER BY channel_id")
        return await cursor.fetchall()


async def read(connection: Connection, channel_id: str) -> Channel | None:
    """One channel."""
    async with connection.cursor(row_factory=class_row(Channel)) as cursor:
        await cursor.execute(f"SELECT {_SHOWN} FROM alarm.channels WHERE channel_id = %s", (channel_id,))
        return await cursor.fetchone()


async def encrypted_url(connection: Connection, channel_id: str) -> str | None:
    """The URL of a channel, encrypted."""
    cursor = await connection.execute("SELECT url FROM alarm.channels WHERE channel_id = %s", (channel_id,))
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


async def encrypted_urls(connection: Connection) -> dict[str, str]:
    """The URL of each channel, encrypted."""
    cursor = await connection.execute("SELECT channel_id, url FROM alarm.channels")
    return dict(await cursor.fetchall())


async def put(
    connection: Connection, channel_id: str, channel: ChannelBody, kind: str, url: str, by: str, now: datetime
) -> None:
    """Set a channel; what is known of its last message stays."""
    row = {"channel_id": channel_id, "name": channel.name, "kind": kind, "url": url, "enabled": channel.enabled}
    await execute(connection, _set(channels, row | {"changed_at": now, "changed_by": by}))


async def delete(connection: Connection, channel_id: str) -> bool:
    """Remove a channel, with what waits for it."""
    await connection.execute(
        "UPDATE alarm.notifications SET state = 'dropped', ended_at = now(), error = 'the channel was removed'"
        " WHERE channel_id = %s AND state = 'waiting'",
        (channel_id,),
    )
    cursor = await connection.execute("DELETE FROM alarm.channels WHERE channel_id = %s", (channel_id,))
    return cursor.rowcount > 0


async def routes(connection: Connection) -> list[Route]:
    """All routes, by id."""
    cursor = await connection.execute(
        "SELECT route_id, route, (extract(epoch FROM changed_at) * 1000)::bigint, changed_by FROM alarm.routes"
        " ORDER BY route_id"
    )
    return [
        Route(route_id=route_id, changed_at=at, changed_by=by, **route)
        for route_id, route, at, by in await cursor.fetchall()
    ]


async def put_route(connection: Connection, route_id: str, route: RouteBody, by: str, now: datetime) -> None:
    """Set a route."""
    row = {"route_id": route_id, "route": Jsonb(route.model_dump(mode="json"))}
    await execute(connection, _set(routes_, row | {"changed_at": now, "changed_by": by}))


def _set(table: Table, row: dict[str, Any]) -> ClauseElement:
    """Insert a row, or change the one of its key."""
    add = insert(table).values(row)
    keys = [column.name for column in table.primary_key]
    changed = {name: add.excluded[name] for name in row if name not in keys}
    return add.on_conflict_do_update(index_elements=keys, set_=changed).inline()


async def delete_route(connection: Connection, route_id: str) -> bool:
    """Remove a route."""
    cursor = await connection.execute("DELETE FROM alarm.routes WHERE route_id = %s", (route_id,))
    return cursor.rowcount > 0


async def note_result(connection: Connection, channel_id: str, error: str | None, now: datetime) -> None:
    """Note how the last message of a channel ended."""
    await connection.execute(
        """
        UPDATE alarm.channels SET last_sent_at = CASE WHEN %(error)s::text IS NULL THEN %(now)s ELSE last_sent_at END,
            last_failed_at = CASE WHEN %(error)s::text IS NULL THEN last_failed_at ELSE %(now)s END,
            last_error = %(error)s WHERE channel_id = %(channel)s
        """,
        {"error": error, "now": now, "channel": channel_id},
    )
