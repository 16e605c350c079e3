"""The figures of docs/scale.md: what a million readings cost, the cores of each size, a NATS cluster; pure.

The first two come from the bars, which measure CPU by process at saturation and at 500 readings a second in one run.
"""

from collections.abc import Mapping
from statistics import median
from typing import Any

READING_EVERY_S = 5.0
"""Of a device."""
SPARE = 2
"""So that a backlog is worked off at the speed at which it grew."""
READINGS_A_PACK = 100
"""Of the packs of `bench.cluster`."""
SIZES = (1_000, 10_000, 100_000, 1_000_000)
_NOT_OF_THE_LINE = "load_generator"


def cost(bars: Mapping[str, Any]) -> str:
    """CPU seconds of a million readings, by process, at saturation and at 500 a second."""
    fast, slow = at_saturation(bars), at_500(bars)
    lines = [
        "| process | CPU seconds of a million readings at saturation | at 500 readings/s |",
        "|---|---|---|",
        f"| all, without the load generator | {sum(fast.values()):.0f} | {sum(slow.values()):,.0f} |",
    ]
    lines += [
        f"| {name} | {fast[name]:.1f} | {slow[name]:,.0f} |" for name in sorted(fast, key=lambda name: -fast[name])
    ]
    return "\n".join(lines) + "\n"


def cores(bars: Mapping[str, Any], latencies: Mapping[str, Any]) -> str:
    """Cores of the line for each number of devices. latencies: what was measured, by readings a second."""
    at_500, at_2000 = (latencies.get(rate, {}).get("cores_used") for rate in ("500", "2000"))
    found = (
        ("–", "not measured at 500/s") if at_500 is None else (f"under {at_500:g}", "measured at 500/s"),
        ("–", "not measured at 2,000/s") if at_2000 is None else (f"{at_2000:g}", "measured at 2,000/s"),
        (_calculated(bars, SIZES[2]), f"CPU of a reading at saturation, × {SPARE}"),
        (_calculated(bars, SIZES[3]), f"CPU of a reading at saturation, × {SPARE}"),
    )
    lines = ["| devices | readings/s | cores of the line | from |", "|---|---|---|---|"]
    for devices, said in zip(SIZES, found, strict=True):
        lines.append(f"| {devices:,} | {devices / READING_EVERY_S:,.0f} | {' | '.join(said)} |")
    return "\n".join(lines) + "\n"


def cluster(found: Mapping[str, Any]) -> str:
    """A NATS cluster of three on one machine, by replicas of the stream."""
    lines = ["| replicas | packs/s | readings/s | one pack alone, ms (p50) | CPU of the three servers, µs a pack |"]
    lines += ["|---|---|---|---|---|"]
    for replicas, one in found.items():
        cells = [replicas, f"{one['packs_per_s']:,}", f"{one['packs_per_s'] * READINGS_A_PACK:,}"]
        lines.append(f"| {' | '.join([*cells, str(one['alone_p50_ms']), str(one['cpu_us_per_pack'])])} |")
    return "\n".join(lines) + "\n"


def _calculated(bars: Mapping[str, Any], devices: int) -> str:
    return f"{SPARE * devices / READING_EVERY_S * sum(at_saturation(bars).values()) / 1e6:.2g}"


def at_saturation(bars: Mapping[str, Any]) -> dict[str, float]:
    """µs of a reading by process: medians of the runs."""
    return _middle([run["cpu_us_per_reading"] for run in bars["saturation_runs"]])


def at_500(bars: Mapping[str, Any]) -> dict[str, float]:
    """µs of a reading by process at 500 a second with one client: medians of the runs."""
    return _middle([run["cpu_us_per_reading"] for run in bars["at_500_ms_by_clients"]["1"]])


def _middle(runs: list[Mapping[str, float]]) -> dict[str, float]:
    return {name: median(run[name] for run in runs) for name in runs[0] if name != _NOT_OF_THE_LINE}
