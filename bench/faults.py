"""Merges the verdicts that `make faults` left in .faults into bench/faults.json: `python -m bench.faults`."""

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
    trials = [summary(one) for one in verdicts if one["started_at"] >= arguments.since]
    machine = {name: value for name, value in processes.machine().items() if name != "load_before"}
    before = json.loads(arguments.results.read_text()) if arguments.results.exists() else {}
    arguments.results.write_text(json.dumps(merged(before, machine, trials), indent=1) + "\n")
    broken = [trial["name"] for trial in trials if trial["broken"]]
    print(f"{len(trials)} trials, {len(broken)} of them broken{': ' if broken else ''}{', '.join(map(str, broken))}")


def merged(before: dict[str, Any], machine: dict[str, Any], trials: list[dict[str, Any]]) -> dict[str, Any]:
    """The results of before with these trials, in order of time. A trial takes the place of the one of its name, those
    drawn by chance of all with another seed; one of another machine than the file's names its own."""
    names = {trial["name"] for trial in trials}
    seeds = {seed for name in names if (seed := _seed_of(name))}
    kept = [
        trial
        for trial in before.get("trials", [])
        if trial["name"] not in names and (not seeds or _seed_of(trial["name"]) in {None, *seeds})
    ]
    of_file = before["machine"] if kept else machine
    new = trials if of_file == machine else [{**trial, "machine": machine} for trial in trials]
    return {"machine": of_file, "trials": sorted([*kept, *new], key=lambda trial: str(trial["at"]))}


def _seed_of(name: str) -> str | None:
    """The seed of a trial that was drawn by chance: model-SEED-NUMBER-BROKER."""
    return name.split("-")[1] if name.startswith("model-") else None


def summary(verdict: dict[str, Any]) -> dict[str, Any]:
    """One trial in figures: the messages or alarms, their fates, and the longest recovery (s)."""
    common = {"name": verdict["name"], "at": verdict["started_at"], "versions": verdict["versions"]}
    if "alarms" in verdict:
        return {**common, "kills": verdict["kills"], **verdict["alarms"]}
    if "factory" in verdict:
        return {**common, "faults": verdict["faults"], **verdict["factory"]}
    judgement = verdict["judgement"]
    counts = ("sent", "stored", "rejected", "duplicates", "lost", "rejected_again", "shown_again", "broken")
    return {
        **common,
        "seed": verdict["seed"],
        "rate_per_s": verdict["rate_per_s"],
        **{count: judgement[count] for count in counts},
        "recovered_in_s": max(verdict["recoveries_s"], default=None),
    }


if __name__ == "__main__":
    main()
