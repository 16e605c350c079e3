"""Under steady load each process is killed, or frozen: nothing acknowledged is lost, nothing comes twice.

`trial` (tests/support/trial.py) sends the load and asserts this at its end: each message that the broker acknowledged
is stored or rejected exactly once.
"""

from pathlib import Path

import actions
import pytest
from actions import SERVERS, SERVICES
from harness import Stack
from trial import trial


def skip_without(stack: Stack, victim: str) -> None:
    if victim not in stack.pids():
        pytest.skip(f"{victim} is no process of this stack")


@pytest.mark.in_short_form(stack={"mosquitto"}, victim={"ingest", "sensor", "websocket-gateway", *SERVERS})
@pytest.mark.in_short_form(stack={"nats"}, victim={"ingest", "nats"})
@pytest.mark.parametrize("victim", [*SERVICES, *SERVERS])
async def test_a_killed_process_is_back_and_nothing_is_lost(stack: Stack, victim: str, verdicts: Path, seed: int):
    skip_without(stack, victim)
    async with trial(stack, f"kill-{victim}", verdicts, seed=seed) as run:
        await actions.kill(run, victim)
        await run.recovered()


@pytest.mark.in_short_form(stack={"mosquitto"}, victim={"nats"})
@pytest.mark.parametrize("victim", [*SERVICES, *SERVERS])
async def test_a_frozen_process_goes_on_and_nothing_is_lost(
    stack: Stack, victim: str, verdicts: Path, seed: int, full: bool
):
    skip_without(stack, victim)
    async with trial(stack, f"freeze-{victim}", verdicts, seed=seed) as run:
        await actions.freeze(run, victim, 20.0 if full else 7.0)
        await run.recovered()
