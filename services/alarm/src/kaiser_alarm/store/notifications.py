"""The SQL of notifications: stored under their keys before they are sent."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from kaiser_common.contract.schemas.api.notifications import AlarmNotification, NotificationsQuery
from kaiser_common.runtime.cursors import parse_cursor
from kaiser_common.runtime.statements import equal, execute_many, fetch_all, from_ms, insert_of, to_ms
from psycopg.rows import class_row
from sqlalchemy import Select, literal, select, tuple_

from kaiser_alarm.domain.routing import DueNotification, RecentMessages
from kaiser_alarm.store import Connection
from kaiser_alarm.store.tables import notifications

_c = notifications.c
_SHOWN: Select[Any] = select(
    *(to_ms(_c[each]).label(each) if each.endswith("_at") else _c[each] for each in AlarmNotification.model_fields)
)
_ADD = insert_of(
    notifications, ("key", "alarm_id", "channel_id", "bundle", "is_summary", "state", "next_try_at", "created_at")
).on_conflict_do_nothing(index_elements=[_c.key])


class Bundle(NamedTuple):
    """The content of one message to a channel: notifications with their alarms."""

    bundle: str
    channel_id: str
    is_summary: bool
    tries: int
    keys: list[str]
    alarm_ids: list[str]


async def unknown(connection: Connection, keys: Collection[str]) -> set[str]:
    """Which of these keys are not stored yet."""
    cursor = await connection.execute("SELECT key FROM alarm.notifications WHERE key = ANY(%s)", (list(keys),))
    return set(keys) - {key for (key,) in await cursor.fetchall()}


async def recent_messages(
    connection: Connection, flapping: Collection[str], minute_ago: datetime, again_since: datetime
) -> dict[str, RecentMessages]:
    """The messages that each channel was sent lately. flapping: the alarms that were raised again. The severity is the
    third part of a key."""
    cursor = await connection.execute(
        """
        SELECT channel_id, count(DISTINCT bundle), array_agg(DISTINCT split_part(key, '-', 3) || ' ' || kind)
        FROM alarm.notifications JOIN alarm.alarms USING (alarm_id) WHERE created_at > %s GROUP BY channel_id
        """,
        (minute_ago,),
    )
    found = {
        channel_id: RecentMessages(messages, frozenset(_two(each) for each in kinds))
        for channel_id, messages, kinds in await cursor.fetchall()
    }
    if not flapping:
        return found
    cursor = await connection.execute(
        """
        SELECT channel_id, array_agg(DISTINCT alarm_id || ' ' || split_part(key, '-', 3))
        FROM alarm.notifications WHERE alarm_id = ANY(%s) AND created_at > %s GROUP BY channel_id
        """,
        (list(flapping), again_since),
    )
    for channel_id, told in await cursor.fetchall():
        again = frozenset(_two(each) for each in told)
        found[channel_id] = found.get(channel_id, RecentMessages())._replace(again=again)
    return found


def _two(text: str) -> tuple[str, str]:
    first, _, second = text.partition(" ")
    return first, second


async def add(
    connection: Connection, due: Sequence[DueNotification], bundle: str, now: datetime, *, is_summary: bool
) -> None:
    """Store the notifications of one message. Notifications already stored are left unchanged."""
    common = {"bundle": bundle, "is_summary": is_summary, "state": "waiting", "next_try_at": now, "created_at": now}
    added = [{"key": one.key, "alarm_id": one.alarm.alarm_id, "channel_id": one.channel_id, **common} for one in due]
    await execute_many(connection, _ADD, added)


async def waiting(connection: Connection, now: datetime, limit: int) -> list[Bundle]:
    """The messages whose time has come, oldest first. Those of a disabled channel wait until it is enabled."""
    cursor = await connection.execute(
        """
        SELECT bundle, min(channel_id), bool_or(is_summary), max(tries), array_agg(key ORDER BY key),
               array_agg(alarm_id ORDER BY key)
        FROM alarm.notifications WHERE state = 'waiting' AND next_try_at <= %s
          AND channel_id NOT IN (SELECT channel_id FROM alarm.channels WHERE NOT enabled)
        GROUP BY bundle ORDER BY min(created_at), bundle LIMIT %s
        """,
        (now, limit),
    )
    return [Bundle(*row) for row in await cursor.fetchall()]


async def end(connection: Connection, bundle: str, state: str, now: datetime, error: str | None) -> None:
    """Note how a message ended."""
    await connection.execute(
        "UPDATE alarm.notifications SET state = %s, tries = tries + 1, ended_at = %s, error = %s"
        " WHERE bundle = %s AND state = 'waiting'",
        (state, now, error, bundle),
    )


async def postpone(connection: Connection, bundle: str, until: datetime, error: str) -> None:
    """Try a message again later."""
    await connection.execute(
        "UPDATE alarm.notifications SET tries = tries + 1, next_try_at = %s, error = %s"
        " WHERE bundle = %s AND state = 'waiting'",
        (until, error, bundle),
    )


async def page(connection: Connection, query: NotificationsQuery) -> list[AlarmNotification]:
    """A page of notifications, the newest first, one more than the limit if there are more."""
    statement = _SHOWN.where(*equal({_c.alarm_id: query.alarm_id, _c.channel_id: query.channel_id}))
    if query.cursor is not None:
        before_ms, before_key = parse_cursor(query.cursor, int, str)
        before = tuple_(from_ms(int(before_ms)), literal(before_key))
        statement = statement.where(tuple_(_c.created_at, _c.key) < before)
    statement = statement.order_by(_c.created_at.desc(), _c.key.desc()).limit(query.limit + 1)
    return await fetch_all(connection, class_row(AlarmNotification), statement)
