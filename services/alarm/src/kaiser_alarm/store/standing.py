"""The SQL of the times in which conditions held, from the steps of alarms.

An alarm may be raised and cleared several times before it is closed. Its row has only the first time at which it was
raised and the last at which it was cleared; its steps have all of them. The severity of such a time is the severity at
its end, or now if it still holds: while a condition holds, its severity only becomes worse.
"""

from collections.abc import Sequence
from datetime import datetime

from kaiser_common.contract.schemas.api.alarms import AlarmSpan, AlarmSpansQuery
from psycopg.rows import class_row

from kaiser_alarm.domain.figures import Acknowledged, Stood
from kaiser_alarm.store import Connection

_EDGES = """
    WITH touching AS (
        SELECT alarm_id, severity AS newest FROM alarm.alarms
        WHERE raised_at < %(to_at)s AND coalesce(cleared_at, 'infinity'::timestamptz) >= %(from_at)s {narrowed}
    ), looked AS (
        SELECT alarm_id, newest, step, alarm, alarm ->> 'state' IN ('raised', 'acknowledged') AS holds,
               CASE WHEN step > 1 AND lag(step) OVER steps IS NULL  -- the steps before it are too old to be kept
                    THEN to_timestamp((alarm ->> 'last_raised_at')::bigint / 1000.0) ELSE at END AS at,
               coalesce(lag(alarm ->> 'state' IN ('raised', 'acknowledged')) OVER steps, false) AS held
        FROM alarm.steps JOIN touching USING (alarm_id)
        WINDOW steps AS (PARTITION BY alarm_id ORDER BY step)
    ), edges AS (
        SELECT *, lead(at) OVER steps AS ended_at, coalesce(lead(alarm ->> 'severity') OVER steps, newest) AS severity
        FROM looked WHERE holds <> held WINDOW steps AS (PARTITION BY alarm_id ORDER BY step)
    )
"""
_OF_SPANS = """
    AND (%(esp_id)s::text IS NULL OR esp_id = %(esp_id)s) AND (NOT %(of_site)s OR esp_id IS NULL)
"""
_TOUCHES = "holds AND at < %(to_at)s AND coalesce(ended_at, 'infinity'::timestamptz) >= %(from_at)s"


async def limit_statements(connection: Connection, longest_s: float) -> None:
    """Give the statements of this transaction less time than others have."""
    await connection.execute("SELECT set_config('statement_timeout', %s, true)", (f"{round(longest_s * 1000)}ms",))


async def spans(connection: Connection, query: AlarmSpansQuery, from_at: datetime, to_at: datetime) -> list[AlarmSpan]:
    """The newest times that touch the span, oldest first; one more than the limit if there are more."""
    async with connection.cursor(row_factory=class_row(AlarmSpan)) as cursor:
        await cursor.execute(
            f"""
            {_EDGES.format(narrowed=_OF_SPANS)}
            SELECT alarm_id, alarm ->> 'kind' AS kind, alarm ->> 'source' AS source, severity,
                   alarm ->> 'message' AS message, coalesce(alarm -> 'facts', '{{}}') AS facts,
                   alarm ->> 'esp_id' AS esp_id, (alarm ->> 'gpio')::int AS gpio,
                   alarm ->> 'sensor_type' AS sensor_type,
                   (extract(epoch FROM at) * 1000)::bigint AS begun_at,
                   (extract(epoch FROM ended_at) * 1000)::bigint AS ended_at
            FROM edges WHERE {_TOUCHES} AND (%(severity)s::text IS NULL OR severity = %(severity)s)
            ORDER BY at DESC, alarm_id DESC LIMIT %(most)s
            """,
            {
                "from_at": from_at,
                "to_at": to_at,
                "esp_id": query.esp_id,
                "of_site": query.of_site,
                "severity": query.severity,
                "most": query.limit + 1,
            },
        )
        return (await cursor.fetchall())[::-1]


async def stood(
    connection: Connection, from_at: datetime, to_at: datetime, now: datetime, limit: int
) -> Sequence[Stood]:
    """Of each condition that held in the span: how often it began in it, for how long it held in it, and whether it
    still holds; those that held longest, one more than the limit if there are more."""
    async with connection.cursor(row_factory=class_row(Stood)) as cursor:
        await cursor.execute(
            f"""
            {_EDGES.format(narrowed="")}
            SELECT alarm ->> 'kind' AS kind, alarm ->> 'source' AS source, alarm ->> 'esp_id' AS esp_id,
                   (max(alarm ->> 'gpio'))::int AS gpio, max(alarm ->> 'sensor_type') AS sensor_type,
                   max(alarm ->> 'address') AS address, array_agg(DISTINCT severity) AS severities,
                   count(*) FILTER (WHERE at >= %(from_at)s) AS times,
                   greatest(0, sum(extract(epoch FROM least(coalesce(ended_at, %(now)s), %(to_at)s, %(now)s)
                                   - greatest(at, %(from_at)s))))::float8 AS standing_s,
                   bool_or(ended_at IS NULL) AS stands
            FROM edges WHERE {_TOUCHES} GROUP BY 1, 2, 3 ORDER BY standing_s DESC, 1, 2 LIMIT %(most)s
            """,
            {"from_at": from_at, "to_at": to_at, "now": now, "most": limit + 1},
        )
        return await cursor.fetchall()


async def acknowledged(
    connection: Connection, from_at: datetime, to_at: datetime, limit: int
) -> Sequence[Acknowledged]:
    """Of each condition: how often it was acknowledged in the span, and how long (s) after it had begun or become
    worse: all together, and at most. Those that were acknowledged most often; one more than the limit if there are
    more."""
    async with connection.cursor(row_factory=class_row(Acknowledged)) as cursor:
        await cursor.execute(
            """
            SELECT kind, source, esp_id, array_agg(DISTINCT severity) AS severities, count(*) AS times,
                   sum(waited_s)::float8 AS waited_s, max(waited_s)::float8 AS longest_s
            FROM (
                SELECT alarm ->> 'kind' AS kind, alarm ->> 'source' AS source, alarm ->> 'esp_id' AS esp_id,
                       alarm ->> 'severity' AS severity,
                       extract(epoch FROM at) - (alarm ->> 'last_raised_at')::bigint / 1000.0 AS waited_s
                FROM alarm.steps WHERE what = 'acknowledged' AND at >= %(from_at)s AND at < %(to_at)s
            ) AS steps GROUP BY 1, 2, 3 ORDER BY times DESC, 1, 2 LIMIT %(most)s
            """,
            {"from_at": from_at, "to_at": to_at, "most": limit + 1},
        )
        return await cursor.fetchall()
