"""The results as a table for people; pure."""

from collections.abc import Iterator
from typing import Any

GOALS = {"saturation_per_s": 20_000, "ratio_to_limit": 0.35}
FACTORY_GOALS = {"event_ms": 50, "memory_mb": 150}
"""Beside 2,000 readings/s; the memory of 1,000 serials and 5,000 orders."""
LATENCY_GOALS_MS = {500: {"committed": 50, "frame": 20}, 5000: {"committed": 250}}


def table(results: dict[str, Any]) -> str:
    """Everything that was measured, with the goals beside it."""
    return "\n".join(_lines(results))


def bars(found: dict[str, Any]) -> str:
    """Each bar with what was measured."""
    words = {True: "met", False: "MISSED", None: "not measured"}
    return "\n".join(
        f"{one['bar']:<34}{one['must_be']:>8}{one['measured'] if one['measured'] is not None else '':>10}   "
        + words[one["met"]]
        for one in found["bars"]
    )


def _lines(results: dict[str, Any]) -> Iterator[str]:
    machine = results["machine"]
    yield f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, load {machine['load_before']}"
    if results["note"]:
        yield results["note"]
    if "saturation_per_s" in results:
        goal = GOALS["saturation_per_s"]
        yield f"saturation            {results['saturation_per_s']:>8} readings/s   (goal {goal})"
        yield "  CPU µs a reading    " + _pairs(results["cpu_us_per_reading"])
        yield "  memory MB           " + _pairs(results["rss_mb"])
    if "limits_per_s" in results:
        yield "limits, messages/s    " + _pairs(results["limits_per_s"])
    if "ratio_to_limit" in results:
        yield f"ratio to the lowest   {results['ratio_to_limit']:>8}   (goal {GOALS['ratio_to_limit']})"
    for rate, found in results.get("latency_ms", {}).items():
        yield from _latency(int(rate), found)
    growth = results.get("growth", {})
    for name in ("per_s_by_devices", "per_s_by_rows"):
        if name in growth:
            yield f"{name:<22}" + _pairs(growth[name])
    for clients, found in growth.get("latency_ms_by_clients", {}).items():
        yield (
            f"500/s, {clients} clients".ljust(22)
            + f"frame p99 {found['frame'].get('p99')} ms, {found['cores_used']} cores"
        )
    if "naive_per_s" in results:
        yield f"the naive way         {results['naive_per_s']:>8} readings/s"
    for name, one in results.get("peers", {}).items():
        yield f"peer {name:<17}{one['per_s']:>8} readings/s, {one['cpu_us_per_reading']} CPU µs, {one['rss_mb']} MB"
    for name, found in results.get("acting", {}).items():
        for number, one in found.items():
            frame, cpu = one["frame"], one["cpu_us_per_reading"]
            times = f"frame p50 {frame.get('p50')} p99 {frame.get('p99')} ms"
            times += f", {one['open']} alarms open" if "open" in one else ""
            yield f"1,000/s {name} {number}".ljust(28) + f"{times}, logic {cpu['logic']}, alarm {cpu['alarm']} µs"
    if "rest" in results:
        one = results["rest"]
        yield f"start                 first {one['first_start_s']} s, then {one['start_s']} s"
        yield f"memory at rest        {one['memory_of_services_mb']} MB of services and NATS   (goal 450)"
    if "observed" in results:
        yield from _observed(results["observed"])
    if "factory" in results:
        yield from _factory(results["factory"])


def _observed(found: dict[str, Any]) -> Iterator[str]:
    """Devices' messages on TOPICS; the goal for being on by default is a tenth."""
    yield f"devices on TOPICS     cost {found['costs']:.1%} of saturation   (goal 10 %)"
    for name in ("without", "with"):
        yield f"  {name:<20}" + _pairs(found[name])


def _factory(found: dict[str, Any]) -> Iterator[str]:
    times = found["event_ms"]
    yield (
        f"factory 1,000/s       event p50 {times.get('p50')} p99 {times.get('p99')} max {times.get('max')} ms"
        f"   (goal p99 {FACTORY_GOALS['event_ms']}), {found['events_seen']} events of {found['sent']} states,"
        f" {found['never_shown']} never shown"
    )
    yield "  cores               " + _pairs(found["cores_by_process"])
    yield "  memory MB           " + _pairs(found["memory_mb"]) + f"   (goal {FACTORY_GOALS['memory_mb']})"
    yield "  full                " + _pairs(found["full"])


def _latency(rate: int, found: dict[str, Any]) -> Iterator[str]:
    for stage in ("committed", "frame"):
        one = found[stage]
        goal = LATENCY_GOALS_MS.get(rate, {}).get(stage)
        told = f"   (goal p99 {goal})" if goal else ""
        yield f"{rate:>6}/s → {stage:<10} p50 {one.get('p50')} p99 {one.get('p99')} max {one.get('max')} ms{told}"
    if found["drained_s"] > 1:
        yield f"          not kept up with: the last reading was stored {found['drained_s']} s after the last was due"


def _pairs(values: dict[Any, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
