"""The time that the overview takes, as `make speed` measures it: the table, and bench/overview.json."""

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import processes
from bench.commit import commit_of

ROOT = Path(__file__).resolve().parents[1]
GOAL_MS = 100
"""Of the median."""
P95_RATIO = 3
"""Nineteen of twenty answers take at most so many times the median."""


def results(took_ms: Sequence[float], sensors: int, size_bytes: int) -> dict[str, Any]:
    """The results of a run, with commit, time and machine. took_ms: of each request, whole; two at least."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit_of(ROOT),
        "machine": processes.machine(),
        "sensors": sensors,
        "requests": len(took_ms),
        "size_mb": round(size_bytes / 1e6, 2),
        "median_ms": round(statistics.median(took_ms), 1),
        "p95_ms": round(statistics.quantiles(took_ms, n=20)[-1], 1),
        "goal_ms": GOAL_MS,
        "goal_ratio": P95_RATIO,
    }


def table(found: Mapping[str, Any]) -> str:
    """The median and the 95th percentile with their goals, in Markdown."""
    median, p95, ratio = found["median_ms"], found["p95_ms"], found["goal_ratio"]
    rows = (
        ("median, ms", median, f"≤ {found['goal_ms']}", median <= found["goal_ms"]),
        ("95th percentile, ms", p95, f"≤ {ratio} times the median", p95 <= ratio * median),
    )
    lines = ["| figure | measured | goal | |", "|---|---|---|---|"]
    lines += [f"| {name} | {value:g} | {goal} | {'met' if met else '**missed**'} |" for name, value, goal, met in rows]
    return "\n".join(lines) + "\n"
