"""The consumers `health` and `health-audit`: a message on which one fails is rejected, its neighbours are noted."""

import json
from datetime import UTC, datetime

import psycopg
import pytest
from consuming import FAR, FaultyBus, case, consuming, handling, publish, rejected, stored
from kaiser_common.bus.connection import connect
from kaiser_common.contract.subjects import HEALTH, HEALTH_AUDIT
from kaiser_common.runtime.database import open_pool
from kaiser_health.consumers.audits import AuditRecords
from kaiser_health.consumers.devices import DeviceMessages
from kaiser_health.settings import HealthSettings
from kaiser_health.store import audit
from kaiser_health.store.bucket import DevicesBucket
from structlog.testing import capture_logs

NOW_MS = 1_767_225_600_000


def message(kind: str, esp_id: str = "ESP_SEC1", **fields) -> tuple[str, bytes]:
    body = {"kaiser_id": "god", "esp_id": esp_id, "ts": NOW_MS, "received_at": NOW_MS, **fields}
    return f"esp.{kind}.god.{esp_id}", json.dumps(body).encode()


def beat(esp_id: str, **fields) -> tuple[str, bytes]:
    return message("system.heartbeat", esp_id, **{"uptime": 60, "heap_free": 45_000, "wifi_rssi": -45, **fields})


@pytest.fixture
async def parts(bus_settings, database):
    """The bus and the pool of the service, its tables empty."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE health.devices, health.heartbeats, health.device_errors")
    settings = HealthSettings(database_url=database)
    async with connect(bus_settings, "test") as bus, open_pool(settings, "test") as pool:

        async def messages(publishes=bus):
            handler = DeviceMessages(
                pool, publishes, await DevicesBucket.open(bus), settings, lambda: datetime.now(UTC)
            )
            return handling(handler.on_messages)

        yield bus, messages


UNREADABLE = {
    "bus-heartbeat-received-at": case("bus-heartbeat-received-at"),
    "error of a far time": message("system.error", ts=FAR, error_code=1, severity="error", message="m"),
    "will of a far time": message("system.will", ts=FAR, status="offline"),
    "answer of a far time": message("config.response", received_at=FAR, status="success", type="sensor"),
    "time before 1970": message("system.heartbeat", received_at=-(10**15)),
    "digest of a far time": ("esp.system.alive.god.digest", b'{"devices":{"ESP_SEC1":%d}}' % FAR),
    "no JSON": ("esp.system.heartbeat.god.ESP_SEC1", b"{not json"),
    "no UTF-8": ("esp.system.heartbeat.god.ESP_SEC1", b'{"esp_id":"\xff"}'),
    "deep nesting": ("esp.system.heartbeat.god.ESP_SEC1", b'{"details":' * 50_000),
    "unknown kind": ("esp.system.dance.god.ESP_SEC1", b"{}"),
}


@pytest.mark.parametrize(
    ("poison", "code"),
    [
        *((each, 5407) for each in UNREADABLE.values()),
        (("esp.system.heartbeat.god.ESP_SEC1", beat("ESP_\0")[1]), 5305),
    ],
    ids=[*UNREADABLE, "text that no column takes"],
)
async def test_health_rejects_poison_and_notes_and_answers_its_neighbours(parts, database, poison, code):
    bus, messages = parts
    await publish(bus, [beat("ESP_A"), poison, beat("ESP_B")])
    with capture_logs() as logs:
        async with consuming(bus, HEALTH, await messages()) as loop:
            await loop.settled()
            assert await loop.readiness() == "ok"
    assert "message_failed" not in {line["event"] for line in logs}, "it is rejected at its first delivery"
    await assert_neighbours_are_noted(bus, database)
    [(subject, came_on)] = await rejected(bus)
    assert (subject.split(".")[1], came_on) == (str(code), poison[0])


async def test_health_rejects_a_message_on_which_it_has_a_bug(parts, database):
    bus, messages = parts
    await publish(bus, [beat("ESP_A"), beat("ESP_SEC1"), beat("ESP_B")])
    async with consuming(bus, HEALTH, await messages(FaultyBus(bus, "ESP_SEC1"))) as loop:
        await loop.settled()
        await assert_neighbours_are_noted(bus, database)
        assert await rejected(bus) == [("rejected.5407.ESP_SEC1", "esp.system.heartbeat.god.ESP_SEC1")]


async def assert_neighbours_are_noted(bus, database) -> None:
    """ESP_A and ESP_B are pending, their heartbeats acknowledged, and nobody else's."""
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT esp_id, state FROM health.devices ORDER BY esp_id").fetchall()
    assert rows == [("ESP_A", "pending"), ("ESP_B", "pending")]
    acknowledged = {body["topic"].split("/")[3] for subject, body in await stored(bus, "OUTBOX")}
    assert acknowledged == {"ESP_A", "ESP_B"}


def record(key: str, **fields) -> tuple[str, bytes]:
    """A change that somebody made at logic."""
    given = {"key": key, "at": NOW_MS, "service": "logic", "action": "rule.create", "target": f"rule {key}"}
    by = {"actor": "ada", "role": "operator", "address": "192.0.2.1", "outcome": "done"}
    return "audit.logic", json.dumps(given | by | fields).encode()


@pytest.mark.parametrize(
    ("poison", "bug", "code"),
    [
        (record("bad"), True, 5407),
        (("audit.logic", b"{not json"), False, 5407),
        (("audit.logic", b'{"key":"\xff"}'), False, 5407),
        (("audit.logic", b'{"before":' * 50_000), False, 5407),
        (record("bad", at=FAR), False, 5407),
        (record("bad", outcome="dance"), False, 5407),
        (record("bad", detail="\0"), False, 5305),
        (record("bad", after={"name": "\0"}), False, 5305),
    ],
    ids=[
        "bug",
        "no JSON",
        "no UTF-8",
        "deep nesting",
        "far time",
        "unknown outcome",
        "text that no column takes",
        "values that no column takes",
    ],
)
async def test_health_audit_rejects_poison_and_stores_its_neighbours(
    bus_settings, database, monkeypatch, poison, bug, code
):
    store = audit.store

    async def faulty(connection, records) -> None:
        if bug and any(one.key == "bad" for one in records):
            raise ZeroDivisionError("a bug of the service")
        await store(connection, records)

    monkeypatch.setattr(audit, "store", faulty)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE health.audit_log")
    async with (
        connect(bus_settings, "test") as bus,
        open_pool(HealthSettings(database_url=database), "test") as pool,
    ):
        await publish(bus, [record("before"), poison, record("behind")])
        async with consuming(bus, HEALTH_AUDIT, handling(AuditRecords(pool).on_messages)) as loop:
            await loop.settled()
            assert await loop.readiness() == "ok"
        [(subject, came_on)] = await rejected(bus)
    with psycopg.connect(database) as connection:
        stored_targets = connection.execute("SELECT target FROM health.audit_log ORDER BY id").fetchall()
    assert stored_targets == [("rule before",), ("rule behind",)]
    assert (subject.split(".")[1], came_on) == (str(code), "audit.logic")
