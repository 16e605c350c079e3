"""The SQL of rules and executions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from kaiser_common.contract.schemas.api.logic import Execution, ExecutionsQuery, Rule, RulesQuery
from kaiser_common.contract.schemas.api.rules import RuleSettings
from kaiser_common.runtime.statements import (
    among,
    equal,
    execute,
    execute_many,
    fetch_all,
    fetch_one,
    from_ms,
    row_of,
    to_ms,
)
from psycopg.rows import dict_row, tuple_row
from psycopg.types.json import Jsonb
from sqlalchemy import BigInteger, Select, any_, bindparam, literal, select, true, tuple_
from sqlalchemy.dialects.postgresql import insert as insert_into

from kaiser_logic.domain.rules import actuators, sensors
from kaiser_logic.store import Connection, tables

_SAVE_LOCK = 0x6C6F6769  # "logi"

_r = tables.rules.c
_e = tables.executions.c
_RULE: Select[Any] = select(
    _r.rule_id,
    _r.version,
    _r.settings,
    to_ms(_r.created_at).label("created_at"),
    to_ms(_r.updated_at).label("updated_at"),
)
_last = (
    select(_e.outcome, _e.started_at)
    .where(_e.rule_id == _r.rule_id, _e.outcome != "suppressed")
    .order_by(_e.started_at.desc())
    .limit(1)
    .lateral("last")
)
_RULE_WITH_LAST: Select[Any] = _RULE.add_columns(
    _last.c.outcome.label("last_outcome"), to_ms(_last.c.started_at).label("last_executed_at")
).select_from(tables.rules.outerjoin(_last, true()))
_EXECUTION: Select[Any] = select(
    _e.execution_id,
    _e.rule_id,
    _e.rule_name,
    _e.outcome,
    _e.reason,
    _e.trigger,
    _e.decisions,
    _e.actions,
    to_ms(_e.started_at).label("started_at"),
    to_ms(_e.ended_at).label("ended_at"),
    _e.duration_ms,
)
_COPIED = ("execution_id", "rule_id", "rule_name", "outcome", "reason", "trigger", "decisions", "actions")
_NOTED = insert_into(tables.executions).values(
    {name: bindparam(name) for name in (*_COPIED, "duration_ms")}
    | {name: from_ms(bindparam(name, type_=BigInteger)) for name in ("started_at", "ended_at")}
)
_PUT_EXECUTION = _NOTED.on_conflict_do_update(
    index_elements=[_e.execution_id],
    set_={name: _NOTED.excluded[name] for name in ("outcome", "reason", "actions", "ended_at", "duration_ms")},
    where=_e.outcome == "running",
)


async def lock_rules(connection: Connection) -> None:
    """Lock rules against other changes until the end of the transaction, so that two halves of a loop are not saved
    concurrently."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SAVE_LOCK,))


async def insert(connection: Connection, rule: Rule, settings: RuleSettings, actor: str) -> None:
    """Add a rule."""
    values = {"rule_id": rule.rule_id, "created_at": from_ms(rule.created_at), **_values(rule, settings, actor)}
    await execute(connection, tables.rules.insert().values(values))


async def update(connection: Connection, rule: Rule, settings: RuleSettings, actor: str) -> None:
    """Change a rule as a whole."""
    statement = tables.rules.update().where(_r.rule_id == rule.rule_id).values(_values(rule, settings, actor))
    await execute(connection, statement)


async def delete(connection: Connection, rule_id: str) -> bool:
    """Remove a rule; False if it did not exist. Its executions stay recorded."""
    cursor = await execute(connection, tables.rules.delete().where(_r.rule_id == rule_id))
    return cursor.rowcount > 0


async def read(connection: Connection, rule_id: str) -> Rule | None:
    """A rule, None when it is not there."""
    row = await fetch_one(connection, dict_row, _RULE_WITH_LAST.where(_r.rule_id == rule_id))
    return None if row is None else to_rule(row)


async def versions(connection: Connection) -> dict[str, int]:
    """The version of every rule."""
    return dict(await fetch_all(connection, tuple_row, select(_r.rule_id, _r.version)))


async def some(connection: Connection, rule_ids: Sequence[str]) -> list[Rule]:
    """Rules by id, without what they did last."""
    return [to_rule(row) for row in await fetch_all(connection, dict_row, _RULE.where(among(_r.rule_id, rule_ids)))]


async def page(connection: Connection, query: RulesQuery, after: tuple[str, str] | None) -> list[Rule]:
    """Rules after a (name, id), by name."""
    statement = _RULE_WITH_LAST.where(*equal({_r.enabled: query.enabled}))
    if after is not None:
        statement = statement.where(tuple_(_r.name, _r.rule_id) > row_of(*after))
    if query.esp_id is not None:
        statement = statement.where(literal(query.esp_id) == any_(_r.devices))
    statement = statement.order_by(_r.name, _r.rule_id).limit(query.limit)
    return [to_rule(row) for row in await fetch_all(connection, dict_row, statement)]


async def note_executions(connection: Connection, executions: Sequence[Execution]) -> None:
    """Write executions; one that is there and has ended stays as it is, so the same again changes nothing."""
    await execute_many(connection, _PUT_EXECUTION, [_execution_row(execution) for execution in executions])


async def executions(
    connection: Connection, query: ExecutionsQuery, before: tuple[datetime, str] | None
) -> list[Execution]:
    """Executions before a (start, id), newest first."""
    statement = _EXECUTION.where(*equal({_e.rule_id: query.rule_id, _e.outcome: query.outcome}))
    if before is not None:
        statement = statement.where(tuple_(_e.started_at, _e.execution_id) < row_of(*before))
    if query.from_ms is not None:
        statement = statement.where(_e.started_at >= from_ms(query.from_ms))
    if query.to_ms is not None:
        statement = statement.where(_e.started_at < from_ms(query.to_ms))
    statement = statement.order_by(_e.started_at.desc(), _e.execution_id.desc()).limit(query.limit)
    return [Execution.model_validate(row) for row in await fetch_all(connection, dict_row, statement)]


def to_rule(row: dict[str, Any]) -> Rule:
    """A rule from its row. Settings of a newer version are skipped."""
    settings = row.pop("settings")
    return Rule.model_validate({**settings, **row}, extra="ignore")


def _values(rule: Rule, settings: RuleSettings, actor: str) -> dict[str, Any]:
    """The columns that a change of a rule writes."""
    return {
        "name": rule.name,
        "enabled": rule.enabled,
        "devices": sorted(_devices(settings)),
        "settings": Jsonb(settings.model_dump(mode="json", exclude_none=True)),
        "version": rule.version,
        "updated_at": from_ms(rule.updated_at),
        "updated_by": actor,
    }


def _devices(settings: RuleSettings) -> set[str]:
    return {place[0] for place, _, _ in sensors(settings)} | {place[0] for place in actuators(settings)}


def _execution_row(execution: Execution) -> dict[str, Any]:
    row = execution.model_dump(mode="json")
    return {**row, **{name: Jsonb(row[name]) for name in ("trigger", "decisions", "actions")}}
