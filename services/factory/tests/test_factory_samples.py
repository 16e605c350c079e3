"""Samples in their tables, on a real database."""

import json
from datetime import UTC, datetime

import psycopg
from kaiser_common.bus.connection import BusUnavailable, Outgoing
from kaiser_common.contract.schemas.factory import FactoryModule
from kaiser_factory.jobs.samples import Sampling
from kaiser_factory.store import samples
from kaiser_factory.store.samples import AgvSample

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def row(serial: str, **values: object) -> FactoryModule:
    stated = {"kind": "agv", "connection": "ONLINE", "silent": False, "availability": "READY", "ts": 0, **values}
    return FactoryModule.model_validate({"env": "live", "serial": serial, **stated})


async def test_samples_of_one_time_are_stored_once(database):
    rows = [row("5iO4", battery_percent=80.5, battery_voltage=8.4, charging=False, driving=True, node="A-B"), row("k9")]
    async with await psycopg.AsyncConnection.connect(database) as connection:
        for _ in range(2):
            sampled = [AgvSample(one, waiting=one.serial == "k9") for one in rows]
            await samples.add_agvs(connection, "live", AT, sampled)
            await samples.add_availabilities(connection, "live", AT, rows)
        cursor = await connection.execute(
            "SELECT env, serial, time, battery_percent, battery_voltage, charging, driving, node, waiting"
            " FROM factory.samples ORDER BY serial"
        )
        assert await cursor.fetchall() == [
            ("live", "5iO4", AT, 80.5, 8.4, False, True, "A-B", False),
            ("live", "k9", AT, None, None, None, None, None, True),
        ]
        cursor = await connection.execute(
            "SELECT env, serial, time, what, value, action_id FROM factory.transitions ORDER BY serial"
        )
        assert await cursor.fetchall() == [
            ("live", "5iO4", AT, "availability", "READY", ""),
            ("live", "k9", AT, "availability", "READY", ""),
        ]


class Published:
    """A bus that takes what is published, or not."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.is_away = False

    def message_id(self) -> str:
        return "m"

    async def publish_batch(self, messages: list[Outgoing], *, deadline_s: float, ordered: bool) -> None:
        if self.is_away:
            raise BusUnavailable("away")
        self.events += [
            (one.subject, json.loads(one.body)["details"]["serial"])
            for one in messages
            if b"factory_silent" in one.body
        ]


async def test_a_module_that_falls_silent_is_told_once_also_when_nats_was_away():
    bus = Published()
    sampling = Sampling(bus, None, lambda: None)
    silent, back = row("S1", silent=True), row("S1")
    bus.is_away = True
    await sampling._report_silent([silent], 1)
    bus.is_away = False
    for rows in ([silent, row("S2")], [silent, row("S2")], [back, row("S2", silent=True)], [silent]):
        await sampling._report_silent(rows, 1)
    assert bus.events == [("event.system_event._", serial) for serial in ("S1", "S2", "S1")]
