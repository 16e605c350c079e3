"""Under steady load each process is killed, or frozen: nothing acknowledged is lost, nothing comes twice."""

from pathlib import Path

import actions
import pytest
from harness import ROOT, Stack
from trial import trial

SERVICES = [line.partition(":")[0] for line in (ROOT / "Procfile").read_text().splitlines() if line]
SERVERS = ["mosquitto", "nats", "postgres"]


SHORT = {
    ("kill", "mosquitto"): {"ingest", "sensor", "websocket-gateway", *SERVERS},
    ("kill", "nats"): {"ingest", "nats"},
    ("freeze", "mosquitto"): {"nats"},
}
"""What the short form does, by what is done and by broker; the long form does it to every process."""


def skip_if_out(stack: Stack, what: str, victim: str, *, full: bool) -> None:
    broker = stack.environment["KAISER_MQTT_BROKER"]
    if victim not in stack.pids():
        pytest.skip(f"{victim} is no process of this stack")
    if not full and victim not in SHORT.get((what, broker), set()):
        pytest.skip("only in the long form: make faults")


@pytest.mark.parametrize("victim", [*SERVICES, *SERVERS])
async def test_a_killed_process_is_back_and_nothing_is_lost(
    stack: Stack, victim: str, verdicts: Path, seed: int, full: bool
):
    skip_if_out(stack, "kill", victim, full=full)
    async with trial(stack, f"kill-{victim}", verdicts, seed=seed) as run:
        await actions.kill(run, victim)
        await run.recovered()


@pytest.mark.parametrize("victim", [*SERVICES, *SERVERS])
async def test_a_frozen_process_goes_on_and_nothing_is_lost(
    stack: Stack, victim: str, verdicts: Path, seed: int, full: bool
):
    skip_if_out(stack, "freeze", victim, full=full)
    async with trial(stack, f"freeze-{victim}", verdicts, seed=seed) as run:
        await actions.freeze(run, victim, 20.0 if full else 7.0)
        await run.recovered()
