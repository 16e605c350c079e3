"""bench/results.json: the figures of each part, when they were measured, of which commit and on which machine.

A run measures some parts. It puts their figures in the place of the earlier ones of the same parts, and leaves those of
all others as they are, with their own commit and time.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

OWNS: Mapping[str, tuple[str, ...]] = {
    "saturation": ("services", "saturation_per_s", "cpu_us_per_reading", "rss_mb", "saturation_runs"),
    "limits": ("limits_per_s",),
    "latency": ("latency_ms",),
    "naive": ("naive_per_s",),
    "peers": ("peers",),
    "growth-devices": ("growth.per_s_by_devices",),
    "growth-clients": ("growth.latency_ms_by_clients",),
    "growth-rows": ("growth.per_s_by_rows", "growth.bytes_per_row"),
    "growth-rows-100m": ("growth.per_s_at_100m_rows",),
    "acting-rules": ("acting.by_rules",),
    "acting-alarms": ("acting.by_alarms",),
    "observed": ("observed",),
    "factory": ("factory",),
    "rest": ("rest",),
    "cluster": ("cluster",),
}
"""The places of each part in the file; a dot leads into an object."""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "growth": ("growth-devices", "growth-clients", "growth-rows", "growth-rows-100m"),
    "acting": ("acting-rules", "acting-alarms"),
}
"""Several parts by one name."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """The circumstances of a measurement. machine: as `processes.machine` gives it, with Mosquitto's version."""

    commit: str
    machine: Mapping[str, Any]
    quick: bool = False
    note: str = ""


def chosen(names: list[str]) -> list[str]:
    """The parts of these names, in the order in which they run."""
    wanted = {part for name in names for part in GROUPS.get(name, (name,))}
    return [part for part in OWNS if part in wanted]


def read(path: Path) -> dict[str, Any]:
    """The results of earlier runs; empty where there are none."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def write(path: Path, results: Mapping[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")


def with_part(results: dict[str, Any], part: str, found: Mapping[str, Any], stamp: Stamp) -> dict[str, Any]:
    """The results with what a part has measured, by its places. A place that it has not measured now is emptied: no
    part has figures of two runs."""
    results = json.loads(json.dumps(results))
    assert set(found) <= set(OWNS[part]), f"{part} does not own {sorted(set(found) - set(OWNS[part]))}"
    for place in OWNS[part]:
        _put(results, place, found.get(place))
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    results.setdefault("parts", {})[part] = {"at": at, **asdict(stamp)}
    return results


def _put(results: dict[str, Any], place: str, value: Any) -> None:
    *outer, last = place.split(".")
    for name in outer:
        results = results.setdefault(name, {})
    if value is None:
        results.pop(last, None)
    else:
        results[last] = json.loads(json.dumps(value))  # keys as they are read again
