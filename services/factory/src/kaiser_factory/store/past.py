"""Loads the last actions, nodes, connections and orders from the tables before the service begins to store."""

import structlog
from msgspec import ValidationError

from kaiser_factory.domain.rows import Past, record_from
from kaiser_factory.store import Connection

log = structlog.get_logger()

_ORDERS = 1000


async def load(connection: Connection, env: str) -> Past:
    """The last actions and nodes of each serial, the open orders and the newest others of an environment."""
    past = Past()
    await _load_actions(connection, env, past)
    await _load_places(connection, env, past)
    await _load_orders(connection, env, past)
    past.shorten(past.factory.orders.values())
    return past


async def _load_actions(connection: Connection, env: str, past: Past) -> None:
    cursor = await connection.execute(
        """
        SELECT serial, action_id, value FROM (
            SELECT serial, action_id, value, time,
                   row_number() OVER (PARTITION BY serial ORDER BY time DESC) AS place
            FROM factory.transitions
            WHERE env = %s AND what = 'action' AND time > now() - interval '7 days'
        ) AS newest WHERE place <= 32 ORDER BY time
        """,
        (env,),
    )
    async for serial, action_id, value in cursor:
        past.actions.recall(serial, action_id, value)


async def _load_places(connection: Connection, env: str, past: Past) -> None:
    """The last node of each AGV, and the last word of each source about a connection."""
    cursor = await connection.execute(
        """
        SELECT DISTINCT ON (serial, what, action_id) serial, what, value, action_id FROM factory.transitions
        WHERE env = %s AND what IN ('node', 'connection') AND time > now() - interval '7 days'
        ORDER BY serial, what, action_id, time DESC
        """,
        (env,),
    )
    async for serial, what, value, source in cursor:
        if what == "node":
            past.nodes[serial] = value
        else:
            past.connections[serial, source] = value


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
