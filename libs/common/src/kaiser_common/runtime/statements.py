"""Runs SQLAlchemy Core statements on a psycopg connection, in its open transaction.

Statements that differ only in their values are compiled once. Values go to psycopg as they are, so a jsonb column takes
a `Jsonb`; rows come back through psycopg's row factories, and failures raise psycopg's own exceptions
(docs/decisions/0003).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeVar

from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import AsyncRowFactory
from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Compiled,
    DateTime,
    Table,
    any_,
    bindparam,
    cast,
    func,
    literal,
    literal_column,
    make_url,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql.elements import ClauseElement

RowT = TypeVar("RowT")

_DIALECT = make_url("postgresql+psycopg://").get_dialect()()
_TYPES: dict[type, Any] = {int: BigInteger, datetime: DateTime(timezone=True)}
_NO_VALUES: Mapping[str, Any] = MappingProxyType({})
_FORMS = 128
"""How many forms of statements are kept compiled, each of about 30 KB; one more is compiled again, in half a ms."""


def to_sql(statement: ClauseElement) -> tuple[bytes, dict[str, Any]]:
    """The text of a statement and its parameters, as psycopg takes them. TypeError: IN with a list of values, whose
    text would depend on how many they are."""
    text, [values] = _to_sql(statement, [{}])
    return text, values


async def execute(
    connection: AsyncConnection[Any], statement: ClauseElement, values: Mapping[str, Any] = _NO_VALUES
) -> AsyncCursor[tuple[Any, ...]]:
    """Run a statement, with values for its `bindparam`s; the cursor has its rows and how many they are."""
    text, [given] = _to_sql(statement, [values])
    cursor: AsyncCursor[tuple[Any, ...]] = await connection.execute(text, given)
    return cursor


async def execute_many(
    connection: AsyncConnection[Any], statement: ClauseElement, rows: Iterable[Mapping[str, Any]]
) -> int:
    """Run a statement with `bindparam`s for each row in one round trip; how many rows it changed."""
    async with connection.cursor() as cursor:
        await cursor.executemany(*_to_sql(statement, rows))
        return cursor.rowcount


async def fetch_all(
    connection: AsyncConnection[Any], row_factory: AsyncRowFactory[RowT], statement: ClauseElement
) -> list[RowT]:
    """Every row of a statement."""
    async with connection.cursor(row_factory=row_factory) as cursor:
        await cursor.execute(*to_sql(statement))
        return await cursor.fetchall()


async def fetch_one(
    connection: AsyncConnection[Any], row_factory: AsyncRowFactory[RowT], statement: ClauseElement
) -> RowT | None:
    """The first row of a statement, None if there is none."""
    async with connection.cursor(row_factory=row_factory) as cursor:
        await cursor.execute(*to_sql(statement))
        return await cursor.fetchone()


def insert_of(table: Table, names: Iterable[str]) -> Insert:
    """An insert of a row with these columns, each a parameter of its name, for `execute_many`."""
    return insert(table).values({name: bindparam(name) for name in names}).inline()


def insert_all_of(table: Table, names: Sequence[str]) -> Insert:
    """An insert of any number of rows by one statement, for `execute` with `columns_of` the rows.

    With ON CONFLICT DO UPDATE no two of the rows may have the same key.
    """
    given = func.unnest(*(bindparam(name, type_=ARRAY(table.c[name].type)) for name in names))
    rows = given.table_valued(*names).render_derived()
    return insert(table).from_select(list(names), select(*(rows.c[name] for name in names)))


def columns_of(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> dict[str, list[Any]]:
    """The values of each column of rows, which have them in this order; at least one row."""
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def among(column: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """Whether a column is one of these values, by one parameter however many they are."""
    return column == any_(literal(list(values), ARRAY(column.type)))


def equal(wanted: Mapping[Column[Any], Any]) -> list[ColumnElement[bool]]:
    """The conditions of a page's optional filters: each column as it is wanted; None: whatever it is."""
    return [column == value for column, value in wanted.items() if value is not None]


def row_of(*values: str | float | datetime) -> ColumnElement[Any]:
    """The key of a cursor, to compare a `tuple_` of columns with. Its integers are bigint whatever their columns are,
    so one that is out of a column's range is no error."""
    return tuple_(*(literal(value, _TYPES.get(type(value))) for value in values))


def to_ms(column: ColumnElement[Any]) -> ColumnElement[int]:
    """A time as integer ms since 1970."""
    return cast(func.extract("epoch", column) * literal_column("1000"), BigInteger)


def from_ms(ms: int | BindParameter[int]) -> ColumnElement[Any]:
    """Integer ms since 1970, or a parameter of BigInteger, as a time."""
    given = literal(ms, BigInteger) if isinstance(ms, int) else ms
    return func.to_timestamp(given / literal_column("1000.0"))


class _Form:
    """A statement, equal to every other that differs in values only."""

    def __init__(self, statement: ClauseElement) -> None:
        self.statement = statement
        self.key = statement._generate_cache_key()

    def __hash__(self) -> int:
        return hash(self.key.key if self.key is not None else id(self.statement))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Form) or self.key is None or other.key is None:
            return self is other
        return self.key.key == other.key.key


@lru_cache(maxsize=_FORMS)
def _compiled(form: _Form) -> tuple[bytes, Compiled]:
    compiled = form.statement.compile(dialect=_DIALECT, cache_key=form.key)
    if getattr(compiled, "post_compile_params", None):
        raise TypeError(f"use `among` instead of IN with a list of values: {compiled}")
    return str(compiled).encode(), compiled


def _to_sql(statement: ClauseElement, rows: Iterable[Mapping[str, Any]]) -> tuple[bytes, list[dict[str, Any]]]:
    form = _Form(statement)
    text, compiled = _compiled(form)
    own = form.key.bindparams if form.key is not None else None
    return text, [dict(compiled.construct_params(row, extracted_parameters=own) or {}) for row in rows]
