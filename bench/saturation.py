"""How many readings a second the whole pipeline takes, from the first publish to the last commit."""

from typing import Any

from bench import sender
from bench.bed import Bed


def saturate(bed: Bed, *, count: int, devices: int) -> dict[str, Any]:
    """Readings a second, CPU µs a reading and megabytes of every process."""
    bed.register(devices)
    job = bed.job(count, devices=devices)
    with sender.start(job) as sending:
        stored_before, before = bed.acknowledged(), bed.usage()
        sending.go()
        sent = sending.result()
        stored_at = bed.until_stored(job, stored_before)
        after = bed.usage()
    cpu = {name: (after[name].cpu_s - before[name].cpu_s) / count * 1e6 for name in before if name in after}
    return {
        "per_s": round(count / (stored_at - sent["started"])),
        "accepted_by_broker_per_s": round(count / (sent["acknowledged"] - sent["started"])),
        "readings": count,
        "devices": devices,
        "cpu_us_per_reading": {name: round(value, 1) for name, value in cpu.items()}
        | {"load_generator": round(sent["cpu_s"] / count * 1e6, 1)},
        "rss_mb": {name: round(one.resident / 1e6) for name, one in after.items()},
    }
