"""What may be done to a stack, each undone by itself: the vocabulary of the trials."""

import asyncio
import os
import signal

from harness import Stack, wait_until
from trial import Trial


def victims(stack: Stack) -> list[str]:
    """Everything that runs, servers and services."""
    return sorted(stack.pids())


async def kill(run: Trial, victim: str) -> None:
    """SIGKILL; the stack starts it again."""
    if victim == "mosquitto":
        run.excuse_what_mosquitto_held()
    await asyncio.to_thread(run.stack.kill, victim)
    run.note(f"SIGKILL {victim}")


async def freeze(run: Trial, victim: str, seconds: float) -> None:
    """SIGSTOP for so long; it never learns of it."""
    pids = await asyncio.to_thread(tree, run.stack.pid(victim))
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    run.note(f"SIGSTOP {victim} for {seconds:g} s")
    try:
        await run.flow(seconds)
    finally:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                continue  # a child that ended meanwhile
    run.note(f"SIGCONT {victim}")


async def hold(run: Trial, victim: str, seconds: float) -> None:
    """Killed and kept down for so long, then started."""
    if victim == "mosquitto":
        run.excuse_what_mosquitto_held()
    await asyncio.to_thread(run.stack.control, "kill", victim)
    run.note(f"SIGKILL {victim}, down for {seconds:g} s")
    try:
        await run.flow(seconds)
    finally:
        await asyncio.to_thread(run.stack.control, "start", victim)
    run.note(f"start {victim}")


async def restart_in_order(run: Trial, order: list[str], pause_s: float) -> None:
    """Everything is stopped, then started in this order with a pause after each."""
    if "mosquitto" in order:
        run.excuse_what_mosquitto_held()
    for victim in order:
        await asyncio.to_thread(run.stack.control, "kill", victim)
    run.note("SIGKILL everything")
    await run.flow(pause_s)
    for victim in order:
        await asyncio.to_thread(run.stack.control, "start", victim)
        await run.flow(pause_s)
    await asyncio.to_thread(wait_until, lambda: run.stack.pids().keys() >= set(order), "everything runs")
    run.note(f"started in the order {', '.join(order)}")


def tree(pid: int) -> list[int]:
    """The process and its descendants: PostgreSQL is many."""
    found = [pid]
    for parent in found:
        try:
            with open(f"/proc/{parent}/task/{parent}/children") as children:
                found.extend(int(child) for child in children.read().split())
        except FileNotFoundError:
            continue
    return found
