"""Collects the verdicts that `make faults` left in .faults into bench/faults.json: `python -m bench.faults`."""

import argparse
import json
from pathlib import Path
from typing import Any

from harness import ROOT

from bench import processes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument("--verdicts", type=Path, default=ROOT / ".faults", help="folder of the verdicts")
    parser.add_argument("--since", default="", metavar="TIME", help="of trials begun then or later: 2026-01-31T14:00Z")
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "faults.json")
    arguments = parser.parse_args()
    verdicts = [json.loads(path.read_text()) for path in sorted(arguments.verdicts.glob("*.json"))]
    trials = sorted(
        (summary(one) for one in verdicts if one["started_at"] >= arguments.since), key=lambda trial: str(trial["at"])
    )
    machine = {name: value for name, value in processes.machine().items() if name != "load_before"}
    arguments.results.write_text(json.dumps({"machine": machine, "trials": trials}, indent=1) + "\n")
    broken = [trial["name"] for trial in trials if trial["broken"]]
    print(f"{len(trials)} trials, {len(broken)} of them broken{': ' if broken else ''}{', '.join(map(str, broken))}")


def summary(verdict: dict[str, Any]) -> dict[str, object]:
    """One trial in figures: the messages sent, their fates, and the longest recovery (s)."""
    judgement = verdict["judgement"]
    counts = ("sent", "stored", "rejected", "duplicates", "lost", "rejected_again", "shown_again", "broken")
    return {
        "name": verdict["name"],
        "at": verdict["started_at"],
        "versions": verdict["versions"],
        "seed": verdict["seed"],
        "rate_per_s": verdict["rate_per_s"],
        **{count: judgement[count] for count in counts},
        "recovered_in_s": max(verdict["recoveries_s"], default=None),
    }


if __name__ == "__main__":
    main()
