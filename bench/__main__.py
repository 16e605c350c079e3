"""`make bench`: measures, prints a table, writes bench/results.json."""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import ROOT
from kaiser_stack import mosquitto

from bench import acting, bars, growth, latency, processes, report
from bench.bed import Bed, bed
from bench.commit import commit_of
from bench.factory import factory
from bench.limits import limits
from bench.naive import naive
from bench.observed import observed
from bench.peers import peers
from bench.rest import rest
from bench.saturation import saturate

FACTORY = "factory"
"""It has a stack of its own, with the factory's dialect on, and no other beside it."""
OBSERVED = "observed"
"""It has two stacks of its own, one after the other."""
_ROOM_OF_100_MILLION = 60e9
REST = "rest"
"""It starts and stops a stack of its own."""
PARTS = ("saturation", "limits", "latency", "naive", "peers", "growth", "acting", OBSERVED, FACTORY, REST)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute: less of everything")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--broker", choices=("auto", "mosquitto", "nats"), default="auto")
    parser.add_argument("--bars", action="store_true", help="instead: each bar of speed and memory, in ten minutes")
    parser.add_argument("--older", type=Path, help="with --bars: a worktree of another commit, after `make install`")
    parser.add_argument("--note", default="", help="what to say of the machine, such as: other work ran on it")
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results.json")
    arguments = parser.parse_args()
    results = _kept(arguments.results) if arguments.bars or arguments.only is not PARTS else {}
    machine = processes.machine() | {"mosquitto": mosquitto.version() if mosquitto.is_installed() else ""}
    results |= {"quick": arguments.quick, "note": arguments.note, "machine": machine}
    commit = commit_of(ROOT)
    if arguments.bars:
        older = commit_of(arguments.older) if arguments.older else ""
        said = {"commit": commit, "older_commit": older, "mosquitto": mosquitto.version(), "quick": arguments.quick}

        def keep(found: dict[str, Any]) -> None:
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            _write(results | {"bars": {"at": at, **said, **found}}, arguments.results)

        found = bars.measure(arguments.older, keep, quick=arguments.quick)
        print(report.bars(found))
        return

    def note(part: str) -> None:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        results.setdefault("parts", {})[part] = {"at": at, "commit": commit}
        _write(results, arguments.results)

    on_one_bed = [part for part in PARTS if part in arguments.only and part not in {OBSERVED, FACTORY, REST}]
    if on_one_bed:
        with bed(arguments.broker) as test_bed:
            test_bed.register(1000)
            test_bed.warm_up()
            results["services"] = sorted(test_bed.stack.pids())
            for part in on_one_bed:
                print(f"bench: {part}", flush=True)
                measure(test_bed, part, results, quick=arguments.quick)
                note(part)
    if OBSERVED in arguments.only:
        print(f"bench: {OBSERVED}", flush=True)
        results["observed"] = observed(arguments.broker, quick=arguments.quick)
        note(OBSERVED)
    if FACTORY in arguments.only:
        print(f"bench: {FACTORY}", flush=True)
        results["factory"] = factory("mosquitto", quick=arguments.quick)
        note(FACTORY)
    if REST in arguments.only:
        print(f"bench: {REST}", flush=True)
        results["rest"] = rest(arguments.broker, quick=arguments.quick)
        note(REST)
    print(report.table(results))


def measure(test_bed: Bed, part: str, results: dict[str, Any], *, quick: bool) -> None:
    """One part, put into the results."""
    match part:
        case "saturation":
            runs = [
                saturate(test_bed, count=60_000 if quick else 300_000, devices=1000) for _ in range(1 if quick else 3)
            ]
            best = sorted(runs, key=lambda run: run["per_s"])[len(runs) // 2]
            results["saturation_per_s"] = best["per_s"]
            results["cpu_us_per_reading"] = best["cpu_us_per_reading"]
            results["rss_mb"] = best["rss_mb"]
            results["saturation_runs"] = runs
        case "limits":
            results["limits_per_s"] = limits(test_bed, 40_000 if quick else 200_000)
            if "saturation_per_s" in results:
                lowest = min(results["limits_per_s"].values())
                results["ratio_to_limit"] = round(results["saturation_per_s"] / lowest, 2)
        case "latency":
            rates = (500, 2000) if quick else (100, 500, 2000, 5000, 10_000)
            results["latency_ms"] = {rate: latency.at_rate(test_bed, rate, 5.0 if quick else 30.0) for rate in rates}
        case "growth":
            count = 20_000 if quick else 100_000
            results["growth"] = {
                "per_s_by_devices": growth.by_devices(test_bed, [100, 1000] if quick else [100, 1000, 10_000], count),
                "latency_ms_by_clients": growth.by_clients(
                    test_bed, [1, 10] if quick else [1, 10, 100, 1000], 500, 5.0 if quick else 20.0
                ),
                **growth.by_rows(test_bed, [200_000] if quick else rows(), count),
            }
        case "acting":
            seconds = 5.0 if quick else 20.0
            results["acting"] = {
                "by_rules": acting.by_rules(test_bed, [10, 100] if quick else [10, 100, 1000, 10_000], seconds),
                "by_alarms": acting.by_alarms(test_bed, [10, 100] if quick else [10, 100, 1000], seconds),
            }
        case "peers":
            results["peers"] = peers(test_bed, 20_000 if quick else 200_000)
        case "naive":
            results["naive_per_s"] = naive(test_bed, 5_000 if quick else 50_000)


def rows() -> list[int]:
    """How many rows are stored before each run: a hundred million where the disk has room for them."""
    room = shutil.disk_usage(tempfile.gettempdir()).free
    return [1_000_000, 20_000_000, *([100_000_000] if room > _ROOM_OF_100_MILLION else [])]


def _kept(results: Path) -> dict[str, Any]:
    """The results of an earlier run, of which some parts are measured again; `parts` says when and of which commit."""
    return dict(json.loads(results.read_text())) if results.exists() else {}


def _write(results: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
