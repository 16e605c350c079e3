"""Events that are committed but not yet published, in the order of the changes that they report."""

from collections.abc import Sequence

from kaiser_common.bus.connection import Outgoing
from kaiser_common.runtime.statements import among, execute, fetch_all
from psycopg.rows import tuple_row
from sqlalchemy import ARRAY, Text, delete, func, insert, literal, select

from kaiser_health.store import Connection
from kaiser_health.store.tables import owed_events

_c = owed_events.c


async def add(connection: Connection, events: Sequence[Outgoing]) -> None:
    """Owe events from the commit on: one statement, as a fleet that comes online after an outage has thousands."""
    columns = (
        [event.msg_id for event in events],
        [event.subject for event in events],
        [event.body.decode() for event in events],
    )
    given = func.unnest(*(literal(column, ARRAY(Text)) for column in columns))
    rows = given.table_valued("event_id", "subject", "body", with_ordinality="place").render_derived()
    chosen = select(rows.c.event_id, rows.c.subject, rows.c.body).order_by(rows.c.place)
    await execute(connection, insert(owed_events).from_select(["event_id", "subject", "body"], chosen))


async def oldest(connection: Connection, limit: int) -> tuple[list[int], list[Outgoing]]:
    """Ids and events of the oldest rows. They are locked: replicas publish one after the other, so in order."""
    statement = select(_c.id, _c.subject, _c.body, _c.event_id).order_by(_c.id).limit(limit).with_for_update()
    rows = await fetch_all(connection, tuple_row, statement)
    return [row[0] for row in rows], [Outgoing(row[1], row[2].encode(), row[3]) for row in rows]


async def remove(connection: Connection, ids: Sequence[int]) -> None:
    """Owe events no longer."""
    await execute(connection, delete(owed_events).where(among(_c.id, ids)))
