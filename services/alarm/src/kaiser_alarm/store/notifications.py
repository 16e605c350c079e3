"""The SQL of notifications: stored under their keys before they are sent."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from kaiser_common.contract.schemas.api.notifications import AlarmNotification, NotificationsQuery
from kaiser_common.runtime.cursors import parse_cursor
from kaiser_common.runtime.statements import equal, execute_many, fetch_all, from_ms, insert_of, to_ms
from psycopg.rows import class_row
from sqlalchemy import Select, literal, select, tuple_

from kaiser_alarm.domain.delivery import WaitingNotification
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
    """The content of one message to a channel."""

    bundle: str
    channel_id: str
    is_summary: bool
    tries: int
    notifications: list[WaitingNotification]


async def unknown(connection: Connection, found: Sequence[DueNotification]) -> list[DueNotification]:
    """Which of these notifications are not stored yet. An alarm that is over has none if the channel has any of the
    same occurrence."""
    keys = [one.key for one in found if not one.is_over]
    cursor = await connection.execute("SELECT key FROM alarm.notifications WHERE key = ANY(%s)", (keys,))
    known = {key for (key,) in await cursor.fetchall()}
    over = list({one.alarm.alarm_id for one in found if one.is_over})
    if over:
        cursor = await connection.execute(
            "SELECT DISTINCT regexp_replace(key, '-[^-]*$', '') FROM alarm.notifications WHERE alarm_id = ANY(%s)",
            (over,),
        )
        known |= {occurrence for (occurrence,) in await cursor.fetchall()}
    return [one for one in found if (one.occurrence if one.is_over else one.key) not in known]


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


async def add_sent(connection: Connection, sent: Iterable[DueNotification], now: datetime) -> None:
    """Store notifications that were sent without the table."""
    keys = []
    for one in sent:
        await add(connection, [one], one.key, now, is_summary=False)
        keys.append(one.key)
    await end(connection, keys, "sent", now, None)


async def waiting(connection: Connection, now: datetime, most_of_channel: int) -> list[Bundle]:
    """The messages whose time has come, the oldest first and at most so many of a channel. Those of a disabled channel
    wait until it is enabled, and notifications of a shelved alarm until its shelving ends."""
    cursor = await connection.execute(
        """
        SELECT bundle, channel_id, is_summary, tries, notifications FROM (
            SELECT bundle, channel_id, bool_or(is_summary) AS is_summary, max(tries) AS tries,
                   min(created_at) AS created_at,
                   jsonb_agg(jsonb_build_array(key, alarm_id, EXISTS (
                       SELECT FROM alarm.notifications AS later
                       WHERE later.alarm_id = one.alarm_id AND later.channel_id = one.channel_id
                         AND later.created_at > one.created_at
                   ), EXISTS (
                       SELECT FROM alarm.notifications AS told
                       WHERE told.alarm_id = one.alarm_id AND told.channel_id = one.channel_id
                         AND told.state = 'sent'
                         AND regexp_replace(told.key, '-[^-]*$', '') = regexp_replace(one.key, '-[^-]*$', '')
                   )) ORDER BY key) AS notifications,
                   row_number() OVER (PARTITION BY channel_id ORDER BY min(created_at), bundle) AS place
            FROM alarm.notifications AS one WHERE state = 'waiting' AND next_try_at <= %(now)s
              AND channel_id NOT IN (SELECT channel_id FROM alarm.channels WHERE NOT enabled)
              AND NOT EXISTS (SELECT FROM alarm.alarms AS shelved
                              WHERE shelved.alarm_id = one.alarm_id AND shelved.shelved_until > %(now)s)
            GROUP BY bundle, channel_id
        ) AS messages WHERE place <= %(most)s ORDER BY created_at, bundle
        """,
        {"now": now, "most": most_of_channel},
    )
    return [
        Bundle(bundle, channel_id, is_summary, tries, [WaitingNotification(*one) for one in found])
        for bundle, channel_id, is_summary, tries, found in await cursor.fetchall()
    ]


async def end(connection: Connection, keys: Collection[str], state: str, now: datetime, error: str | None) -> None:
    """Note how notifications ended; a dropped one was not tried."""
    await connection.execute(
        "UPDATE alarm.notifications SET state = %s, tries = tries + %s, ended_at = %s, error = %s"
        " WHERE key = ANY(%s) AND state = 'waiting'",
        (state, int(state == "sent"), now, error, list(keys)),
    )


async def postpone(connection: Connection, keys: Collection[str], until: datetime, error: str) -> None:
    """Try notifications again later."""
    await connection.execute(
        "UPDATE alarm.notifications SET tries = tries + 1, next_try_at = %s, error = %s"
        " WHERE key = ANY(%s) AND state = 'waiting'",
        (until, error, list(keys)),
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
