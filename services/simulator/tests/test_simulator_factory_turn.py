"""Requests to a mock factory that stands still, as its database is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.schemas.api.mock_factory import CreateMockFactory
from kaiser_simulator.domain.plant.building import build_plant
from kaiser_simulator.jobs.factory import RunningFactory
from kaiser_simulator.store.factories import FactoryRow

NOW = 1_767_225_600_000


class _NoDatabase:
    """A pool that has no connection; `asked` once somebody wanted one."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        self.asked.set()
        raise psycopg.OperationalError("connection refused")
        yield


@pytest.mark.parametrize("request_of", ["set_faults", "switch_off"])
async def test_a_request_to_a_factory_that_stands_still_is_refused_and_does_not_wait_for_it(request_of: str) -> None:
    plant = build_plant(CreateMockFactory(), "seed")
    pool: Any = _NoDatabase()
    bus: Any = None
    row = FactoryRow("mock", 1, CreateMockFactory(), plant, 0, 1, [])
    factory = RunningFactory(bus, pool, lambda: NOW, row, waits_s=0.0)
    first = asyncio.create_task(factory.set_faults(plant.faults))
    await pool.asked.wait()
    with pytest.raises(RpcError) as refused:
        await (factory.switch_off() if request_of == "switch_off" else factory.set_faults(plant.faults))
    assert refused.value.problem.status == 503
    assert refused.value.problem.detail == (
        "the mock factory stands still: its database or NATS is away: try again in a moment"
    )
    assert not first.done()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
