"""Changes of mocks, one at a time: one that waits too long for the others fails as where the database is away."""

import asyncio

import pytest
from hanging import HangingPool
from kaiser_simulator.domain.device import Life, MockDevice, Setup
from kaiser_simulator.domain.world import World
from kaiser_simulator.patterns import installed_patterns
from kaiser_simulator.store.changes import Mocks
from psycopg_pool import PoolTimeout


def mock(esp_id: str) -> MockDevice:
    setup = Setup(
        esp_id=esp_id,
        kaiser_id="god",
        firmware_version="mock-1.0",
        heartbeat_interval_s=60,
        sensors=[],
        actuators=[],
    )
    return MockDevice(setup=setup, life=Life())


async def test_a_change_that_waits_too_long_for_others_fails_without_asking_the_database():
    pool = HangingPool()
    mocks = Mocks(pool, World(installed_patterns(), "seed"), None, lambda: 0, waits_s=0.0)  # type: ignore[arg-type]
    hanging = asyncio.create_task(mocks.add([mock("MOCK_A")]))
    try:
        async with asyncio.timeout(60):
            await pool.asked.wait()
            for change in (
                mocks.add([mock("MOCK_B")]),
                mocks.change_all(["MOCK_A"], lambda device: pytest.fail("it is not made")),
                mocks.delete("MOCK_A"),
                mocks.save_changed(),
            ):
                with pytest.raises(PoolTimeout, match="other mocks have waited to be stored"):
                    await change
    finally:
        hanging.cancel()
        await asyncio.wait([hanging], timeout=60)
    assert (pool.times, len(mocks.world)) == (1, 0)
