"""Judges what the parts of the bench measured by their goals; pure. The bars have their own in `bench.bars`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.overview import GOAL_MS

Results = Mapping[str, Any]
"""As `bench.figures.measured` reads them: bench/results.json, with `overview`, `soak` and `faults` from their own
files."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound for a figure. part: the name under which the results say when it was measured. measured: None where the
    results do not have it."""

    name: str
    part: str
    sign: str
    value: float
    measured: Callable[[Results], float | None]


@dataclass(frozen=True, slots=True)
class JudgedGoal:
    """A goal with its figure; `met` is None where there is none."""

    goal: Goal
    measured: float | None
    met: bool | None


def judged(results: Results) -> list[JudgedGoal]:
    """Every goal, in the order in which they are listed."""
    return [_judged(goal, results) for goal in GOALS]


def _judged(goal: Goal, results: Results) -> JudgedGoal:
    value = goal.measured(results)
    if value is None:
        return JudgedGoal(goal, None, None)
    met = {"≥": value >= goal.value, "≤": value <= goal.value, "<": value < goal.value}[goal.sign]
    return JudgedGoal(goal, value, met)


def _at(*path: str) -> Callable[[Results], float | None]:
    """The figure at a place of the results."""

    def of(results: Results) -> float | None:
        found: Any = results
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return None if found is None else float(found)

    return of


def _lowest_to_first(*path: str) -> Callable[[Results], float | None]:
    """The slowest of the points of a growth as a share of its first."""

    def of(results: Results) -> float | None:
        points = list(_points(results, path))
        return round(min(points) / points[0], 3) if len(points) > 1 else None

    return of


def _points(results: Results, path: tuple[str, ...]) -> Iterator[float]:
    found: Any = results
    for name in path:
        found = found.get(name, {})
    yield from (float(value) for value in found.values())


def _rows_to_100m(results: Results) -> float | None:
    growth = results.get("growth", {})
    first, most = growth.get("per_s_by_rows", {}).get("1000000"), growth.get("per_s_at_100m_rows")
    return round(float(most / first), 3) if first and most else None


def _clients(results: Results) -> float | None:
    """Frame p99 with a hundred clients as a multiple of that with one."""
    found = results.get("growth", {}).get("latency_ms_by_clients", {})
    one, hundred = (found.get(clients, {}).get("frame", {}).get("p99") for clients in ("1", "100"))
    return round(float(hundred / one), 2) if one and hundred else None


def _most_growth(results: Results) -> float | None:
    """Of a process, in percent."""
    processes = results.get("soak", {}).get("processes", {}).values()
    counted = [one["growth"] for one in processes if one["last_mb"] - one["first_mb"] > _LEAST_COUNTED_MB]
    return round(100 * float(max(counted, default=0.0)), 1) if processes else None


def _longest_recovery_s(results: Results) -> float | None:
    """Of a fault trial; a backlog is worked off for longer, at a speed that has a bar of its own."""
    trials = results.get("faults", {}).get("trials", [])
    found = [
        float(one["recovered_in_s"]) for one in trials if one.get("recovered_in_s") and "backlog" not in one["name"]
    ]
    return max(found, default=None)


_LEAST_COUNTED_MB = 1.0
"""As in `bench.soak`: Mosquitto has 4 MB in all."""

GOALS: tuple[Goal, ...] = (
    Goal("saturation.readings_per_s", "saturation", "≥", 20_000, _at("saturation_per_s")),
    Goal("saturation.nats_mb", "saturation", "≤", 350, _at("rss_mb", "nats")),
    Goal("latency.frame_p99_ms_at_500", "latency", "<", 15, _at("latency_ms", "500", "frame", "p99")),
    Goal("latency.committed_p99_ms_at_500", "latency", "<", 50, _at("latency_ms", "500", "committed", "p99")),
    Goal("latency.committed_p99_ms_at_5000", "latency", "<", 250, _at("latency_ms", "5000", "committed", "p99")),
    Goal("latency.cores_at_500", "latency", "<", 0.7, _at("latency_ms", "500", "cores_used")),
    Goal(
        "growth.lowest_to_first_by_devices", "growth-devices", "≥", 0.9, _lowest_to_first("growth", "per_s_by_devices")
    ),
    Goal("growth.lowest_to_first_by_rows", "growth-rows", "≥", 0.9, _lowest_to_first("growth", "per_s_by_rows")),
    Goal("growth.100m_rows_to_1m", "growth-rows-100m", "≥", 0.9, _rows_to_100m),
    Goal("growth.frame_p99_of_100_clients_to_one", "growth-clients", "≤", 1.5, _clients),
    Goal("observed.cost_of_saturation", "observed", "≤", 0.1, _at("observed", "costs")),
    Goal("factory.event_p99_ms", "factory", "<", 50, _at("factory", "event_ms", "p99")),
    Goal("factory.memory_mb", "factory", "≤", 150, _at("factory", "memory_mb", "full")),
    Goal("overview.median_ms", "overview", "≤", GOAL_MS, _at("overview", "median_ms")),
    Goal("rest.memory_mb", "rest", "≤", 450, _at("rest", "memory_of_services_mb")),
    Goal("soak.most_growth_percent", "soak", "≤", 3, _most_growth),
    Goal("faults.longest_recovery_s", "faults", "≤", 15, _longest_recovery_s),
)
