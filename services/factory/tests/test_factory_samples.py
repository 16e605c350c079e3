"""Samples in their tables, on a real database."""

from datetime import UTC, datetime

import psycopg
from kaiser_common.contract.schemas.factory import FactoryModule
from kaiser_factory.store import samples

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def row(serial: str, **values: object) -> FactoryModule:
    stated = {"kind": "agv", "connection": "ONLINE", "silent": False, "availability": "READY", "ts": 0, **values}
    return FactoryModule.model_validate({"env": "live", "serial": serial, **stated})


async def test_samples_of_one_time_are_stored_once(database):
    rows = [row("5iO4", battery_percent=80.5, battery_voltage=8.4, charging=False, driving=True, node="A-B"), row("k9")]
    async with await psycopg.AsyncConnection.connect(database) as connection:
        for _ in range(2):
            await samples.add_agvs(connection, "live", AT, rows)
            await samples.add_availabilities(connection, "live", AT, rows)
        cursor = await connection.execute(
            "SELECT env, serial, time, battery_percent, battery_voltage, charging, driving, node"
            " FROM factory.samples ORDER BY serial"
        )
        assert await cursor.fetchall() == [
            ("live", "5iO4", AT, 80.5, 8.4, False, True, "A-B"),
            ("live", "k9", AT, None, None, None, None, None),
        ]
        cursor = await connection.execute(
            "SELECT env, serial, time, what, value, action_id FROM factory.transitions ORDER BY serial"
        )
        assert await cursor.fetchall() == [
            ("live", "5iO4", AT, "availability", "READY", ""),
            ("live", "k9", AT, "availability", "READY", ""),
        ]
