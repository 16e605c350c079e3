"""The time from when a reading was due to be sent until its commit and its WebSocket frame, at fixed rates.

Open loop: the sender follows the clock, and a reading's time counts from when it was due, so stalls are included (no
coordinated omission). PostgreSQL itself records when each row's transaction was committed.
"""

import time
from typing import Any

from bench import frames, sender
from bench.bed import Bed
from bench.sender import Job

SAMPLED = 100
"""So many devices are watched, whatever the rate: every tenth of a thousand, so that their readings come evenly."""
_LAST_FRAMES_S = 1.0


def at_rate(
    bed: Bed, rate: float, seconds: float, *, devices: int = 1000, clients: int = 1, now: bool = False
) -> dict[str, Any]:
    """Percentiles in ms of both ways; `behind` where the line did not keep up with the rate."""
    bed.register(devices)
    job = bed.job(int(rate * seconds), devices=devices, rate=rate, now=now)
    watched = bed.devices[: devices : max(1, devices // SAMPLED)]
    with (
        frames.watch(bed.stack.addresses["http_url"], bed.token(), watched, clients) as watching,
        sender.start(job) as sending,
    ):
        before, cpu_before = bed.acknowledged(), bed.usage()
        sending.go()
        sent = sending.result()
        stored_at = bed.until_stored(job, before)
        cpu_after = bed.usage()
        time.sleep(_LAST_FRAMES_S)
        shown = watching.shown()
    due = _due(job, sent["started"])
    used_s = {name: cpu_after[name].cpu_s - cpu_before[name].cpu_s for name in cpu_before if name in cpu_after}
    return {
        "committed": percentiles([at - due(ts) for ts, at in committed(bed, job)]),
        "frame": percentiles([at - due(ts) for ts, at in shown.items() if job.base_ms <= ts < job.base_ms + job.count]),
        "frames_seen": len(shown),
        "drained_s": round(stored_at - sent["started"] - seconds, 2),
        "cores_used": round(sum(used_s.values()) / (stored_at - sent["started"]), 2),
        "cpu_us_per_reading": {name: round(value / job.count * 1e6, 1) for name, value in used_s.items()},
    }


def _due(job: Job, started: float) -> Any:
    return lambda ts: started + (ts - job.base_ms) / job.rate


def committed(bed: Bed, job: Job) -> list[tuple[int, float]]:
    """The ts of every row of a run, and when its transaction was committed, in seconds since 1970."""
    with bed.connect() as connection:
        connection.execute("SET statement_timeout = 0")
        return connection.execute(
            "SELECT (extract(epoch FROM time) * 1000)::bigint,"
            " extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8"
            " FROM sensor.data WHERE time >= to_timestamp(%s) AND time < to_timestamp(%s)",
            [job.base_ms / 1000, (job.base_ms + job.count) / 1000],
        ).fetchall()


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50, p99 and the largest, in ms."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    return {
        "p50": round(ordered[len(ordered) // 2] * 1000, 1),
        "p99": round(ordered[int(len(ordered) * 0.99)] * 1000, 1),
        "max": round(ordered[-1] * 1000, 1),
    }
