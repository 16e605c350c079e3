"""Loads the last actions, nodes, connections and orders from the tables before the service begins to store."""

from datetime import datetime, timedelta

import structlog
from msgspec import ValidationError

from kaiser_factory.domain.rows import Past, record_from
from kaiser_factory.store import Connection
from kaiser_factory.store.serials import serials_of

log = structlog.get_logger()

_BEFORE = timedelta(days=7)
_SERIALS_OF_TRANSITIONS = serials_of("transitions")
_SERIALS = 10_000
"""Of more serials than that, what the last ones repeat is stored once more."""
_ACTIONS = 32
"""Transitions of each serial: those of the last eight actions and more."""
_CONNECTIONS = 32
_ORDERS = 1000


async def load(connection: Connection, env: str, now: datetime) -> Past:
    """The last actions and nodes of each serial in the seven days before `now`, the open orders and the newest others
    of an environment."""
    past, since = Past(), now - _BEFORE
    await _load_actions(connection, env, past, since)
    await _load_places(connection, env, past, since)
    await _load_orders(connection, env, past)
    past.shorten(past.factory.orders.values())
    return past


async def _newest(
    connection: Connection, env: str, what: str, count: int, since: datetime
) -> list[tuple[str, str, str]]:
    """Serial, value and action id of the newest transitions of each serial after `since`, oldest first.

    The serials are found one after the other in the primary key, and of each only the newest rows are read: it takes
    the same time however many rows there are.
    """
    cursor = await connection.execute(
        _SERIALS_OF_TRANSITIONS
        + """
        SELECT serial, value, action_id FROM serials CROSS JOIN LATERAL (
            SELECT value, action_id, time FROM factory.transitions AS one
            WHERE env = %(env)s AND one.serial = serials.serial AND what = %(what)s AND time > %(since)s
            ORDER BY time DESC LIMIT %(count)s
        ) AS newest ORDER BY time
        """,
        {"env": env, "what": what, "count": count, "serials": _SERIALS, "since": since},
    )
    return await cursor.fetchall()


async def _load_actions(connection: Connection, env: str, past: Past, since: datetime) -> None:
    for serial, state, action_id in await _newest(connection, env, "action", _ACTIONS, since):
        past.actions.recall(serial, action_id, state)


async def _load_places(connection: Connection, env: str, past: Past, since: datetime) -> None:
    """The last node of each AGV, and the last word of each source about a connection."""
    for serial, node, _ in await _newest(connection, env, "node", 1, since):
        past.nodes[serial] = node
    for serial, word, source in await _newest(connection, env, "connection", _CONNECTIONS, since):
        past.connections[serial, source] = word


async def _load_orders(connection: Connection, env: str, past: Past) -> None:
    """Also those that are not open: the newest 1,000."""
    cursor = await connection.execute(
        """
        SELECT order_id, record FROM (
            SELECT order_id, record, first_seen_at FROM factory.orders WHERE env = %s
            ORDER BY first_seen_at DESC LIMIT %s
        ) AS newest ORDER BY first_seen_at
        """,
        (env, _ORDERS),
    )
    async for order_id, record in cursor:
        try:
            past.factory.orders[order_id] = record_from(record)
        except ValidationError as error:
            log.error("order_unreadable", order_id=order_id, error=str(error))
