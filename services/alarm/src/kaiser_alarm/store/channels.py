"""The SQL of channels and routes. The URL of a channel goes in and out encrypted."""

from datetime import datetime
from typing import Any

from kaiser_common.contract.schemas.api.notifications import Channel, ChannelBody, Route, RouteBody
from kaiser_common.runtime.statements import execute, fetch_all, fetch_one, to_ms
from psycopg.rows import class_row, scalar_row, tuple_row
from psycopg.types.json import Jsonb
from sqlalchemy import Select, Table, func, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.elements import ClauseElement

from kaiser_alarm.store import Connection
from kaiser_alarm.store.tables import channels, notifications
from kaiser_alarm.store.tables import routes as routes_

_c = channels.c
_SHOWN: Select[Any] = select(
    *(to_ms(_c[each]).label(each) if each.endswith("_at") else _c[each] for each in Channel.model_fields)
)


async def read_all(connection: Connection) -> list[Channel]:
    """All channels, by id, without their URLs."""
    return await fetch_all(connection, class_row(Channel), _SHOWN.order_by(_c.channel_id))


async def read(connection: Connection, channel_id: str) -> Channel | None:
    """One channel."""
    return await fetch_one(connection, class_row(Channel), _SHOWN.where(_c.channel_id == channel_id))


async def encrypted_url(connection: Connection, channel_id: str) -> str | None:
    """The URL of a channel, encrypted."""
    return await fetch_one(connection, scalar_row, select(_c.url).where(_c.channel_id == channel_id))


async def encrypted_urls(connection: Connection) -> dict[str, str]:
    """The URL of each channel, encrypted."""
    return dict(await fetch_all(connection, tuple_row, select(_c.channel_id, _c.url)))


async def put(
    connection: Connection, channel_id: str, channel: ChannelBody, kind: str, url: str, by: str, now: datetime
) -> None:
    """Set a channel; what is known of its last message stays."""
    row = {"channel_id": channel_id, "name": channel.name, "kind": kind, "url": url, "enabled": channel.enabled}
    await execute(connection, _set(channels, row | {"changed_at": now, "changed_by": by}))


async def delete(connection: Connection, channel_id: str) -> bool:
    """Remove a channel, with what waits for it."""
    waiting = (notifications.c.channel_id == channel_id, notifications.c.state == "waiting")
    dropped = {"state": "dropped", "ended_at": func.now(), "error": "the channel was removed"}
    await execute(connection, update(notifications).where(*waiting).values(dropped))
    return (await execute(connection, delete_from(channels).where(_c.channel_id == channel_id))).rowcount > 0


async def routes(connection: Connection) -> list[Route]:
    """All routes, by id."""
    c = routes_.c
    statement = select(c.route_id, c.route, to_ms(c.changed_at), c.changed_by).order_by(c.route_id)
    return [
        Route(route_id=route_id, changed_at=at, changed_by=by, **route)
        for route_id, route, at, by in await fetch_all(connection, tuple_row, statement)
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
    return (await execute(connection, delete_from(routes_).where(routes_.c.route_id == route_id))).rowcount > 0


async def note_result(connection: Connection, channel_id: str, error: str | None, now: datetime) -> None:
    """Note how the last message of a channel ended."""
    ended = {"last_sent_at" if error is None else "last_failed_at": now, "last_error": error}
    await execute(connection, update(channels).where(_c.channel_id == channel_id).values(ended))
