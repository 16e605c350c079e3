"""How fast stops are at the devices, as `make speed` measures it: the table, and bench/stops.json."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import processes
from bench.commit import commit_of

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Stop:
    """Medians of the presses under a flood, ms from the request: to its answer, and to the last device by the broadcast
    and by its own message. goal_ms: for each of these two."""

    flood: str
    broadcast_ms: float
    own_ms: float
    answer_ms: float
    goal_ms: int


def table(stops: Sequence[Mapping[str, Any]]) -> str:
    """A line for each flood, in Markdown."""
    lines = ["| flood | broadcast, ms | own message, ms | goal of both | answer, ms |", "|---|---|---|---|---|"]
    for stop in stops:
        met = "met" if max(stop["broadcast_ms"], stop["own_ms"]) < stop["goal_ms"] else "**missed**"
        times = [f"{stop[name]:.0f}" for name in ("broadcast_ms", "own_ms", "answer_ms")]
        flood = stop["flood"].replace("_", " ")
        lines.append(f"| {flood} | {times[0]} | {times[1]} | < {stop['goal_ms']}, {met} | {times[2]} |")
    return "\n".join(lines) + "\n"


def results(stops: Sequence[Stop], devices: int, presses: int) -> dict[str, Any]:
    """The results of a run, with commit, time and machine."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit_of(ROOT),
        "machine": processes.machine(),
        "devices": devices,
        "presses": presses,
        "stops": [asdict(stop) for stop in stops],
    }


def write(path: Path, found: Mapping[str, Any]) -> None:
    """Put a run in the place of the earlier one."""
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
