"""`make bench`: measures each part, prints a table, writes bench/results.json."""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import ROOT
from kaiser_stack import mosquitto

from bench import acting, bars, growth, latency, processes, report, results
from bench.bed import Bed, bed
from bench.cluster import cluster
from bench.commit import commit_of
from bench.factory import factory
from bench.limits import limits
from bench.naive import naive
from bench.observed import observed
from bench.peers import peers
from bench.rest import rest
from bench.results import Stamp
from bench.saturation import saturate

Found = dict[str, Any]

_ALONE: dict[str, Callable[[str, bool], Found]] = {
    "observed": lambda broker, quick: observed(broker, quick=quick),
    "factory": lambda _, quick: factory("mosquitto", quick=quick),
    "rest": lambda broker, quick: rest(broker, quick=quick),
    "cluster": lambda _, quick: cluster(quick=quick),
}
"""Parts with stacks or servers of their own, which run one after the other and beside no other stack."""
_ROOM_OF_100_MILLION = 60e9
QUICK_RESULTS = ROOT / ".bench" / "quick.json"
"""Quick figures are for a first look: they take the place of no others."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything, into .bench/quick.json")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[*results.OWNS, *results.GROUPS],
        default=list(results.OWNS),
        metavar="PART",
        help=f"{', '.join(results.OWNS)}; or {' or '.join(results.GROUPS)} for all of its parts",
    )
    parser.add_argument("--broker", choices=("auto", "mosquitto", "nats"), default="auto")
    parser.add_argument("--bars", action="store_true", help="instead: each bar of speed and memory, in ten minutes")
    parser.add_argument("--older", type=Path, help="with --bars: a worktree of another commit, after `make install`")
    parser.add_argument("--note", default="", help="what to say of the machine, such as: other work ran on it")
    parser.add_argument("--results", type=Path, help="the file; bench/results.json, unless the run is quick")
    arguments = parser.parse_args()
    path = arguments.results or (QUICK_RESULTS if arguments.quick else ROOT / "bench" / "results.json")
    machine = processes.machine() | {"mosquitto": mosquitto.version() if mosquitto.is_installed() else ""}
    stamp = Stamp(commit_of(ROOT), machine, quick=arguments.quick, note=arguments.note)
    if arguments.bars:
        _bars(arguments.older, path, stamp)
        return
    for part, found in _parts(results.chosen(arguments.only), arguments.broker, quick=arguments.quick):
        if found:
            results.write(path, results.with_part(results.read(path), part, found, stamp))
    print(report.table(results.read(path)))


def _bars(older: Path | None, path: Path, stamp: Stamp) -> None:
    commit = commit_of(older) if older else ""
    said = asdict(stamp) | {"older_commit": commit, "mosquitto": stamp.machine["mosquitto"]}

    def keep(found: Found) -> None:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        results.write(path, results.read(path) | {"bars": {"at": at, **said, **found}})

    print(report.bars(bars.measure(older, keep, quick=stamp.quick)))


def _parts(parts: list[str], broker: str, *, quick: bool) -> Iterator[tuple[str, Found]]:
    """Each part with what it found, as soon as it has; those that can share a stack share one."""
    on_one_bed = [part for part in parts if part not in _ALONE]
    if on_one_bed:
        with bed(broker) as test_bed:
            test_bed.register(1000)
            test_bed.warm_up()
            for part in on_one_bed:
                print(f"bench: {part}", flush=True)
                yield part, measure(test_bed, part, quick=quick)
    for part in parts:
        if part in _ALONE:
            print(f"bench: {part}", flush=True)
            yield part, {part: _ALONE[part](broker, quick)}


def measure(test_bed: Bed, part: str, *, quick: bool) -> Found:
    """One part, by the places that it has in the results."""
    count = 20_000 if quick else 100_000
    seconds = 5.0 if quick else 20.0
    match part:
        case "saturation":
            return _saturation(test_bed, quick=quick)
        case "limits":
            return {"limits_per_s": limits(test_bed, 40_000 if quick else 200_000)}
        case "latency":
            rates = (500, 2000) if quick else (100, 500, 2000, 5000, 10_000)
            found = {rate: latency.at_rate(test_bed, rate, 5.0 if quick else 30.0) for rate in rates}
            return {"latency_ms": found}
        case "naive":
            return {"naive_per_s": naive(test_bed, 5_000 if quick else 50_000)}
        case "peers":
            return {"peers": peers(test_bed, 20_000 if quick else 200_000)}
        case "growth-devices":
            by_devices = growth.by_devices(test_bed, [100, 1000] if quick else [100, 1000, 10_000], count)
            return {"growth.per_s_by_devices": by_devices}
        case "growth-clients":
            by_clients = growth.by_clients(test_bed, [1, 10] if quick else [1, 10, 100, 1000], 500, seconds)
            return {"growth.latency_ms_by_clients": by_clients}
        case "growth-rows":
            by_rows = growth.by_rows(test_bed, [200_000] if quick else [1_000_000, 20_000_000], count)
            return {"growth.per_s_by_rows": by_rows, "growth.bytes_per_row": growth.bytes_per_row(test_bed)}
        case "growth-rows-100m":
            return _a_hundred_million(test_bed, count, quick=quick)
        case "acting-rules":
            return {
                "acting.by_rules": acting.by_rules(test_bed, [10, 100] if quick else [10, 100, 1000, 10_000], seconds)
            }
        case "acting-alarms":
            return {"acting.by_alarms": acting.by_alarms(test_bed, [10, 100] if quick else [10, 100, 1000], seconds)}
        case _:
            raise ValueError(f"no part of the bench: {part}")


def _saturation(test_bed: Bed, *, quick: bool) -> Found:
    """The middle of three runs, by their speed."""
    runs = [saturate(test_bed, count=60_000 if quick else 300_000, devices=1000) for _ in range(1 if quick else 3)]
    middle = sorted(runs, key=lambda run: run["per_s"])[len(runs) // 2]
    return {
        "services": sorted(test_bed.stack.pids()),
        "saturation_per_s": middle["per_s"],
        "cpu_us_per_reading": middle["cpu_us_per_reading"],
        "rss_mb": middle["rss_mb"],
        "saturation_runs": runs,
    }


def _a_hundred_million(test_bed: Bed, count: int, *, quick: bool) -> Found:
    """Nothing where the disk has no room for so many rows, or little time."""
    room = shutil.disk_usage(tempfile.gettempdir()).free
    if quick or room < _ROOM_OF_100_MILLION:
        print(f"bench: no hundred million rows: quick {quick}, {room / 1e9:.0f} GB are free", flush=True)
        return {}
    [per_s] = growth.by_rows(test_bed, [100_000_000], count).values()
    return {"growth.per_s_at_100m_rows": per_s}


if __name__ == "__main__":
    main()
