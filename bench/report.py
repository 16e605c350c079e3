"""The results as a table for people; pure."""

from collections.abc import Iterator
from typing import Any

from bench import goals


def table(results: dict[str, Any]) -> str:
    """Everything that the file has, then each goal that can be judged by it."""
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
    for part, said in results.get("parts", {}).items():
        machine = said["machine"]
        load = machine.get("load_before", "not recorded")
        yield f"{part:<22}{said['at'][:16]}Z {said['commit']}, load {load}{', quick' if said['quick'] else ''}"
        yield from [f"  {said['note']}"] if said["note"] else []
    if "saturation_per_s" in results:
        yield f"saturation            {results['saturation_per_s']:>8} readings/s"
        yield "  CPU µs a reading    " + _pairs(results["cpu_us_per_reading"])
        yield "  memory MB           " + _pairs(results["rss_mb"])
    if "limits_per_s" in results:
        yield "limits, messages/s    " + _pairs(results["limits_per_s"])
    for rate, found in results.get("latency_ms", {}).items():
        yield from _latency(int(rate), found)
    growth = results.get("growth", {})
    for name in ("per_s_by_devices", "per_s_by_rows"):
        if name in growth:
            yield f"{name:<22}" + _pairs(growth[name])
    if "per_s_at_100m_rows" in growth:
        yield f"per_s_at_100m_rows    {growth['per_s_at_100m_rows']:>8}"
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
        yield f"memory at rest        {one['memory_of_services_mb']} MB of services and NATS"
    if "observed" in results:
        yield from _observed(results["observed"])
    for replicas, one in results.get("cluster", {}).items():
        yield f"NATS, replicas {replicas}      " + _pairs(one)
    if "factory" in results:
        yield from _factory(results["factory"])
    for goal in goals.judged(results):
        if goal.met is not None:
            word = "met" if goal.met else "MISSED"
            yield f"{goal.goal.name:<42}{goal.goal.sign} {goal.goal.value:<9g}{goal.measured:>12,g}   {word}"


def _observed(found: dict[str, Any]) -> Iterator[str]:
    """Devices' messages on TOPICS."""
    yield f"devices on TOPICS     cost {found['costs']:.1%} of saturation"
    for name in ("without", "with"):
        yield f"  {name:<20}" + _pairs(found[name])


def _factory(found: dict[str, Any]) -> Iterator[str]:
    times = found["event_ms"]
    yield (
        f"factory 1,000/s       event p50 {times.get('p50')} p99 {times.get('p99')} max {times.get('max')} ms"
        f", {found['events_seen']} events of {found['sent']} states,"
        f" {found['never_shown']} never shown"
    )
    yield "  cores               " + _pairs(found["cores_by_process"])
    yield "  memory MB           " + _pairs(found["memory_mb"])
    yield "  full                " + _pairs(found["full"])


def _latency(rate: int, found: dict[str, Any]) -> Iterator[str]:
    for stage in ("committed", "frame"):
        one = found[stage]
        yield f"{rate:>6}/s → {stage:<10} p50 {one.get('p50')} p99 {one.get('p99')} max {one.get('max')} ms"
    if found["drained_s"] > 1:
        yield f"          not kept up with: the last reading was stored {found['drained_s']} s after the last was due"


def _pairs(values: dict[Any, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
