"""Measures one commit's figures for `bench.frame`, which runs this file with that commit's Python; prints JSON.

It uses only what both commits have: the stack, the bench's test bed, RPC, and a stand-in for a service. In commits from
before FastStream, that stand-in was a function in the bus package.
"""

import argparse
import asyncio
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import Stack
from kaiser_common.bus.connection import Bus, connect
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.runtime.settings import CommonSettings
from pydantic import BaseModel

from bench import processes
from bench.bed import bed
from bench.latency import at_rate
from bench.saturation import saturate

_METHODS = 15
_CALLER = Caller(user="bench", role="admin")
_QUIET_S = 20.0
_SERVICE = "bench"


class Number(BaseModel):
    """The request of the measured RPC method, and its answer."""

    n: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=["start", "memory", "rpc", "latency", "saturation"])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--answer", metavar="URL", help="be the service that the RPC is measured against")
    arguments = parser.parse_args()
    if arguments.answer:
        asyncio.run(_answer(arguments.answer))
        return
    print(json.dumps(measure(set(arguments.only), quick=arguments.quick)))


def measure(parts: set[str], *, quick: bool) -> dict[str, Any]:
    """The figures of the parts."""
    found: dict[str, Any] = {}
    if parts & {"start", "memory", "rpc"}:
        with tempfile.TemporaryDirectory(prefix="kaiser-bench-") as folder:
            found |= _at_rest(Path(folder), parts, quick=quick)
    if parts & {"latency", "saturation"}:
        with bed("mosquitto") as test_bed:
            test_bed.register(1000)
            test_bed.warm_up()
            if "latency" in parts:
                at_rate(test_bed, 500.0, 5.0)  # what the start left to do is over when the next one counts
                found["at_500_ms"] = at_rate(test_bed, 500.0, 10.0 if quick else 30.0)
            if "saturation" in parts:
                count = 60_000 if quick else 300_000
                runs = [saturate(test_bed, count=count, devices=1000) for _ in range(1 if quick else 2)]
                found["saturation_per_s"] = [run["per_s"] for run in runs]
    return found


def _at_rest(folder: Path, parts: set[str], *, quick: bool) -> dict[str, Any]:
    """The figures of an idle stack."""
    folder.chmod(0o711)
    stack = Stack(folder / "state", ("run",), plain=True, KAISER_MQTT_BROKER="mosquitto", KAISER_LOG_LEVEL="warning")
    found: dict[str, Any] = {}
    try:
        found["first_start_s"] = _started(stack)
        if "start" in parts:
            starts = []
            for _ in range(1 if quick else 3):
                stack.stop()
                starts.append(_started(stack))
            found["start_s"] = starts
        if "memory" in parts:
            time.sleep(_QUIET_S / (4 if quick else 1))
            usages = {name: processes.usage(pid) for name, pid in sorted(stack.pids().items())}
            found["memory_mb"] = {name: round(each.resident / 1e6, 1) for name, each in usages.items()}
            found["cpu_s_since_start"] = {name: round(each.cpu_s, 2) for name, each in usages.items()}
        if "rpc" in parts:
            found["rpc"] = _rpc(stack.addresses["nats_url"], 1000 if quick else 3000)
    finally:
        if stack.is_running:
            stack.stop()
    return found


def _started(stack: Stack) -> float:
    began = time.monotonic()
    stack.start()
    return round(time.monotonic() - began, 2)


def _rpc(url: str, count: int) -> dict[str, Any]:
    """Requests one after the other: to the last method of fifteen of a service that does nothing else, and to actuator
    for the stops in force, which it has in memory."""
    with subprocess.Popen(
        [sys.executable, __file__, "--answer", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "ready\n":  # behind lines of the log
            assert process.poll() is None, "the answering process ended"
        found = asyncio.run(_ask_both(url, process.pid, count))
        process.communicate(timeout=60)
    return found


async def _ask_both(url: str, pid: int, count: int) -> dict[str, Any]:
    last = f"m{_METHODS - 1}"
    async with connect(CommonSettings(nats_url=url), "bench") as bus:
        await _asked(bus, _SERVICE, last, count // 10)
        cpu_s = processes.usage(pid).cpu_s
        found: dict[str, Any] = {"ms": percentiles(await _asked(bus, _SERVICE, last, count))}
        found["cpu_us"] = round((processes.usage(pid).cpu_s - cpu_s) / count * 1e6)
        await _asked(bus, "actuator", "emergencies", count // 10)
        found["actuator_ms"] = percentiles(await _asked(bus, "actuator", "emergencies", count))
    return found


async def _asked(bus: Bus, service: str, method: str, count: int) -> list[float]:
    took = []
    for number in range(count):
        began = time.perf_counter()
        await call(bus, service, method, Number(n=number), Number, caller=_CALLER, timeout_s=60.0)
        took.append(time.perf_counter() - began)
    return took


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50 and p99 in ms, to the microsecond."""
    ordered = sorted(seconds)
    return {"p50": round(ordered[len(ordered) // 2] * 1e3, 3), "p99": round(ordered[len(ordered) * 99 // 100] * 1e3, 3)}


async def _answer(url: str) -> None:
    """Answer until standard input is closed."""
    before = importlib.util.find_spec("answering") is None  # FastStream was the frame
    double = importlib.import_module("kaiser_common.bus.rpc" if before else "answering")

    async def same(request: Number, _: Caller) -> Number:
        return request

    methods = {f"m{place}": double.Method(Number, same) for place in range(_METHODS)}
    async with connect(CommonSettings(nats_url=url), "bench-answers") as bus, double.serve(bus, _SERVICE, methods):
        await bus.round_trip(60.0)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    main()
