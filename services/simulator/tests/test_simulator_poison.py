"""The consumer `simulator`: a message on which it fails is rejected, the mocks beside it do as they were told."""

import asyncio
import json

import psycopg
import pytest
from consuming import FAR, consuming, handling, publish, rejected, stored
from kaiser_common.contract.schemas.api.mock import MockActuator
from kaiser_common.contract.subjects import SIMULATOR
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from kaiser_simulator.consumers.downlinks import MockDownlinks
from kaiser_simulator.domain.device import Life, MockDevice, Setup
from kaiser_simulator.domain.world import World
from kaiser_simulator.patterns import installed_patterns
from kaiser_simulator.publish import Sender
from kaiser_simulator.store.changes import Mocks

NOW_MS = 1_767_225_600_000


class FaultyMocks(Mocks):
    """Mocks, of which MOCK_BAD shows a bug."""

    async def change_all(self, esp_ids, change, *, answering: bool = False) -> None:
        if "MOCK_BAD" in esp_ids:
            raise ZeroDivisionError("a bug of the service")
        await super().change_all(esp_ids, change, answering=answering)


def mock(esp_id: str) -> MockDevice:
    """A mock with a pump, operational."""
    setup = Setup(
        esp_id=esp_id,
        kaiser_id="god",
        firmware_version="mock-1.0",
        heartbeat_interval_s=60,
        sensors=[],
        actuators=[MockActuator(gpio=25, actuator_type="pump")],
    )
    return MockDevice(setup=setup, life=Life(running=True, registered=True, state="OPERATIONAL", booted_at=NOW_MS))


def command(esp_id: str, **fields) -> tuple[str, bytes]:
    """ON, as ingest publishes it when MQTT delivers it for a mock."""
    on = {"command": "ON", "timestamp": NOW_MS // 1000, "correlation_id": f"on-{esp_id}"}
    downlink = {
        "kaiser_id": "god",
        "esp_id": esp_id,
        "topic": f"kaiser/god/esp/{esp_id}/actuator/25/command",
        "payload": json.dumps(on),
        "received_at": NOW_MS,
    }
    return f"esp.downlink.god.{esp_id}", json.dumps(downlink | fields).encode()


@pytest.fixture
async def mocks(bus, database):
    """MOCK_A, MOCK_B and MOCK_BAD in the table, and what they say on its way to OUTBOX."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE simulator.mocks")
    async with open_pool(CommonSettings(database_url=database), "test") as pool:
        sender = Sender(bus)
        mocks = FaultyMocks(pool, World(installed_patterns(), bus.message_id()), sender, lambda: NOW_MS)
        await mocks.add([mock(name) for name in ("MOCK_A", "MOCK_B", "MOCK_BAD")])
        sending = asyncio.create_task(sender.run())
        yield mocks, sender
        sending.cancel()


@pytest.mark.parametrize(
    "poison",
    [
        command("MOCK_BAD"),
        ("esp.downlink.god.MOCK_BAD", b"{not json"),
        command("MOCK_BAD", topic="kaiser/god/esp/MOCK_BAD/dance"),
        command("MOCK_BAD", received_at=FAR),
    ],
    ids=["bug", "no JSON", "unknown topic", "far time"],
)
async def test_simulator_rejects_poison_and_its_neighbours_switch_on(bus, database, mocks, poison):
    downlinks = MockDownlinks(*mocks, lambda: NOW_MS)
    await publish(bus, [command("MOCK_A"), poison, command("MOCK_B")])
    async with consuming(bus, SIMULATOR, handling(downlinks.on_messages)) as loop:
        await loop.settled()
        answers = [body for _, body in await stored(bus, "OUTBOX") if body["topic"].endswith("/actuator/25/response")]
        assert sorted(body["topic"].split("/")[3] for body in answers) == ["MOCK_A", "MOCK_B"]
        assert all(json.loads(body["payload"])["success"] for body in answers)
        with psycopg.connect(database) as connection:
            lives = dict(connection.execute("SELECT esp_id, life FROM simulator.mocks").fetchall())
        assert {name: bool(life["actuators"]) for name, life in lives.items()} == {
            "MOCK_A": True,
            "MOCK_B": True,
            "MOCK_BAD": False,
        }
        assert await rejected(bus) == [("rejected.5407.MOCK_BAD", "esp.downlink.god.MOCK_BAD")]
        assert await loop.readiness() == "ok"
