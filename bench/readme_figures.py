"""The few figures of the README: how fast it is, and what a new installation takes; pure."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from bench.charts import number
from bench.conditions import conditions, when_of


def first_start(results: Mapping[str, Any]) -> str:
    """A new installation, of docs/performance.md."""
    found = results["first_start"]
    lines = [conditions(results, "first_start"), f"Commit and time: {when_of(found)}.", ""]
    lines += ["| figure | measured |", "|---|---|"]
    lines += [
        f"| `make install` in a fresh clone | {found['install_s']:g} s |",
        f"| `.venv` afterwards | {found['venv_mb']:g} MB |",
        f"| `make run` on an empty state folder, until ready | {found['ready_s']:g} s |",
        "| memory (RSS) of its processes with the demo, after four minutes; shared pages count in each |"
        f" {found['memory_mb']:g} MB |",
    ]
    return "\n".join(lines) + "\n"


def first_run(results: Mapping[str, Any]) -> str:
    """The same in the words of the README."""
    found = results["first_start"]
    return (
        f"The first `make run` installs everything into `.venv`, the database and the message bus included:"
        f" {found['install_s']:g} s and {found['venv_mb']:g} MB on\ntwo busy cores; then it is ready after"
        f" {found['ready_s']:.0f} s, and takes {round(found['memory_mb'], -2):.0f} MB of memory with the demo"
        " ([measured](docs/performance.md#the-first-start)).\n"
    )


def speed(results: Mapping[str, Any]) -> str:
    """The few figures of the README, from the bars: they are measured side by side."""
    found = results.get("bars")
    if not found:
        return "Not measured yet.\n"
    ratios, alone = found["ratios"], found["lone_ms"]["frame"]
    rows = [
        ("readings/s, from the first publish to the last commit", number(ratios["saturation_per_s"])),
        ("CPU of a reading then, with the load generator", f"{ratios['cpu_us_per_reading']:g} µs"),
        ("a lone reading, from the device to the browser", f"{alone['p50']:g} ms (p50)"),
        ("a reading at 500/s, the same way", f"{ratios['frame_p99_ms_at_500']:g} ms (p99)"),
        ("the simplest design, a callback and an INSERT each", f"{number(median(found['naive_per_s']))} readings/s"),
    ]
    lines = [f"| {conditions(results, 'bars').partition(';')[0]} | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows]
    said = f"Everything on one machine, the load generator too. {when_of(found)}"
    return (
        "\n".join([*lines, "", f"{said}; [all figures, slower hours and missed goals](docs/performance.md#results)."])
        + "\n"
    )
