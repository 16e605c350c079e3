"""The cost of keeping the messages of devices as received: saturation with and without KAISER_TOPICS_DIALECTS."""

from statistics import median
from typing import Any

from bench.bed import Bed, bed
from bench.saturation import saturate

_KEPT = {"KAISER_TOPICS_DIALECTS": '["factory", "esp"]'}
_COUNTED = ("ingest", "nats")


def observed(broker: str, *, quick: bool) -> dict[str, Any]:
    """Readings a second and CPU µs a reading of ingest and NATS, without and with it, each on a stack of its own.

    costs: the share of saturation."""
    found = {"without": _run(broker, {}, quick=quick), "with": _run(broker, _KEPT, quick=quick)}
    return found | {"costs": round(1 - found["with"]["per_s"] / found["without"]["per_s"], 3)}


def _run(broker: str, settings: dict[str, str], *, quick: bool) -> dict[str, Any]:
    with bed(broker, **settings) as own:
        own.register(1000)
        own.warm_up()
        runs = [_once(own, 40_000 if quick else 200_000) for _ in range(1 if quick else 3)]
    return {name: median(run[name] for run in runs) for name in runs[0]}


def _once(own: Bed, count: int) -> dict[str, float]:
    run = saturate(own, count=count, devices=1000)
    return {"per_s": run["per_s"]} | {f"{name}_us": run["cpu_us_per_reading"].get(name, 0.0) for name in _COUNTED}
