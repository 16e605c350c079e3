"""Limits for the handler framework (FastStream): this commit and an older one, measured in turns in one run.

`python -m bench.frame --older DIR`: about twelve minutes on an otherwise idle machine. `--only rpc memory` can run
beside other work: then compare the two commits with each other, because both are measured under the same load.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from harness import ROOT

from bench import processes
from bench.bars import middle

PARTS = ("start", "memory", "rpc", "latency", "saturation")
_FIGURES = Path(__file__).with_name("frame_figures.py")
_WITHIN_S = 900.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.frame", description=__doc__)
    parser.add_argument("--older", type=Path, required=True, help="a worktree of another commit, after `make install`")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--turns", type=int, default=2, help="how often both are measured")
    parser.add_argument("--results", type=Path, help="a file for all that was measured")
    arguments = parser.parse_args()
    found: dict[str, Any] = {"machine": processes.machine(), "older": [], "this": []}
    for _ in range(arguments.turns):
        for name, folder in (("older", arguments.older), ("this", ROOT)):
            found[name].append(figures(folder.resolve(), arguments.only, quick=arguments.quick))
            if arguments.results:
                arguments.results.write_text(json.dumps(found, indent=2) + "\n")
    print("\n".join(table(found)))


def figures(folder: Path, parts: tuple[str, ...], *, quick: bool) -> dict[str, Any]:
    """The figures of one commit, measured with its own Python."""
    sources = [*folder.glob("libs/*/src"), *folder.glob("services/*/src"), *folder.glob("tools/*/src")]
    older = (folder / "tests" / "integration", folder / "libs" / "common" / "tests" / "support")
    paths = [folder, folder / "tests" / "support", *older, *sources]
    said = subprocess.run(
        [folder / ".venv/bin/python", _FIGURES, "--only", *parts, *(["--quick"] if quick else [])],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        stdout=subprocess.PIPE,
        text=True,
        timeout=_WITHIN_S,
        check=True,
    )
    measured: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return measured


def table(found: dict[str, Any]) -> list[str]:
    """Each gate with the figure before and now: of several turns the median."""
    lines = [f"{'':<34}{'older':>10}{'this':>10}   gate"]
    for name, path, gate in _ROWS:
        older, this = (_figure(found[side], path) for side in ("older", "this"))
        if this is not None:
            lines.append(f"{name:<34}{older if older is not None else '-':>10}{this:>10}   {gate}")
    memory = [_memory(found[side]) for side in ("older", "this")]
    for name in sorted(memory[1]):
        before = memory[0].get(name)
        more = f"{memory[1][name] - before:+.1f}" if before is not None else "new"
        lines.append(f"memory MB {name:<24}{before if before is not None else '-':>10}{memory[1][name]:>10}   {more}")
    return lines


_ROWS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("RPC p50 ms", ("rpc", "ms", "p50"), "≤ 0.7"),
    ("RPC p99 ms", ("rpc", "ms", "p99"), ""),
    ("CPU µs of an answer", ("rpc", "cpu_us"), ""),
    ("RPC to actuator, p50 ms", ("rpc", "actuator_ms", "p50"), "≤ 0.7"),
    ("first start s", ("first_start_s",), ""),
    ("start s", ("start_s",), "≤ 8"),
    ("500/s: frame p50 ms", ("at_500_ms", "frame", "p50"), ""),
    ("500/s: frame p99 ms", ("at_500_ms", "frame", "p99"), "≤ older + 1"),
    ("500/s: committed p99 ms", ("at_500_ms", "committed", "p99"), ""),
    ("500/s: cores", ("at_500_ms", "cores_used"), ""),
    ("saturation per s", ("saturation_per_s",), "≥ 0.97 of older"),
)


def _figure(turns: list[dict[str, Any]], path: tuple[str, ...]) -> Any:
    values: list[Any] = []
    for turn in turns:
        value: Any = turn
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            values += value if isinstance(value, list) else [value]
    return middle(values) if values else None


def _memory(turns: list[dict[str, Any]]) -> dict[str, float]:
    found = [turn["memory_mb"] for turn in turns if "memory_mb" in turn]
    return {name: middle([each[name] for each in found if name in each]) for name in (found[0] if found else ())}


if __name__ == "__main__":
    main()
