"""Draws docs/performance.md's tables and charts from bench/results.json and bench/stops.json: `make figures`; pure but
for reading files.

Each part says when it was measured and of which commit. A part that the file does not have is left out.
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.stops import table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench/results.json"
STOPS = ROOT / "bench/stops.json"
"""Written by `make speed`; there is none before the first run on a quiet machine."""
PAGE = ROOT / "docs/performance.md"
CHARTS = ROOT / "docs/pictures"
_BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)

Points = Sequence[tuple[float, float]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.figures", description=__doc__)
    parser.parse_args()
    results = measured()
    PAGE.write_text(page(PAGE.read_text(), results))
    for name, text in charts(results).items():
        (CHARTS / name).write_text(text)


def measured() -> dict[str, Any]:
    """Everything that the files hold; `stops` where there is a file of stops."""
    found: dict[str, Any] = json.loads(RESULTS.read_text())
    return found | ({"stops": json.loads(STOPS.read_text())} if STOPS.exists() else {})


def page(text: str, results: Mapping[str, Any]) -> str:
    """The page with each of its blocks drawn again."""
    return _BLOCK.sub(lambda found: found[1] + _TABLES[found[2]](results) + found[3], text)


def when(results: Mapping[str, Any], part: str) -> str:
    """Commit and time of a part."""
    said = results.get("parts", {}).get(part, results)
    return f"{said.get('commit', '?')}, {said.get('at', '?')[:16].replace('T', ' ')} UTC"


def conditions(results: Mapping[str, Any]) -> str:
    """The machine and the circumstances of a measurement, in words."""
    machine = results["machine"]
    note = f"; {results['note']}" if results.get("note") else ""
    quick = "; the quick form, for a first look" if results.get("quick") else ""
    said = f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']} GB"
    return f"{said}, broker, bus, database, services and load generator on one machine{note}{quick}."


def saturation(results: Mapping[str, Any]) -> str:
    """Saturation, what it is compared with, and CPU and memory by process."""
    lines = [conditions(results), "", "| figure | measured | commit and time |", "|---|---|---|"]
    rows = [
        ("saturation, readings/s", results.get("saturation_per_s"), "saturation"),
        *((f"limit: {name}, messages/s", value, "limits") for name, value in results.get("limits_per_s", {}).items()),
        ("saturation to the lowest limit", results.get("ratio_to_limit"), "limits"),
        ("the naive way, readings/s", results.get("naive_per_s"), "naive"),
        *((f"peer: {name}, readings/s", one.get("per_s"), "peers") for name, one in results.get("peers", {}).items()),
        ("first start on an empty folder, s", results.get("rest", {}).get("first_start_s"), "rest"),
        ("start, s", results.get("rest", {}).get("start_s"), "rest"),
        ("memory at rest, services and NATS, MB", results.get("rest", {}).get("memory_of_services_mb"), "rest"),
    ]
    lines += [f"| {name} | {_number(value)} | {when(results, part)} |" for name, value, part in rows if value]
    if "cpu_us_per_reading" in results:
        memory = results["rss_mb"]
        lines += ["", "| process | CPU µs per reading | memory MB |", "|---|---|---|"]
        by_cpu = sorted(results["cpu_us_per_reading"].items(), key=lambda pair: -pair[1])
        lines += [f"| {name} | {value} | {memory.get(name, '–')} |" for name, value in by_cpu]
    return "\n".join(lines) + "\n"


def latency(results: Mapping[str, Any]) -> str:
    """Percentiles at each rate."""
    lines = [f"Commit and time: {when(results, 'latency')}.", ""]
    lines += ["| readings/s | committed p50 / p99 / max ms | frame p50 / p99 / max ms | cores |", "|---|---|---|---|"]
    for rate, one in results.get("latency_ms", {}).items():
        lines.append(
            f"| {_number(int(rate))} | {_three(one['committed'])} | {_three(one['frame'])} | {one['cores_used']} |"
        )
    return "\n".join(lines) + "\n"


def growth(results: Mapping[str, Any]) -> str:
    """The charts, with their figures in words as alternative text."""
    lines = [f"Commit and time: {when(results, 'growth')}.", ""]
    for name, title, _, points in _series(results):
        said = ", ".join(f"{_number(x)}: {_number(y)}" for x, y in points)
        lines.append(f"![{title}: {said}](pictures/growth-{name}.svg)\n")
    return "\n".join(lines)


def bars(results: Mapping[str, Any]) -> str:
    """Each bar with its goal, and whether it was met."""
    found = results.get("bars")
    if not found:
        return "Not measured on the commit of this file: `make bench ARGS=--bars`.\n"
    words = {True: "met", False: "**missed**", None: "not measured"}
    broker = f"; Mosquitto {found['mosquitto']}" if found.get("mosquitto") else ""
    said = f"Commit and time: {when({'parts': {'bars': found}}, 'bars')}{broker}."
    lines = [said, "", "| bar | goal | measured | |", "|---|---|---|---|"]
    for one in found["bars"]:
        measured = "–" if one["measured"] is None else _number(one["measured"])
        lines.append(f"| `{one['bar']}` | {one['must_be']} | {measured} | {words[one['met']]} |")
    nats = found.get("nats_as_broker")
    if nats:
        frame, cpu = nats["at_500_ms"]["frame"], sum(nats["cpu_us_per_reading"].values())
        said = f"{_number(nats['per_s'])} readings/s at {_number(round(cpu))} µs CPU each"
        late = f"at 500/s a frame's p50 is {frame['p50']} ms, p99 {frame['p99']}"
        lines += ["", f"With NATS as the MQTT broker: {said}; {late}."]
    return "\n".join(lines) + "\n"


def stops(results: Mapping[str, Any]) -> str:
    """How long a stop of everything takes to the last device, alone and under each flood."""
    found = results.get("stops")
    if not found:
        return "Not measured on a quiet machine yet.\n"
    said = f"Commit and time: {when({'parts': {'stops': found}}, 'stops')}; load average before {_load(found)}."
    what = f"{_number(found['devices'])} devices, medians of {found['presses']} presses."
    return f"{said} {what}\n\n{table(found['stops'])}"


def _load(found: Mapping[str, Any]) -> str:
    return " / ".join(f"{value:g}" for value in found["machine"]["load_before"])


_TABLES = {"saturation": saturation, "latency": latency, "growth": growth, "bars": bars, "stops": stops}


def charts(results: Mapping[str, Any]) -> dict[str, str]:
    """Each chart of growth as SVG, by its file's name."""
    return {f"growth-{name}.svg": chart(title, unit, points) for name, title, unit, points in _series(results)}


def _series(results: Mapping[str, Any]) -> list[tuple[str, str, str, Points]]:
    found, acting = results.get("growth", {}), results.get("acting", {})
    simple = [
        ("devices", "readings/s by number of devices", "readings/s", found.get("per_s_by_devices")),
        ("rows", "readings/s by rows already stored", "readings/s", found.get("per_s_by_rows")),
        ("clients", "frame p99 in ms by WebSocket clients, 500 readings/s", "ms", _p99(found, "latency_ms_by_clients")),
        ("rules", "frame p99 in ms by rules, 1,000 readings/s", "ms", _p99(acting, "by_rules")),
        ("alarms", "frame p99 in ms by open alarms, 1,000 readings/s", "ms", _p99(acting, "by_alarms")),
    ]
    return [
        (name, title, unit, [(float(x), float(y)) for x, y in values.items()])
        for name, title, unit, values in simple
        if values
    ]


def _p99(found: Mapping[str, Any], name: str) -> dict[str, float]:
    return {number: one["frame"]["p99"] for number, one in found.get(name, {}).items()}


_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 560, 220, 70, 34, 34


def chart(title: str, unit: str, points: Points) -> str:
    """A bar for each point, from zero; its value above it. Bars, as there are three or four points."""
    most = max(y for _, y in points) or 1.0
    step = (_WIDTH - _LEFT - 16) / len(points)
    high = _HEIGHT - _BOTTOM - _TOP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}"'
        ' font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="16" y="20" font-size="14" font-weight="600" fill="#1f2933">{title}</text>',
        f'<text x="16" y="{_TOP + 20}" fill="#52606d">{unit}</text>',
        f'<line x1="{_LEFT}" x2="{_WIDTH - 16}" y1="{_HEIGHT - _BOTTOM}" y2="{_HEIGHT - _BOTTOM}" stroke="#9aa5b1"/>',
    ]
    for place, (x, y) in enumerate(points):
        middle = _LEFT + step * (place + 0.5)
        height = round(y / most * (high - 20), 1)
        top = _HEIGHT - _BOTTOM - height
        parts += [
            f'<rect x="{middle - step * 0.3:.1f}" y="{top:.1f}" width="{step * 0.6:.1f}" height="{height}"'
            ' fill="#2f6fb0"/>',
            f'<text x="{middle:.1f}" y="{top - 5:.1f}" text-anchor="middle" fill="#1f2933">{_number(y)}</text>',
            f'<text x="{middle:.1f}" y="{_HEIGHT - 12}" text-anchor="middle" fill="#52606d">{_number(x)}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _three(found: Mapping[str, float]) -> str:
    return " / ".join(str(found.get(name, "–")) for name in ("p50", "p99", "max"))


def _number(value: float | Sequence[float]) -> str:
    if isinstance(value, Sequence):
        return " to ".join(_number(each) for each in (min(value), max(value))) if value else "–"
    return f"{value:,.0f}" if value == int(value) else f"{value:,}"


if __name__ == "__main__":
    main()
