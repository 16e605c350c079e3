"""Sequences of faults drawn by chance, one upon the other: FAULTS_SEED repeats a run."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import actions
from harness import Stack
from trial import Trial, trial


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is done to the stack."""

    name: str
    do: Callable[[Trial], Awaitable[None]]


def draw(chance: random.Random, victims: list[str]) -> Step:
    """The next step: kills most often, what takes long less often."""
    victim = chance.choice(victims)
    seconds = round(chance.uniform(0.5, 8.0), 1)
    kinds = ["kill", "kill", "kill two", "freeze", "hold", "thief", "read-only", "nothing"]
    match chance.choice(kinds):
        case "kill":
            return Step(f"kill {victim}", lambda run: actions.kill(run, victim))
        case "kill two":
            other = chance.choice(victims)

            async def both(run: Trial) -> None:
                await actions.kill(run, victim)
                await actions.kill(run, other)

            return Step(f"kill {victim} and {other}", both)
        case "freeze":
            return Step(f"freeze {victim} {seconds}", lambda run: actions.freeze(run, victim, seconds))
        case "hold":
            return Step(f"hold {victim} {seconds}", lambda run: actions.hold(run, victim, seconds))
        case "thief":
            return Step("thief", lambda run: actions.steal_the_session(run, 1.0))
        case "read-only":
            return Step(f"read-only {seconds}", lambda run: only_reading(run, seconds))
        case _:
            return Step(f"nothing {seconds}", lambda run: run.flow(seconds))


async def only_reading(run: Trial, seconds: float) -> None:
    """The database only reads for so long."""
    await asyncio.to_thread(actions.read_only, run.stack, True)
    run.note(f"PostgreSQL is read-only for {seconds} s")
    try:
        await run.flow(seconds)
    finally:
        await asyncio.to_thread(actions.read_only, run.stack, False)
    run.note("PostgreSQL writes again")


async def test_any_sequence_of_faults_leaves_nothing_lost(stack: Stack, verdicts: Path, seed: int, full: bool):
    """10 minutes for both brokers together in the long form, 40 seconds in the short one."""
    chance = random.Random(seed)
    seconds = float(os.environ.get("FAULTS_MODEL_S", "0")) or (300.0 if full else 20.0)
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        async with trial(stack, f"model-{seed}-{number}", verdicts, seed=seed) as run:
            for _ in range(chance.randint(2, 5)):
                step = draw(chance, actions.victims(stack))
                print(f"  {step.name}", flush=True)
                await step.do(run)
                await run.flow(chance.uniform(0.0, 2.0))
            run.note("the last fault is over")
            await run.recovered()
