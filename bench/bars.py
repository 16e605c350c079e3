"""Minimum requirements (bars) for speed and memory; where possible, a ratio to something measured in the same run.

The same machine is up to a quarter faster or slower from one hour to the next. So an older commit is measured on this
machine before and after this one, with its own services, and the naive way and a bare receiver are measured between the
runs of this one.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from harness import wait_until

from bench import sender
from bench.bed import Bed, bed
from bench.latency import at_rate
from bench.limits import receive_mqtt
from bench.naive import naive
from bench.saturation import saturate

_DEVICES = 1000
_RUNS = 3
_OLDER_WITHIN_S = 300.0
_BACKLOG_WITHIN_S = 120.0
_BAD_PER_S = 10_000
_OLDER = f"""
import json, sys
from bench.bed import bed
from bench.saturation import saturate
with bed("mosquitto") as test_bed:
    test_bed.register({_DEVICES})
    test_bed.warm_up()
    print(json.dumps([saturate(test_bed, count=int(sys.argv[1]), devices={_DEVICES}) for _ in range(2)]))
"""
"""A program that runs with the bench of any commit."""

Bar = tuple[str, str, float]
"""Of what was measured, whether it must be at least or at most so much, and how much."""

BARS: tuple[Bar, ...] = (
    ("saturation_to_naive", "≥", 13),
    ("saturation_to_receiver", "≥", 1.4),
    ("saturation_to_older", "≥", 3.4),
    ("frame_p99_ms_at_500", "<", 15),
    ("cores_at_500", "<", 0.7),
    ("lone_frame_p50_ms", "<", 6),
    ("frame_p99_of_100_clients_to_one", "≤", 1.5),
    ("good_frame_p50_beside_flood_to_without", "≤", 1.3),
    ("good_frame_p99_beside_flood_to_without", "≤", 1.3),
    ("nats_mb_after_a_million", "≤", 350),
    ("backlog_to_saturation", "≥", 0.8),
    ("good_hour_saturation_per_s", "≥", 35_000),
    ("good_hour_cpu_us_per_reading", "≤", 50),
)
GOOD_HOUR_NAIVE_PER_S = 2_600
"""The machine is as fast as the last two bars ask for if the naive way stores this many readings a second; in a slower
hour they are not judged."""


def measure(older: Path | None, keep: Callable[[dict[str, Any]], None], *, quick: bool) -> dict[str, Any]:
    """Everything in one run of about ten minutes; `older`: a folder with another commit and its .venv.

    `keep` is called with what is measured so far, once the bars can be judged and at the end.
    """
    count = 60_000 if quick else 300_000
    found: dict[str, Any] = {"older_runs": _older(older, count) if older else []}
    with bed("mosquitto") as test_bed:
        test_bed.register(_DEVICES)
        test_bed.warm_up()
        found |= _saturation(test_bed, count, quick=quick)
        found |= _latency(test_bed, 5.0 if quick else 15.0)
        found |= _flood(test_bed, 5.0 if quick else 10.0)
        found |= _backlog(test_bed, 100_000 if quick else 1_000_000)
    _judge(found)
    keep(found)
    if older:
        found["older_runs"] += _older(older, count)
        _judge(found)
        keep(found)
    with bed("nats") as test_bed:
        found["nats_as_broker"] = _as_broker(test_bed, quick=quick)
    keep(found)
    return found


def _judge(found: dict[str, Any]) -> None:
    found["ratios"] = ratios(found)
    found["bars"] = [judged(found["ratios"], bar) for bar in BARS]


def _older(folder: Path, count: int) -> list[dict[str, Any]]:
    """Two saturation runs by the other commit's own bench, services and versions."""
    of_tests = (folder / "tests" / "support", folder / "tests" / "integration")  # the second in an older commit
    paths = os.pathsep.join(map(str, (folder, *of_tests)))
    with subprocess.Popen(
        [folder / ".venv" / "bin" / "python", "-c", _OLDER, str(count)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=_OLDER_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # so that it takes its stack down
            process.wait(_OLDER_WITHIN_S)
            raise
    assert process.returncode == 0, f"the bench in {folder} ended with {process.returncode}"
    runs: list[dict[str, Any]] = json.loads(said.splitlines()[-1])
    return runs


def _saturation(test_bed: Bed, count: int, *, quick: bool) -> dict[str, Any]:
    """Three runs, with the bare receiver and the naive way between them."""
    runs, receiver, naively = [], [], []
    for _ in range(1 if quick else _RUNS):
        runs.append(saturate(test_bed, count=count, devices=_DEVICES))
        receiver.append(round(receive_mqtt(test_bed, count // 2)))
        naively.append(naive(test_bed, count // 15))
    return {"saturation_runs": runs, "mqtt_receive_per_s": receiver, "naive_per_s": naively}


def _latency(test_bed: Bed, seconds: float) -> dict[str, Any]:
    """Lone readings, and 500 a second with one client and with a hundred, in turns."""
    lone = at_rate(test_bed, 10.0, seconds, devices=100)
    by_clients: dict[int, list[dict[str, Any]]] = {1: [], 100: []}
    at_rate(test_bed, 500.0, 5.0)  # what ran before is over when the first one counts
    for _ in range(_RUNS):
        for clients, runs in by_clients.items():
            runs.append(at_rate(test_bed, 500.0, seconds, clients=clients))
    return {"lone_ms": lone, "at_500_ms_by_clients": by_clients}


def _flood(test_bed: Bed, seconds: float) -> dict[str, Any]:
    """500 good readings a second beside 10,000 bad messages a second of all devices; all of these are rejected."""
    bad = replace(test_bed.job(int(_BAD_PER_S * seconds), devices=_DEVICES, rate=_BAD_PER_S), bad=True)
    with sender.start(bad) as flooding:
        before = _rejected(test_bed)
        flooding.go()
        beside = at_rate(test_bed, 500.0, seconds)
        flooding.result()
    wait_until(lambda: _rejected(test_bed) - before >= bad.count, "every bad message is rejected", _BACKLOG_WITHIN_S)
    return {"bad_messages": bad.count, "bad_per_s": _BAD_PER_S, "at_500_ms_beside_bad": beside}


def _rejected(test_bed: Bed) -> int:
    """Messages that ingest has rejected and stored so far, by its own count."""
    port = test_bed.stack.addresses["metrics_ports"]["ingest"]
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    lines = [line.split() for line in text.splitlines() if line.startswith("kaiser_ingest_rejected_total{")]
    return int(sum(float(value) for _, value in lines))


def _backlog(test_bed: Bed, count: int) -> dict[str, Any]:
    """Readings that wait on the bus while sensor is stopped, and how fast it works them off."""
    test_bed.stack.control("stop", "sensor")
    job = test_bed.job(count, devices=_DEVICES)
    with sender.start(job) as sending:
        sending.go()
        sent = sending.result()
    test_bed.stack.control("start", "sensor")
    wait_until(lambda: _stored(test_bed) > 0, "sensor stores again", _BACKLOG_WITHIN_S)
    began, before = time.time(), _stored(test_bed)
    stored_at = test_bed.until_stored(job, 0)
    return {
        "backlog_per_s": round((count - before) / (stored_at - began)),
        "backlog_accepted_per_s": round(count / (sent["acknowledged"] - sent["started"])),
        "backlog": count,
        "rss_mb_after_the_backlog": {name: round(one.resident / 1e6) for name, one in test_bed.usage().items()},
    }


def _stored(test_bed: Bed) -> int:
    try:
        return test_bed.acknowledged()
    except httpx.TransportError:
        return 0


def _as_broker(test_bed: Bed, *, quick: bool) -> dict[str, Any]:
    """NATS's own MQTT listener in Mosquitto's place."""
    test_bed.register(_DEVICES)
    test_bed.warm_up()
    run = saturate(test_bed, count=10_000 if quick else 30_000, devices=_DEVICES)
    return {
        "per_s": run["per_s"],
        "cpu_us_per_reading": run["cpu_us_per_reading"],
        "at_500_ms": at_rate(test_bed, 500.0, 5.0 if quick else 15.0),
    }


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """The figures that the bars are about: of several runs the middle."""
    per_s = middle([run["per_s"] for run in found["saturation_runs"]])
    one, hundred = (found["at_500_ms_by_clients"][clients] for clients in (1, 100))
    p99 = {clients: middle([run["frame"]["p99"] for run in runs]) for clients, runs in ((1, one), (100, hundred))}
    result = {
        "saturation_per_s": per_s,
        "cpu_us_per_reading": round(
            middle([sum(run["cpu_us_per_reading"].values()) for run in found["saturation_runs"]]), 1
        ),
        "saturation_to_naive": round(per_s / middle(found["naive_per_s"]), 2),
        "saturation_to_receiver": round(per_s / middle(found["mqtt_receive_per_s"]), 2),
        "frame_p99_ms_at_500": p99[1],
        "cores_at_500": middle([run["cores_used"] for run in one]),
        "lone_frame_p50_ms": found["lone_ms"]["frame"]["p50"],
        "frame_p99_of_100_clients_to_one": round(p99[100] / p99[1], 2),
        **{
            f"good_frame_{each}_beside_flood_to_without": round(
                found["at_500_ms_beside_bad"]["frame"][each] / middle([run["frame"][each] for run in one]), 2
            )
            for each in ("p50", "p99")
        },
        "nats_mb_after_a_million": found["rss_mb_after_the_backlog"]["nats"],
        "backlog_to_saturation": round(found["backlog_per_s"] / per_s, 2),
    }
    if middle(found["naive_per_s"]) >= GOOD_HOUR_NAIVE_PER_S:
        result["good_hour_saturation_per_s"] = per_s
        result["good_hour_cpu_us_per_reading"] = result["cpu_us_per_reading"]
    if found["older_runs"]:
        older = [run["per_s"] for run in found["older_runs"]]
        result |= {"older_per_s": middle(older), "saturation_to_older": round(per_s / middle(older), 2)}
    return result


def judged(measured: dict[str, float], bar: Bar) -> dict[str, Any]:
    """A bar with what was measured; `met` is None where it was not measured."""
    name, sign, goal = bar
    value = measured.get(name)
    met = None
    if value is not None:
        met = {"≥": value >= goal, "≤": value <= goal, "<": value < goal}[sign]
    return {"bar": name, "must_be": f"{sign} {goal:g}", "measured": value, "met": met}


def middle(values: list[Any]) -> Any:
    """The median, rounded to 4 digits behind the point."""
    found = round(float(median(values)), 4)
    return int(found) if found.is_integer() else found
