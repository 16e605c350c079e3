"""Faults for the trials. Async functions also undo their fault; call `up` after `down`, and `read_only` with False."""

import asyncio
import os
import signal

import psycopg
from freezing import tree
from harness import ROOT, Stack, wait_until
from trial import Trial

from bench import mqtt_packets

SERVICES = [line.partition(":")[0] for line in (ROOT / "Procfile").read_text().splitlines() if line]
SERVERS = ["mosquitto", "nats", "postgres"]


def victims(stack: Stack) -> list[str]:
    """Everything that runs, servers and services."""
    return sorted(stack.pids())


async def steal_the_session(run: Trial, seconds: float) -> None:
    """Another client takes ingest's client id and keeps its session for so long, without acknowledging anything."""
    address = run.stack.addresses["mqtt_host"], run.stack.addresses["mqtt_port"]
    try:
        reader, writer = await asyncio.open_connection(*address)
    except ConnectionError:  # in a sequence drawn by chance the broker may be away
        run.note("a thief met no broker")
        return
    writer.write(mqtt_packets.connect("kaiser-ingest-god", clean=False))
    await writer.drain()
    run.note("SESSION TAKEN OVER by another client")
    try:
        async with asyncio.timeout(seconds):
            while await reader.read(65536):
                pass
    except (TimeoutError, ConnectionError):
        writer.close()
    run.note("the thief is gone")


def down(stack: Stack, victim: str, number: signal.Signals = signal.SIGKILL) -> None:
    """End a process as `python -m kaiser_stack kill` does, without its 0.3 s; it is not started again."""
    (stack.state_dir / "run" / f"{victim}.hold").touch()
    os.kill(stack.pid(victim), number)


def up(stack: Stack, victim: str) -> None:
    """Start a process as `python -m kaiser_stack start` does."""
    (stack.state_dir / "run" / f"{victim}.hold").unlink()


async def kill(run: Trial, victim: str) -> None:
    """SIGKILL; the stack starts it again."""
    await asyncio.to_thread(run.stack.kill, victim)
    if victim == "mosquitto":
        await run.excuse_what_mosquitto_held()
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
    down(run.stack, victim)
    if victim == "mosquitto":
        await run.excuse_what_mosquitto_held()
    run.note(f"SIGKILL {victim}, down for {seconds:g} s")
    try:
        await run.flow(seconds)
    finally:
        up(run.stack, victim)
    run.note(f"start {victim}")


async def restart_in_order(run: Trial, order: list[str], pause_s: float) -> None:
    """Everything is stopped, then started in this order with a pause after each."""
    for victim in order:
        down(run.stack, victim)
        if victim == "mosquitto":
            await run.excuse_what_mosquitto_held()
    run.note("SIGKILL everything")
    await run.flow(pause_s)
    for victim in order:
        up(run.stack, victim)
        await run.flow(pause_s)
    await asyncio.to_thread(wait_until, lambda: run.stack.pids().keys() >= set(order), "everything runs")
    run.note(f"started in the order {', '.join(order)}")


def read_only(stack: Stack, on: bool) -> None:
    """Have PostgreSQL refuse writes, or take them again; waits where it is away."""
    wait_until(lambda: _set_read_only(stack, on), "PostgreSQL takes the setting", 60.0)


def _set_read_only(stack: Stack, on: bool) -> bool:
    try:
        _alter(stack, on)
    except psycopg.OperationalError:
        return False
    return True


def _alter(stack: Stack, on: bool) -> None:
    with psycopg.connect(stack.addresses["database_url"], autocommit=True, connect_timeout=5) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if on else 'off'}")
        connection.execute("SELECT pg_reload_conf()")
