"""The SQL of rules and executions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from kaiser_common.contract.schemas.api.logic import Execution, ExecutionsQuery, Rule, RulesQuery
from kaiser_common.contract.schemas.api.rules import RuleSettings
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from kaiser_logic.domain.rules import actuators, sensors
from kaiser_logic.store import Connection

_SAVE_LOCK = 0x6C6F6769  # "logi"

_SELECT = """
SELECT r.rule_id, r.version, r.settings, last.outcome AS last_outcome,
       (extract(epoch FROM r.created_at) * 1000)::bigint AS created_at,
       (extract(epoch FROM r.updated_at) * 1000)::bigint AS updated_at,
       (extract(epoch FROM last.started_at) * 1000)::bigint AS last_executed_at
FROM logic.rules r LEFT JOIN LATERAL (
    SELECT e.outcome, e.started_at FROM logic.executions e
    WHERE e.rule_id = r.rule_id AND e.outcome <> 'suppressed' ORDER BY e.started_at DESC LIMIT 1
) last ON true
"""

_EXECUTION_COLUMNS = """
execution_id, rule_id, rule_name, outcome, reason, trigger, decisions, actions,
(extract(epoch FROM started_at) * 1000)::bigint AS started_at,
(extract(epoch FROM ended_at) * 1000)::bigint AS ended_at, duration_ms
"""


async def lock_rules(connection: Connection) -> None:
    """Let nobody else change rules until the end of the transaction: two halves of a loop are not saved at once."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SAVE_LOCK,))


async def insert(connection: Connection, rule: Rule, settings: RuleSettings, actor: str) -> None:
    """Add a rule."""
    await connection.execute(
        "INSERT INTO logic.rules"
        " (rule_id, name, enabled, devices, settings, version, created_at, updated_at, updated_by)"
        " VALUES (%(rule_id)s, %(name)s, %(enabled)s, %(devices)s, %(settings)s, %(version)s,"
        " to_timestamp(%(created_at)s / 1000.0), to_timestamp(%(updated_at)s / 1000.0), %(actor)s)",
        _row(rule, settings, actor),
    )


async def update(connection: Connection, rule: Rule, settings: RuleSettings, actor: str) -> None:
    """Change a rule as a whole."""
    await connection.execute(
        "UPDATE logic.rules SET name = %(name)s, enabled = %(enabled)s, devices = %(devices)s,"
        " settings = %(settings)s, version = %(version)s, updated_at = to_timestamp(%(updated_at)s / 1000.0),"
        " updated_by = %(actor)s WHERE rule_id = %(rule_id)s",
        _row(rule, settings, actor),
    )


async def delete(connection: Connection, rule_id: str) -> bool:
    """Remove a rule; False when it was not there. What it did stays recorded."""
    cursor = await connection.execute("DELETE FROM logic.rules WHERE rule_id = %s", (rule_id,))
    return cursor.rowcount > 0


async def read(connection: Connection, rule_id: str) -> Rule | None:
    """A rule, None when it is not there."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SELECT + "WHERE r.rule_id = %s", (rule_id,))
        row = await cursor.fetchone()
    return None if row is None else to_rule(row)


async def versions(connection: Connection) -> dict[str, int]:
    """The version of every rule."""
    cursor = await connection.execute("SELECT rule_id, version FROM logic.rules")
    return dict(await cursor.fetchall())


async def some(connection: Connection, rule_ids: Sequence[str]) -> list[Rule]:
    """Rules by id, without what they did last."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "SELECT rule_id, version, settings, (extract(epoch FROM created_at) * 1000)::bigint AS created_at,"
            " (extract(epoch FROM updated_at) * 1000)::bigint AS updated_at FROM logic.rules"
            " WHERE rule_id = ANY(%s)",
            (list(rule_ids),),
        )
        return [to_rule(row) for row in await cursor.fetchall()]


async def page(connection: Connection, query: RulesQuery, after: tuple[str, str] | None) -> list[Rule]:
    """Rules after a (name, id), by name."""
    name, rule_id = after or (None, None)
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            _SELECT
            + """
            WHERE (%(name)s::text IS NULL OR (r.name, r.rule_id) > (%(name)s, %(rule_id)s))
              AND (%(enabled)s::boolean IS NULL OR r.enabled = %(enabled)s)
              AND (%(esp_id)s::text IS NULL OR %(esp_id)s = ANY(r.devices))
            ORDER BY r.name, r.rule_id LIMIT %(limit)s
            """,
            {**query.model_dump(), "name": name, "rule_id": rule_id},
        )
        return [to_rule(row) for row in await cursor.fetchall()]


async def note_executions(connection: Connection, executions: Sequence[Execution]) -> None:
    """Write executions; one that is there and has ended stays as it is, so the same again changes nothing."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO logic.executions AS e (execution_id, rule_id, rule_name, outcome, reason, trigger, decisions,
                actions, started_at, ended_at, duration_ms)
            VALUES (%(execution_id)s, %(rule_id)s, %(rule_name)s, %(outcome)s, %(reason)s, %(trigger)s, %(decisions)s,
                %(actions)s, to_timestamp(%(started_at)s / 1000.0), to_timestamp(%(ended_at)s / 1000.0),
                %(duration_ms)s)
            ON CONFLICT (execution_id) DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason,
                actions = excluded.actions, ended_at = excluded.ended_at, duration_ms = excluded.duration_ms
            WHERE e.outcome = 'running'
            """,
            [_execution_row(execution) for execution in executions],
        )


async def executions(
    connection: Connection, query: ExecutionsQuery, before: tuple[datetime, str] | None
) -> list[Execution]:
    """Executions before a (start, id), newest first."""
    at, execution_id = before or (None, None)
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            f"SELECT {_EXECUTION_COLUMNS} FROM logic.executions"
            """
            WHERE (%(at)s::timestamptz IS NULL OR (started_at, execution_id) < (%(at)s, %(execution_id)s))
              AND (%(rule_id)s::text IS NULL OR rule_id = %(rule_id)s)
              AND (%(outcome)s::text IS NULL OR outcome = %(outcome)s)
              AND (%(from_ms)s::bigint IS NULL OR started_at >= to_timestamp(%(from_ms)s / 1000.0))
              AND (%(to_ms)s::bigint IS NULL OR started_at < to_timestamp(%(to_ms)s / 1000.0))
            ORDER BY started_at DESC, execution_id DESC LIMIT %(limit)s
            """,
            {**query.model_dump(), "at": at, "execution_id": execution_id},
        )
        return [Execution.model_validate(row) for row in await cursor.fetchall()]


def to_rule(row: dict[str, Any]) -> Rule:
    """A rule of its row. What a newer version has added to its settings is skipped."""
    settings = row.pop("settings")
    return Rule.model_validate({**settings, **row}, extra="ignore")


def _row(rule: Rule, settings: RuleSettings, actor: str) -> dict[str, Any]:
    return {
        "rule_id": rule.rule_id,
        "name": rule.name,
        "enabled": rule.enabled,
        "devices": sorted(_devices(settings)),
        "settings": Jsonb(settings.model_dump(mode="json", exclude_none=True)),
        "version": rule.version,
        "created_at": rule.created_at,
        "updated_at": rule.updated_at,
        "actor": actor,
    }


def _devices(settings: RuleSettings) -> set[str]:
    return {place[0] for place, _, _ in sensors(settings)} | {place[0] for place in actuators(settings)}


def _execution_row(execution: Execution) -> dict[str, Any]:
    row = execution.model_dump(mode="json")
    return {**row, **{name: Jsonb(row[name]) for name in ("trigger", "decisions", "actions")}}


def to_cursor_time(ms: int) -> datetime:
    """The time of a cursor."""
    return datetime.fromtimestamp(ms / 1000, UTC)
