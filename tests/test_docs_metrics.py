"""docs/metrics.md has every metric that is declared, with its type and labels, and no other."""

import importlib
import re
from pathlib import Path

from kaiser_ingest.metrics import Accounts
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

ROOT = Path(__file__).parents[1]
MODULES = sorted(f"{path.parent.name}.metrics" for path in ROOT.glob("services/*/src/*/metrics.py"))


def declared() -> dict[str, str]:
    """Type by name as it is served, labels of the declared ones in braces."""
    for module in ("kaiser_common.bus.metrics", *MODULES):
        importlib.import_module(module)
    found = {}
    for collector in REGISTRY._collector_to_names:
        if isinstance(collector, MetricWrapperBase):
            for family in collector.describe():
                labels = ",".join(collector._labelnames)
                found[_served(family.name, family.type) + (f"{{{labels}}}" if labels else "")] = family.type
    accounts = Accounts(dict, float)
    accounts.broker_dropped = 0
    for family in accounts.collect():
        labels = ",".join(getattr(family, "_labelnames", ()))
        found[_served(family.name, family.type) + (f"{{{labels}}}" if labels else "")] = family.type
    return {name: kind for name, kind in found.items() if name.startswith("kaiser_")}


def _served(name: str, kind: str) -> str:
    return f"{name}_total" if kind == "counter" else name


def test_every_metric_is_in_the_docs_and_every_one_there_is_declared():
    rows = re.findall(r"^\| `(kaiser_[^`]+)` \| (\w+) \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    assert dict(rows) == declared()


def test_names_follow_the_conventions_of_prometheus():
    for name, kind in declared().items():
        bare = name.partition("{")[0]
        assert (kind == "counter") == bare.endswith("_total"), name
        assert kind != "histogram" or bare.endswith(("_seconds", "_bytes", "_readings")), name
        assert re.fullmatch(r"kaiser_[a-z0-9_]+", bare), name
        assert not re.search(r"_(ms|minutes|kib|mib|percent)$", bare), name
