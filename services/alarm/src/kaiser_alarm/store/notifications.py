"""The SQL of notifications: stored under their keys before they are sent."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from kaiser_common.contract.schemas.api.notifications import AlarmNotification, NotificationsQuery
from kaiser_common.runtime.cursors import parse_cursor
from psycopg.rows import class_row

from kaiser_alarm.domain.routing import DueNotification, RecentMessages
from kaiser_alarm.store import Connection

_SHOWN = ", ".join(
    f"(extract(epoch FROM {each}) * 1000)::bigint AS {each}" if each.endswith("_at") else each
    for each in AlarmNotification.model_fields
)


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
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO alarm.notifications"
            " (key, alarm_id, channel_id, bundle, is_summary, state, next_try_at, created_at)"
            " VALUES (%s, %s, %s, %s, %s, 'waiting', %s, %s) ON CONFLICT (key) DO NOTHING",
            [(one.key, one.alarm.alarm_id, one.channel_id, bundle, is_summary, now, now) for one in due],
        )


async def waiting(connection: Connection, now: datetime, limit: int) -> list[Bundle]:
    """The messages whose time has come, oldest first."""
    cursor = await connection.execute(
        """
        SELECT bundle, min(channel_id), bool_or(is_summary), max(tries), array_agg(key ORDER BY key),
               array_agg(alarm_id ORDER BY key)
        FROM alarm.notifications WHERE state = 'waiting' AND next_try_at <= %s
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
    before: list[float | str | None] = [None, None]
    if query.cursor is not None:
        before = [*parse_cursor(query.cursor, int, str)]
    async with connection.cursor(row_factory=class_row(AlarmNotification)) as cursor:
        await cursor.execute(
            f"""
            SELECT {_SHOWN} FROM alarm.notifications
            WHERE (%(alarm_id)s::text IS NULL OR alarm_id = %(alarm_id)s)
              AND (%(channel_id)s::text IS NULL OR channel_id = %(channel_id)s)
              AND (%(before_ms)s::bigint IS NULL OR
                   (created_at, key) < (to_timestamp(%(before_ms)s / 1000.0), %(before_key)s))
            ORDER BY created_at DESC, key DESC LIMIT %(most)s
            """,
            {**query.model_dump(), "before_ms": before[0], "before_key": before[1], "most": query.limit + 1},
        )
        return await cursor.fetchall()
