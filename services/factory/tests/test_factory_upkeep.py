"""Rows older than their retention are deleted, on a real database; the numbers of orders never are."""

import asyncio
from datetime import timedelta

import psycopg
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from kaiser_factory.domain.rows import Past, Rows
from kaiser_factory.jobs.upkeep import keep_up
from kaiser_factory.store.writing import write
from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.messages import QualityCheck
from moment import moment
from pydantic import SecretStr
from waiting import until

NOW = moment()
TIMES = {"old": NOW - timedelta(days=31), "young": NOW - timedelta(days=29)}


async def test_rows_older_than_the_retention_go_and_numbers_stay(database: str) -> None:
    settings = CommonSettings(database_url=SecretStr(database))
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        for name, at in TIMES.items():
            await connection.execute(
                "INSERT INTO factory.stock_changes (env, hbw, location, time, type) VALUES (%s, %s, %s, %s, %s)",
                ("live", "HBW", "A1", at, name),
            )
            await connection.execute(
                "INSERT INTO factory.steps (env, action_id, serial, agv, changed_at) VALUES (%s, %s, %s, %s, %s)",
                ("live", name, "S1", False, at),
            )
            await connection.execute(
                "INSERT INTO factory.order_ids (env, order_id, next) VALUES (%s, %s, %s)", ("live", name, 4)
            )
        async with open_pool(settings, "factory", timeout_s=60.0) as pool:
            keeping = asyncio.create_task(keep_up(pool, 30, lambda: NOW))

            async def left(table: str, column: str) -> list[str]:
                found = await connection.execute(f"SELECT {column} FROM factory.{table} WHERE env = 'live' ORDER BY 1")
                return [each[0] for each in await found.fetchall() if each[0] in TIMES]

            async def is_done() -> bool:
                return await left("stock_changes", "type") == await left("steps", "action_id") == ["young"]

            await until(is_done)
            keeping.cancel()
        assert await left("order_ids", "order_id") == ["old", "young"]


async def test_the_pictures_of_the_last_200_checks_stay_and_every_result(database: str) -> None:
    checks = [
        QualityCheck(
            kind=FactoryKind.TXT_QUALITY,
            topic="/j1/txt/1/i/quality_check",
            ts=1_771_000_000_000 + number,
            epoch=1,
            serial="1",
            result="PASSED",
            mime="image/png",
            bytes=1,
            picture=b"%d" % number,
        )
        for number in range(203)
    ]
    async with await psycopg.AsyncConnection.connect(database) as connection:
        for few in (checks[:150], checks[150:], checks[150:]):  # the last ones come twice
            await write(connection, Rows("of_pictures", quality=few), Past())
        found = await connection.execute(
            "SELECT picture FROM factory.quality WHERE env = 'of_pictures' ORDER BY time", binary=True
        )
        pictures = [each[0] for each in await found.fetchall()]
    assert pictures == [None] * 3 + [b"%d" % number for number in range(3, 203)]
