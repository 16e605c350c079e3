"""The statements of one overview: those of all the handlers that the gateway calls for it, on a real PostgreSQL."""

from collections import Counter
from datetime import UTC, datetime

import psycopg
from fastapi import Depends
from kaiser_actuator.api.emergencies import EmergencyApi
from kaiser_actuator.api.registry import ActuatorRegistryApi
from kaiser_alarm.api.alarms import AlarmApi
from kaiser_alarm.domain.board import Board
from kaiser_common.bus.rpc import Caller
from kaiser_common.contract.schemas.api.overview import Overview
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from kaiser_gateway.api import overview
from kaiser_health.api.registry import DeviceRegistryApi
from kaiser_health.api.zones import ZonesApi
from kaiser_sensor.api.overview import OverviewApi

ADA = Caller(user="ada", role="viewer", request_id="r1")
NUMBER = 450
TABLES = ("health.zones", "health.devices", "sensor.latest", "actuator.actuators")
"""The statement about zones counts the devices of each, so it has both names."""
ROWS = (
    "INSERT INTO health.zones (zone_id, name) SELECT 'zone_' || n, 'Zone ' || n FROM generate_series(1, 20) AS n",
    "INSERT INTO health.devices (esp_id, kaiser_id, hardware_type, state)"
    " SELECT 'ESP_' || n, 'god', 'ESP32_WROOM', 'approved' FROM generate_series(1, %s) AS n",
    "INSERT INTO actuator.actuators (esp_id, gpio, kaiser_id, registered, settings)"
    " SELECT 'ESP_' || n, 25, 'god', true, '{}' FROM generate_series(1, %s) AS n",
    "INSERT INTO sensor.latest (time, esp_id, gpio, sensor_type, value, quality, processing_mode, data_source, clock)"
    " SELECT now(), 'ESP_' || n, 4, 'ph', 7, 'good', 'device', 'PRODUCTION', 'device' FROM generate_series(1, %s) AS n",
)


class Anybody:
    """A guard that lets everybody in."""

    def needs(self, role: str) -> object:
        return Depends(lambda: ADA)


async def test_an_overview_is_one_statement_for_each_table_and_alarms_and_stops_none(make_database, monkeypatch):
    database = make_database()
    with psycopg.connect(database) as connection:
        for rows in ROWS:
            connection.execute(rows, [NUMBER] if "%s" in rows else None)
    async with open_pool(CommonSettings(database_url=database), "test") as pool:
        actuators = ActuatorRegistryApi(pool, {}, {}, lambda: datetime.now(UTC))
        handlers = {
            ("health", "list"): DeviceRegistryApi(pool, None, None, lambda: datetime.now(UTC)).list_devices,
            ("health", "zones"): ZonesApi(pool).every,
            ("sensor", "overview"): OverviewApi(pool, lambda esp_id: None, lambda: datetime.now(UTC)).overview,
            ("actuator", "list"): actuators.list_actuators,
            ("actuator", "emergencies"): EmergencyApi(None, {}, None, None, now_ms).list_stops,
            ("alarm", "active"): AlarmApi(pool, Board(), lambda: True, None, now_ms, None).active,
        }

        async def call(bus, service, method, request, answer, *, caller, timeout_s):
            found = await handlers[service, method](request, caller)
            return answer.model_validate_json(found.model_dump_json())

        monkeypatch.setattr(overview, "call", call)
        [route] = overview.router(None, Anybody()).routes
        statements = count_statements(monkeypatch)
        found = Overview.model_validate_json((await route.endpoint(caller=ADA)).body)
    assert (len(found.devices), len(found.sensors), len(found.actuators)) == (NUMBER, NUMBER, NUMBER)
    assert (len(found.zones), found.missing, found.complete) == (20, [], True)
    assert statements == dict.fromkeys(TABLES, 1)


def count_statements(monkeypatch) -> Counter[str]:
    """The statements that psycopg's cursors run from now on, by table; the pool's check of a connection is empty, and
    not counted."""
    found: Counter[str] = Counter()
    execute = psycopg.AsyncCursor.execute

    async def counting(cursor, query, *values, **options):
        text = query.decode() if isinstance(query, bytes) else str(query)
        if text:
            found[next((table for table in TABLES if table in text), text)] += 1
        return await execute(cursor, query, *values, **options)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", counting)
    return found
