"""The parts of the actuator service on real servers."""

import asyncio

import interleaved_tables
import psycopg
import pytest
from actuator_world import Life
from kaiser_actuator.store.numbers import Numbers, open_board
from kaiser_common.bus.bucket import BucketWriter
from kaiser_common.bus.connection import connect
from kaiser_common.contract.subjects import EMERGENCIES_BUCKET
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings


@pytest.fixture
async def life(bus_settings, database):
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE actuator.actuators, actuator.commands, actuator.emergencies, actuator.history")
    async with (
        connect(CommonSettings(nats_url=bus_settings.nats_address), "test") as bus,
        open_pool(CommonSettings(database_url=database), "test") as pool,
    ):
        mirror = open_board(bus, Numbers())
        keeping = asyncio.create_task(mirror.keep())
        await mirror.ready()
        yield Life(pool, bus, await BucketWriter.open(bus, EMERGENCIES_BUCKET), mirror)
        keeping.cancel()


@pytest.fixture
def quiet(monkeypatch):
    """No database and no log lines: the model of stops."""
    with interleaved_tables.used(monkeypatch):
        yield
