"""Core statements on a psycopg connection, against a real server."""

from datetime import UTC, datetime

import psycopg
import pytest
from kaiser_common.runtime.statements import (
    among,
    columns_of,
    equal,
    execute,
    execute_many,
    fetch_all,
    fetch_one,
    from_ms,
    insert_all_of,
    insert_of,
    row_of,
    to_ms,
    to_sql,
)
from kaiser_common.runtime.verdicts import Verdict, verdict
from psycopg.rows import dict_row, scalar_row, tuple_row
from psycopg.types.json import Jsonb
from sqlalchemy import (
    Column,
    DateTime,
    Identity,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    bindparam,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

things = Table(
    "things",
    MetaData(),
    Column("name", Text, primary_key=True),
    Column("pin", SmallInteger, nullable=False),
    Column("size", Integer),
    Column("details", JSONB),
    Column("at", DateTime(timezone=True)),
)
TABLE = "CREATE TEMP TABLE things (name text PRIMARY KEY, pin int2 NOT NULL, size int4, details jsonb, at timestamptz)"
ODD = "100 % of 'x'; DROP TABLE things; -- %(pin)s"


@pytest.fixture
async def connection(database):
    async with await psycopg.AsyncConnection.connect(database) as opened:
        await opened.execute(TABLE)
        await opened.commit()
        yield opened


def added(name: str, pin: int = 1, **values):
    return insert(things).values(name=name, pin=pin, **values)


async def names(connection) -> list[str]:
    return await fetch_all(connection, scalar_row, select(things.c.name).order_by(things.c.name))


async def test_values_come_back_as_they_went(connection):
    at = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    await execute(connection, added(ODD, size=2**31 - 1, details=Jsonb({"a": [None, "%s"]}), at=at))
    found = await fetch_one(connection, dict_row, select(things).where(things.c.name == ODD))
    assert found == {"name": ODD, "pin": 1, "size": 2**31 - 1, "details": {"a": [None, "%s"]}, "at": at}


async def test_none_in_a_jsonb_column_is_null(connection):
    await execute(connection, added("a", details=None))
    cursor = await connection.execute("SELECT details IS NULL FROM things")
    assert await cursor.fetchone() == (True,)


def test_a_form_is_compiled_once_whatever_its_values():
    first, values = to_sql(select(things.c.name).where(things.c.pin == 1).limit(5))
    again, others = to_sql(select(things.c.name).where(things.c.pin == 2).limit(6))
    assert again is first
    assert (sorted(values.values()), sorted(others.values())) == ([1, 5], [2, 6])
    assert to_sql(select(things.c.name).where(things.c.pin > 1).limit(5))[0] != first


def test_a_list_in_an_in_is_refused():
    with pytest.raises(TypeError, match="among"):
        to_sql(select(things.c.name).where(things.c.name.in_(["a", "b"])))


@pytest.mark.parametrize(("wanted", "found"), [(["a", "c", "x"], ["a", "c"]), ([], [])])
async def test_among_finds_those_that_are_named(connection, wanted, found):
    await execute_many(connection, added(bindparam("name")), [{"name": name} for name in "abc"])
    statement = select(things.c.name).where(among(things.c.name, wanted)).order_by(things.c.name)
    assert await fetch_all(connection, scalar_row, statement) == found


async def test_core_and_sql_share_a_transaction(connection):
    with pytest.raises(RuntimeError):
        async with connection.transaction():
            await execute(connection, added("by core"))
            await connection.execute("INSERT INTO things (name, pin) VALUES ('by sql', 2)")
            assert await names(connection) == ["by core", "by sql"]
            raise RuntimeError
    assert await names(connection) == []


async def test_what_fails_is_what_psycopg_raises(connection):
    await execute(connection, added("a"))
    await connection.commit()
    with pytest.raises(psycopg.errors.UniqueViolation) as again:
        await execute(connection, added("a"))
    await connection.rollback()
    assert (again.value.sqlstate, verdict(again.value)) == ("23505", Verdict.REJECT)
    with pytest.raises(psycopg.errors.NumericValueOutOfRange):
        await execute(connection, added("b", pin=40_000))


async def test_a_cursor_that_is_out_of_a_columns_range_finds_what_lies_after_it(connection):
    await execute(connection, added("a", pin=7))
    before = tuple_(things.c.name, things.c.pin) < row_of("b", 2**40)
    assert await fetch_all(connection, scalar_row, select(things.c.name).where(before)) == ["a"]


async def test_a_cursor_of_a_time_means_that_instant_in_every_time_zone(connection):
    await connection.execute("SET timezone TO 'Asia/Tokyo'")
    for hour in range(3):
        await execute(connection, added(str(hour), at=datetime(2026, 1, 1, hour, tzinfo=UTC)))
    after = tuple_(things.c.at, things.c.name) > row_of(datetime(2026, 1, 1, 1, tzinfo=UTC), "1")
    assert await fetch_all(connection, scalar_row, select(things.c.name).where(after)) == ["2"]


async def test_an_insert_of_named_columns_takes_rows_by_their_names(connection):
    numbered = Table("numbered", MetaData(), Column("id", Integer, Identity(), primary_key=True), Column("name", Text))
    await connection.execute("CREATE TEMP TABLE numbered (id int4 GENERATED ALWAYS AS IDENTITY, name text)")
    assert await execute_many(connection, insert_of(numbered, ["name"]), [{"name": "a"}, {"name": "b"}]) == 2
    assert await fetch_all(connection, scalar_row, select(numbered.c.name).order_by(numbered.c.id)) == ["a", "b"]


async def test_an_upsert_of_many_changes_what_is_there(connection):
    put = added(bindparam("name"), size=bindparam("size"))
    put = put.on_conflict_do_update(index_elements=["name"], set_={"size": put.excluded.size})
    assert await execute_many(connection, put, [{"name": "a", "size": 1}, {"name": "b", "size": 2}]) == 2
    await execute_many(connection, put, [{"name": "b", "size": 3}])
    assert await fetch_all(connection, scalar_row, select(things.c.size).order_by(things.c.name)) == [1, 3]


async def test_one_statement_inserts_all_rows_whatever_their_values(connection):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    names = ("name", "pin", "size", "at")
    rows = [(ODD, 1, None, at), ('{"a",\\}', 2, None, None), ("NULL", 3, None, at), ("", 4, None, None)]
    assert (await execute(connection, insert_all_of(things, names), columns_of(names, rows))).rowcount == 4
    kept = select(things.c.name, things.c.pin, things.c.size, things.c.at).order_by(things.c.pin)
    assert await fetch_all(connection, tuple_row, kept) == rows


async def test_one_statement_changes_the_rows_that_are_there(connection):
    names = ("name", "pin", "size")
    put = insert_all_of(things, names)
    put = put.on_conflict_do_update(index_elements=["name"], set_={"size": put.excluded.size})
    await execute(connection, put, columns_of(names, [("a", 1, 1), ("b", 1, 2)]))
    await execute(connection, put, columns_of(names, [("b", 1, 3), ("c", 1, 4)]))
    assert await fetch_all(connection, scalar_row, select(things.c.size).order_by(things.c.name)) == [1, 3, 4]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [((None, None), ["a", "b", "c"]), ((1, None), ["a", "b"]), ((None, 5), ["b", "c"]), ((1, 5), ["b"]), ((9, 5), [])],
)
async def test_only_filters_that_are_given_count(connection, wanted, found):
    for name, pin, size in (("a", 1, 4), ("b", 1, 5), ("c", 2, 5)):
        await execute(connection, added(name, pin, size=size))
    pin, size = wanted
    statement = select(things.c.name).where(*equal({things.c.pin: pin, things.c.size: size})).order_by(things.c.name)
    assert await fetch_all(connection, scalar_row, statement) == found


@pytest.mark.parametrize("ms", [0, 1, -1, 1_770_000_000_123, 253_402_300_799_999])
async def test_times_are_ms_both_ways(connection, ms):
    assert await fetch_one(connection, scalar_row, select(to_ms(from_ms(ms)))) == ms
