"""The consumer `actuator`: a message on which the service fails is rejected, its neighbours are noted and acted on."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from consuming import FAR, FaultyBus, consuming, handling, publish, rejected, stored
from kaiser_actuator.consumers.devices import ActuatorMessages
from kaiser_actuator.jobs.clears import Clears
from kaiser_actuator.jobs.emergency_ledger import EmergencyLedger
from kaiser_actuator.store.numbers import Numbers, open_board
from kaiser_actuator.store.stops import Stops
from kaiser_common.bus.bucket import BucketWriter
from kaiser_common.bus.connection import connect
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.subjects import ACTUATOR, EMERGENCIES_BUCKET
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from structlog.testing import capture_logs

NOW_MS = 1_767_225_600_000
TIMEOUT = timedelta(seconds=10)


def message(kind: str, esp_id: str = "ESP_SEC1", **fields) -> tuple[str, bytes]:
    body = {"kaiser_id": "god", "esp_id": esp_id, "gpio": 5, "ts": NOW_MS, "received_at": NOW_MS, **fields}
    return f"esp.actuator.{kind}.god.{esp_id}.5", json.dumps(body).encode()


def status(esp_id: str, **fields) -> tuple[str, bytes]:
    return message("status", esp_id, **{"actuator_type": "pump", "state": True, "value": 1.0, **fields})


def alert(esp_id: str) -> tuple[str, bytes]:
    return message("alert", esp_id, alert_type="emergency_stop", message="a hand in the pump")


@pytest.fixture
async def parts(bus_settings, database):
    """The bus, and the service's handler on empty tables with no stop in force."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE actuator.actuators, actuator.commands, actuator.emergencies, actuator.history")
    async with (
        connect(bus_settings, "test") as bus,
        open_pool(CommonSettings(database_url=database), "test") as pool,
    ):
        board = open_board(bus, Numbers())
        keeping = asyncio.create_task(board.keep())
        await board.ready()
        names = ("ESP_A", "ESP_B", "ESP_SEC1")
        devices = {name: DeviceRecord(esp_id=name, kaiser_id="god", state="approved", online=True) for name in names}
        bucket = await BucketWriter.open(bus, EMERGENCIES_BUCKET)

        def clock() -> datetime:
            return datetime.now(UTC)

        def now_ms() -> int:
            return int(clock().timestamp() * 1000)

        async def heard(now: datetime) -> datetime:
            return now

        def messages(publishes=bus) -> ActuatorMessages:
            stops = Stops(bus, bucket, board, devices, now_ms, Numbers())
            ledger = EmergencyLedger(pool, bus, stops, TIMEOUT, clock)
            clears = Clears(pool, stops, ledger, devices, now_ms, heard)
            return ActuatorMessages(pool, publishes, stops, ledger, clears, TIMEOUT, clock)

        yield bus, messages
        keeping.cancel()


UNREADABLE = {
    "status of a far time": status("ESP_SEC1", ts=FAR),
    "status received at a far time": status("ESP_SEC1", received_at=FAR),
    "response of a far time": message("response", ts=FAR, command="ON", success=True),
    "receipt of a far time": ("esp.actuator.sent.god.ESP_SEC1.5.c1", b'{"sent_at":%d}' % FAR),
    "receipt of no pin": ("esp.actuator.sent.god.ESP_SEC1.pin.c1", b'{"sent_at":%d}' % NOW_MS),
    "no JSON": ("esp.actuator.status.god.ESP_SEC1.5", b"{not json"),
    "unknown kind": ("esp.actuator.dance.god.ESP_SEC1.5", b"{}"),
}


@pytest.mark.parametrize(
    ("poison", "code"),
    [
        *((each, 5407) for each in UNREADABLE.values()),
        (status("ESP_SEC1", gpio=10**12), 5407),
        (status("ESP_SEC1", error="\0"), 5305),
    ],
    ids=[*UNREADABLE, "pin that no column takes", "text that no column takes"],
)
async def test_actuator_rejects_poison_and_notes_and_acts_on_its_neighbours(parts, database, poison, code):
    bus, messages = parts
    await publish(bus, [status("ESP_A"), poison, status("ESP_B"), alert("ESP_B")])
    with capture_logs() as logs:
        async with consuming(bus, ACTUATOR, handling(messages().on_messages)) as loop:
            await loop.settled()
            assert await loop.readiness() == "ok"
    assert "message_failed" not in {line["event"] for line in logs}, "it is rejected at its first delivery"
    await assert_neighbours_are_acted_on(bus, database)
    [(subject, came_on)] = await rejected(bus)
    assert (subject.split(".")[1], came_on) == (str(code), poison[0])


async def test_actuator_rejects_a_message_on_which_it_has_a_bug(parts, database):
    bus, messages = parts
    await publish(bus, [status("ESP_A"), status("ESP_SEC1"), status("ESP_B"), alert("ESP_B")])
    async with consuming(bus, ACTUATOR, handling(messages(FaultyBus(bus, "ESP_SEC1")).on_messages)) as loop:
        await loop.settled()
        await assert_neighbours_are_acted_on(bus, database)
        assert await rejected(bus) == [("rejected.5407.ESP_SEC1", "esp.actuator.status.god.ESP_SEC1.5")]


async def assert_neighbours_are_acted_on(bus, database) -> None:
    """The last states of ESP_A and ESP_B are rows; ESP_B's alert is a stop, sent to ESP_B."""
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT esp_id, last_state FROM actuator.actuators ORDER BY esp_id").fetchall()
    assert rows == [("ESP_A", True), ("ESP_B", True)]
    commands = [json.loads(body["payload"])["command"] for _, body in await to_device(bus, "ESP_B")]
    assert {"emergency_stop", "OFF"} & set(commands), commands


async def to_device(bus, esp_id: str) -> list[tuple[str, dict]]:
    return [each for each in await stored(bus, "OUTBOX") if f"/{esp_id}/" in each[1]["topic"]]
