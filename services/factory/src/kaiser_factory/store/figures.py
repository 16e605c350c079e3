"""The queries of figures: PostgreSQL adds up the rows of each serial, so an answer is small however long the window is.

A statement that reads too much is ended by its time limit; no query leaves rows out.
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from kaiser_factory.domain.figures import AgvShares, CommandTimes, LeadsOf, WindowSums
from kaiser_factory.store import Connection
from kaiser_factory.store.serials import serials_of

_EVERY_SERIAL = 2**31 - 1
_LEAST_MS = 1

_UP = (
    serials_of("transitions")
    + """,
        changes AS (
            SELECT serials.serial, one.time, one.value FROM serials CROSS JOIN LATERAL (
                (SELECT before.time, before.value FROM factory.transitions AS before
                 WHERE before.env = %(env)s AND before.serial = serials.serial AND before.what = 'availability'
                     AND before.time < %(start)s AND before.time > %(start)s - interval '7 days'
                 ORDER BY before.time DESC LIMIT 1)
                UNION ALL
                SELECT later.time, later.value FROM factory.transitions AS later
                WHERE later.env = %(env)s AND later.serial = serials.serial AND later.what = 'availability'
                    AND later.time >= %(start)s AND later.time < %(end)s
            ) AS one
        ),
        spans AS (
            SELECT serial, value, extract(epoch FROM
                lead(time, 1, %(end)s) OVER (PARTITION BY serial ORDER BY time) - greatest(time, %(start)s)
            )::float8 AS seconds FROM changes
        )
        SELECT serial, coalesce(sum(seconds) FILTER (WHERE value IN ('READY', 'BUSY')), 0) FROM spans GROUP BY serial
        """
)
"""Serial, and the seconds of the window in which it was ready or busy."""

_METRES = (
    serials_of("transitions")
    + """
        SELECT serials.serial, one.metres FROM serials CROSS JOIN LATERAL (
            SELECT sum(node.length_mm) / 1000 AS metres FROM factory.transitions AS node
            WHERE node.env = %(env)s AND node.serial = serials.serial AND node.what = 'node'
                AND node.time >= %(start)s AND node.time < %(end)s
        ) AS one WHERE one.metres IS NOT NULL
        """
)
"""Serial and metres of the roads to the nodes that it reached."""

_WORK = """
    SELECT serial, command, count(*), sum(seconds), max(seconds) FILTER (WHERE place = (number - 1) / 10 + 1)
    FROM (
        SELECT serial, command, seconds, count(*) OVER (PARTITION BY serial, command) AS number,
            row_number() OVER (PARTITION BY serial, command ORDER BY seconds) AS place
        FROM (
            SELECT serial, command, extract(epoch FROM finished_at - running_at)::float8 AS seconds
            FROM factory.steps
            WHERE env = %(env)s AND command IS NOT NULL AND running_at < finished_at
                AND finished_at >= %(start)s AND finished_at < %(end)s AND changed_at >= %(start)s
        ) AS done
    ) AS placed GROUP BY serial, command
    """
"""Serial, command, how many actions were finished, their seconds, and those of the fastest tenth."""

_CHECKS = """
    SELECT serial, count(*) FILTER (WHERE result = 'PASSED')::float8 / count(*) FROM factory.steps
    WHERE env = %(env)s AND command = 'CHECK_QUALITY' AND result IN ('PASSED', 'FAILED')
        AND finished_at >= %(start)s AND finished_at < %(end)s AND changed_at >= %(start)s
    GROUP BY serial
    """
"""Serial, and the share of its checks that passed."""

_AGVS = (
    serials_of("samples")
    + """,
        spans AS (
            SELECT serials.serial, one.time, one.driving, one.waiting, one.charging, one.battery_percent,
                extract(epoch FROM lead(one.time, 1, %(end)s) OVER of_serial - one.time)::float8 AS seconds,
                max(one.time) FILTER (WHERE one.charging) OVER (PARTITION BY serials.serial) AS charged_at
            FROM serials CROSS JOIN LATERAL (
                SELECT sample.time, sample.driving, sample.waiting, sample.charging, sample.battery_percent
                FROM factory.samples AS sample WHERE sample.env = %(env)s AND sample.serial = serials.serial
                    AND sample.time >= %(start)s AND sample.time < %(end)s
            ) AS one WINDOW of_serial AS (PARTITION BY serials.serial ORDER BY one.time)
        )
        SELECT serial, coalesce(sum(seconds) FILTER (WHERE driving), 0) / sum(seconds),
            coalesce(sum(seconds) FILTER (WHERE waiting), 0) / sum(seconds),
            coalesce(sum(seconds) FILTER (WHERE charging), 0) / sum(seconds),
            regr_slope(battery_percent, extract(epoch FROM spans.time - %(start)s)::float8 / 3600)
                FILTER (WHERE charged_at IS NULL OR spans.time > charged_at)
        FROM spans GROUP BY serial HAVING sum(seconds) > 0
        """
)
"""Serial, its shares of the sampled time, and the line through the battery's samples since it last charged."""

_ENDS = """
    SELECT count(*) FILTER (WHERE state = 'FINISHED'), count(*) FROM factory.orders
    WHERE env = %(env)s AND changed_at >= %(start)s AND changed_at < %(end)s
        AND state IN ('FINISHED', 'ERROR', 'CANCELLED')
    """
_LEADS = """
    SELECT CASE WHEN grouping(type) = 0 THEN type END, count(*),
        (array_agg(lead_ms ORDER BY lead_ms))[1 + round(0.5::float8 * (count(*) - 1))::int],
        (array_agg(lead_ms ORDER BY lead_ms))[1 + round(0.9::float8 * (count(*) - 1))::int]
    FROM factory.orders
    WHERE env = %(env)s AND changed_at >= %(start)s AND changed_at < %(end)s
        AND state = 'FINISHED' AND lead_ms IS NOT NULL
    GROUP BY GROUPING SETS ((type), ()) HAVING count(*) > 0 AND (grouping(type) = 1 OR type IS NOT NULL)
    """
"""Type (None: of the line), how many orders were finished, and the percentiles of their lead times in ms."""


async def sums(
    connection: Connection,
    env: str,
    start: datetime,
    end: datetime,
    within_s: float,
    clock_s: Callable[[], float] = time.monotonic,
) -> WindowSums:
    """The sums of a window. psycopg.errors.QueryCanceled: they take longer than `within_s` together."""
    until = clock_s() + within_s
    values = {"env": env, "start": start, "end": end, "serials": _EVERY_SERIAL}

    async def rows(query: str) -> list[tuple[Any, ...]]:
        left_ms = max(_LEAST_MS, round((until - clock_s()) * 1000))
        await connection.execute("SELECT set_config('statement_timeout', %s, true)", (f"{left_ms}ms",))
        return await (await connection.execute(query, values)).fetchall()

    [(finished, ended)] = await rows(_ENDS)
    work = [CommandTimes(*row) for row in await rows(_WORK)]
    return WindowSums(
        up_s=dict(await rows(_UP)),
        metres=dict(await rows(_METRES)),
        work=work,
        passed=dict(await rows(_CHECKS)),
        agvs={serial: AgvShares(*shares) for serial, *shares in await rows(_AGVS)},
        finished=finished,
        ended=ended,
        leads=[LeadsOf(*row) for row in await rows(_LEADS)],
    )
