"""Everything dies at once and comes back in the wrong order."""

from pathlib import Path

import actions
import pytest
from actions import SERVERS, SERVICES
from harness import Stack
from trial import trial


@pytest.mark.in_short_form(stack={"mosquitto"})
async def test_services_may_come_back_before_the_servers(stack: Stack, verdicts: Path, seed: int):
    running = stack.pids()
    order = [name for name in [*SERVICES, "postgres", "nats", "mosquitto"] if name in running]
    assert set(SERVERS) & set(order)
    async with trial(stack, "wrong-order", verdicts, seed=seed) as run:
        await actions.restart_in_order(run, order, 0.5)
        await run.recovered()


@pytest.mark.long_form
async def test_the_broker_may_come_back_first_and_the_bus_last(stack: Stack, verdicts: Path, seed: int):
    running = stack.pids()
    order = [name for name in ["mosquitto", *reversed(SERVICES), "postgres", "nats"] if name in running]
    async with trial(stack, "bus-last", verdicts, seed=seed) as run:
        await actions.restart_in_order(run, order, 0.5)
        await run.recovered()
