"""`make soak`: steady readings for an hour (or --minutes) beside the demo factory. Status 1 if any process grows.

It prints for every process the memory (proportional resident, without shared memory) after the warm-up and at the end,
each averaged over a minute.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean
from typing import Any

from harness import ROOT

from bench import processes, sender
from bench.bed import Bed, bed
from bench.commit import commit_of

MOST_GROWTH = 0.03
LEAST_COUNTED_MB = 1.0
"""Mosquitto has 2 MB in all: less than this is no growth."""
_FACTORY = ROOT / "demo" / "factory.yaml"
_LOADED_WITHIN_S = 180.0
_CHUNK_S = 60.0
_SAMPLES = 6


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--warm-up-minutes", type=float, default=15.0, help="until streams are full")
    parser.add_argument("--rate", type=float, default=5000.0, help="readings a second")
    parser.add_argument("--no-factory", action="store_true", help="readings alone")
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "soak.json")
    arguments = parser.parse_args()
    with bed("auto", ("run",) if arguments.no_factory else ("run", "--factory")) as test_bed:
        test_bed.register(1000)
        if not arguments.no_factory:
            _load_factory(test_bed)
        results = soak(test_bed, arguments.rate, arguments.minutes, arguments.warm_up_minutes)
    results |= {"factory": not arguments.no_factory}
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    results |= {"machine": processes.machine(), "at": at, "commit": commit_of(ROOT)}
    arguments.results.write_text(json.dumps(results, indent=2) + "\n")
    for name, found in results["processes"].items():
        print(f"{name:<20} {found['first_mb']:>7.1f} MB → {found['last_mb']:>7.1f} MB   {found['growth']:+.1%}")
    print(f"{results['readings']} readings at {arguments.rate:g}/s in {arguments.minutes:g} min, every one stored")
    if results["grew"]:
        sys.exit(f"grew by more than {MOST_GROWTH:.0%}: {', '.join(results['grew'])}")


def _load_factory(test_bed: Bed) -> None:
    """The mock factory of `make demo FILE=demo/factory.yaml`."""
    command = [sys.executable, "-m", "kaiser_demo", "load", "--file", str(_FACTORY)]
    subprocess.run(command, env=test_bed.stack.environment, cwd=ROOT, check=True, timeout=_LOADED_WITHIN_S)


def soak(test_bed: Bed, rate: float, minutes: float, warm_up_minutes: float) -> dict[str, Any]:
    """A minute's readings after the other, each minute checked to be stored in full."""
    samples: list[dict[str, int]] = []
    readings = 0
    total = max(2, round(minutes))
    for minute in range(total):
        job = test_bed.job(int(rate * _CHUNK_S), devices=1000, rate=rate)
        with sender.start(job) as sending:
            before = test_bed.acknowledged()
            sending.go()
            seen = []
            for _ in range(_SAMPLES):
                time.sleep(_CHUNK_S / _SAMPLES)
                seen.append({name: one.resident for name, one in test_bed.usage().items()})
            sending.result()
            test_bed.until_stored(job, before)
        readings += job.count
        samples.append({name: int(mean(one[name] for one in seen if name in one)) for name in seen[-1]})
        print(f"minute {minute + 1}: " + ", ".join(f"{n} {v / 1e6:.1f}" for n, v in samples[-1].items()), flush=True)
    first = samples[min(round(warm_up_minutes), len(samples) - 1)]
    found = {name: growth(first[name], last) for name, last in samples[-1].items() if name in first}
    return {
        "rate_per_s": rate,
        "minutes": minutes,
        "readings": readings,
        "processes": found,
        "grew": sorted(name for name, one in found.items() if grew(one)),
    }


def grew(found: dict[str, float]) -> bool:
    """Whether a process grew by more than is allowed."""
    return found["growth"] > MOST_GROWTH and found["last_mb"] - found["first_mb"] > LEAST_COUNTED_MB


def growth(first: int, last: int) -> dict[str, float]:
    """Of one process, in MB and as a share."""
    return {
        "first_mb": round(first / 1e6, 1),
        "last_mb": round(last / 1e6, 1),
        "growth": round(last / first - 1, 4) if first else 0.0,
    }


if __name__ == "__main__":
    main()
