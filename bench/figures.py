"""Draws the tables and charts of the pages from the files of results: `make figures`; pure but for reading files.

Each part says when it was measured and of which commit. A part that the file does not have is left out.
"""

import argparse
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench import fault_figures, goals, overview, scale_figures
from bench.charts import Chart, number, svg
from bench.conditions import conditions, when, when_of
from bench.readme_figures import first_run, first_start, speed
from bench.stops import table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench/results.json"
FILES = {name: ROOT / f"bench/{name}.json" for name in ("stops", "overview", "soak", "faults", "first_start")}
"""Results that other commands write; one that has never run has no file."""
PAGES = (ROOT / "README.md", ROOT / "docs/performance.md", ROOT / "docs/scale.md")
CHARTS = ROOT / "docs/pictures"
BLOCK = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.figures", description=__doc__)
    parser.parse_args()
    results = measured()
    for path in PAGES:
        path.write_text(page(path.read_text(), results))
    for name, text in charts(results).items():
        (CHARTS / name).write_text(text)
    for one in goals.judged(results):
        print(f"{one.goal.name:<42}{one.goal.sign} {one.goal.value:<9g}{_WORDS[one.met].strip('*')}")


def measured() -> dict[str, Any]:
    """Everything that the files hold."""
    found: dict[str, Any] = json.loads(RESULTS.read_text())
    return found | {name: json.loads(path.read_text()) for name, path in FILES.items() if path.exists()}


def page(text: str, results: Mapping[str, Any]) -> str:
    """The page with each of its blocks drawn again."""
    return BLOCK.sub(lambda found: found[1] + TABLES[found[2]](results) + found[3], text)


def saturation(results: Mapping[str, Any]) -> str:
    """Saturation, what it is compared with, and CPU and memory by process."""
    lines = [conditions(results, "saturation"), "", "| figure | measured | commit and time |", "|---|---|---|"]
    start = results.get("rest", {})
    rows = [
        ("saturation, readings/s", results.get("saturation_per_s"), "saturation"),
        *((f"limit: {name}, messages/s", value, "limits") for name, value in results.get("limits_per_s", {}).items()),
        ("saturation to the lowest limit", ratio_to_limit(results), "limits"),
        ("the naive way, readings/s", results.get("naive_per_s"), "naive"),
        *((f"peer: {name}, readings/s", one.get("per_s"), "peers") for name, one in results.get("peers", {}).items()),
        ("first start on an empty folder, s", start.get("first_start_s"), "rest"),
        ("start, s", start.get("start_s"), "rest"),
        ("memory at rest, services and NATS, MB", start.get("memory_of_services_mb"), "rest"),
    ]
    lines += [f"| {name} | {number(value)} | {when(results, part)} |" for name, value, part in rows if value]
    if "cpu_us_per_reading" in results:
        memory = results["rss_mb"]
        lines += ["", "| process | CPU µs per reading | memory MB |", "|---|---|---|"]
        by_cpu = sorted(results["cpu_us_per_reading"].items(), key=lambda pair: -pair[1])
        lines += [f"| {name} | {value} | {memory.get(name, '–')} |" for name, value in by_cpu]
    return "\n".join(lines) + "\n"


def ratio_to_limit(results: Mapping[str, Any]) -> float | None:
    """Saturation to the lowest of the limits, where both are of one commit."""
    parts = results.get("parts", {})
    if parts.get("saturation", {}).get("commit") != parts.get("limits", {"commit": None})["commit"]:
        return None
    return round(float(results["saturation_per_s"] / min(results["limits_per_s"].values())), 2)


def latency(results: Mapping[str, Any]) -> str:
    """Percentiles at each rate."""
    lines = [f"Commit and time: {when(results, 'latency')}.", ""]
    lines += ["| readings/s | committed p50 / p99 / max ms | frame p50 / p99 / max ms | cores |", "|---|---|---|---|"]
    for rate, one in results.get("latency_ms", {}).items():
        lines.append(
            f"| {number(int(rate))} | {_three(one['committed'])} | {_three(one['frame'])} | {one['cores_used']} |"
        )
    return "\n".join(lines) + "\n"


def growth(results: Mapping[str, Any]) -> str:
    """The charts, with their figures in words as alternative text, each with its commit and time."""
    lines = []
    for one, parts in _series(results):
        lines.append(f"![{one.title}: {one.words()}](pictures/growth-{one.name}.svg)")
        said = "; ".join(dict.fromkeys(when(results, part) for part in parts))
        lines.append(f"\n{one.title}: {said}.\n")
    missing = sorted(set(_GROWTH) - {one.name for one, _ in _series(results)})
    if missing:
        lines.append(f"Not measured yet: {', '.join(f'by {name}' for name in missing)}.\n")
    return "\n".join(lines)


def bars(results: Mapping[str, Any]) -> str:
    """Each bar with its goal, and whether it was met."""
    found = results.get("bars")
    if not found:
        return "Not measured on the commit of this file: `make bench ARGS=--bars`.\n"
    broker = f"; Mosquitto {found['mosquitto']}" if found.get("mosquitto") else ""
    said = f"Commit and time: {when_of(found)}{broker}."
    lines = [said, "", "| bar | goal | measured | |", "|---|---|---|---|"]
    for one in found["bars"]:
        measured = "–" if one["measured"] is None else number(one["measured"])
        lines.append(f"| `{one['bar']}` | {one['must_be']} | {measured} | {_WORDS[one['met']]} |")
    nats = found.get("nats_as_broker")
    if nats:
        frame, cpu = nats["at_500_ms"]["frame"], sum(nats["cpu_us_per_reading"].values())
        said = f"{number(nats['per_s'])} readings/s at {number(round(cpu))} µs CPU each"
        late = f"at 500/s a frame's p50 is {frame['p50']} ms, p99 {frame['p99']}"
        lines += ["", f"With NATS as the MQTT broker: {said}; {late}."]
    return "\n".join(lines) + "\n"


def stops(results: Mapping[str, Any]) -> str:
    """How long a stop of everything takes to the last device, alone and under each flood."""
    found = results.get("stops")
    if not found:
        return "Not measured on a quiet machine yet.\n"
    said = f"Commit and time: {when_of(found)}; load average before {_load(found)}."
    what = f"{number(found['devices'])} devices, medians of {found['presses']} presses."
    return f"{said} {what}\n\n{table(found['stops'])}"


def overview_table(results: Mapping[str, Any]) -> str:
    """How long the overview of many sensors takes."""
    found = results.get("overview")
    if not found:
        return "Not measured on a quiet machine yet.\n"
    said = f"Commit and time: {when_of(found)}; load average before {_load(found)}."
    asked = f"{found['requests']} requests one by one, {found['size_mb']} MB each"
    what = f"{number(found['sensors'])} sensors with a day each, {asked}."
    return f"{said} {what}\n\n{overview.table(found)}"


def _load(found: Mapping[str, Any]) -> str:
    return " / ".join(f"{value:g}" for value in found["machine"]["load_before"])


def goals_table(results: Mapping[str, Any]) -> str:
    """Each goal of a part, and whether it was met."""
    lines = ["| figure | goal | measured | | commit and time |", "|---|---|---|---|---|"]
    for one in goals.judged(results):
        found = "–" if one.measured is None else number(one.measured)
        said = "" if one.measured is None else _of_goal(results, one.goal.part)
        lines.append(
            f"| `{one.goal.name}` | {one.goal.sign} {one.goal.value:g} | {found} | {_WORDS[one.met]} | {said} |"
        )
    return "\n".join(lines) + "\n"


def _of_goal(results: Mapping[str, Any], part: str) -> str:
    return "[fault trials](#fault-trials)" if part == "faults" else when(results, part)


def soak(results: Mapping[str, Any]) -> str:
    """The memory of each process at the start and at the end."""
    found = results.get("soak")
    if not found:
        return "Not run yet.\n"
    beside = " beside the demo factory" if found.get("factory") else ""
    said = (
        f"{found['minutes']:g} minutes at {number(found['rate_per_s'])} readings/s{beside}: {number(found['readings'])}"
    )
    lines = [f"{said} readings, each of them stored. Commit and time: {when_of(found)}.", ""]
    lines += ["| process | MB after the warm-up | MB at the end | growth |", "|---|---|---|---|"]
    for name, one in found["processes"].items():
        grew = f"**{one['growth']:+.1%}**" if name in found["grew"] else f"{one['growth']:+.1%}"
        lines.append(f"| {name} | {one['first_mb']} | {one['last_mb']} | {grew} |")
    return "\n".join(lines) + "\n"


def faults(results: Mapping[str, Any]) -> str:
    """The trials by kind."""
    return fault_figures.table(results.get("faults", {}))


def cost(results: Mapping[str, Any]) -> str:
    """CPU of a million readings, of docs/scale.md."""
    if "bars" not in results:
        return "Not measured yet.\n"
    return (
        f"From the [bars](performance.md#bars) of {when_of(results['bars'])}.\n\n{scale_figures.cost(results['bars'])}"
    )


def cores(results: Mapping[str, Any]) -> str:
    """Cores of each size, of docs/scale.md."""
    if "bars" not in results:
        return "Not measured yet.\n"
    latencies = results.get("latency_ms", {})
    said = f"From the [bars](performance.md#bars) of {when_of(results['bars'])}"
    said += f", and the [latencies](performance.md#latency) of {when(results, 'latency')}" if latencies else ""
    return f"{said}.\n\n{scale_figures.cores(results['bars'], latencies)}"


def cluster(results: Mapping[str, Any]) -> str:
    """NATS with three replicas, of docs/scale.md."""
    if "cluster" not in results:
        return 'Not measured on a quiet machine yet: `make bench ARGS="--only cluster"`.\n'
    said = f"{conditions(results, 'cluster').partition(';')[0]}. Commit and time: {when(results, 'cluster')}."
    return f"{said}\n\n{scale_figures.cluster(results['cluster'])}"


TABLES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "saturation": saturation,
    "latency": latency,
    "growth": growth,
    "bars": bars,
    "goals": goals_table,
    "stops": stops,
    "overview": overview_table,
    "soak": soak,
    "faults": faults,
    "speed": speed,
    "first-start": first_start,
    "first-run": first_run,
    "cluster": cluster,
    "cost": cost,
    "cores": cores,
}
_WORDS = {True: "met", False: "**missed**", None: "not measured"}


def charts(results: Mapping[str, Any]) -> dict[str, str]:
    """Each chart of growth as SVG, by its file's name."""
    return {f"growth-{one.name}.svg": svg(one) for one, _ in _series(results)}


_GROWTH: Mapping[str, tuple[str, str, str, tuple[str, ...]]] = {
    "devices": ("Saturation by number of devices", "devices", "readings/s", ("growth-devices",)),
    "rows": ("Saturation by rows already stored", "rows", "readings/s", ("growth-rows", "growth-rows-100m")),
    "clients": ("Frames at 500 readings/s by WebSocket clients", "clients", "ms, p99", ("growth-clients",)),
    "rules": ("Frames at 1,000 readings/s by rules", "rules", "ms, p99", ("acting-rules",)),
    "alarms": ("Frames at 1,000 readings/s by open alarms", "open alarms", "ms, p99", ("acting-alarms",)),
}
"""Title, axes and parts of each chart."""


def _series(results: Mapping[str, Any]) -> list[tuple[Chart, list[str]]]:
    """The charts that have figures, each with the parts that measured them."""
    found, acting = results.get("growth", {}), results.get("acting", {})
    most = found.get("per_s_at_100m_rows")
    points: dict[str, Mapping[str, float]] = {
        "devices": found.get("per_s_by_devices", {}),
        "rows": found.get("per_s_by_rows", {}) | ({"100000000": most} if most else {}),
        "clients": _p99(found, "latency_ms_by_clients"),
        "rules": _p99(acting, "by_rules"),
        "alarms": _p99(acting, "by_alarms"),
    }
    measured_parts = results.get("parts", {})
    return [
        (
            Chart(name, title, x, y, [(float(at), float(value)) for at, value in points[name].items()]),
            [part for part in parts if part in measured_parts],
        )
        for name, (title, x, y, parts) in _GROWTH.items()
        if points[name]
    ]


def _p99(found: Mapping[str, Any], name: str) -> dict[str, float]:
    return {many: one["frame"]["p99"] for many, one in found.get(name, {}).items() if "p99" in one["frame"]}


def _three(found: Mapping[str, float]) -> str:
    return " / ".join(str(found.get(name, "–")) for name in ("p50", "p99", "max"))


if __name__ == "__main__":
    main()
