"""The oddities that are everyday forms: those of a factory at rest, by names that docs/factory-dialect.md lists."""

import json
from pathlib import Path

from kaiser_factory_dialect.oddities import EVERYDAY
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, read

DOCS = Path(__file__).parents[3] / "docs/factory-dialect.md"
AT_REST = [
    ("module/v1/ff/S/state", {"serialNumber": "S", "orderId": "", "orderUpdateId": 0, "actionState": None}),
    ("fts/v1/ff/A/state", {"serialNumber": "A", "lastNodeId": "1", "orderId": "o1", "orderUpdateId": 0, "load": []}),
    ("ccu/state/stock", {"stockItems": [{"hbw": "S", "location": "A1"}]}),
]


def test_what_a_factory_at_rest_says_has_everyday_oddities_alone() -> None:
    found: set[str] = set()
    for topic, payload in AT_REST:
        verdict = read(Arrival(topic, json.dumps(payload).encode(), 1, 1, False))
        assert isinstance(verdict, FactoryAccepted), verdict
        found.update(verdict.oddities)
    assert found == set(EVERYDAY)


def test_the_page_of_the_dialect_names_the_everyday_oddities() -> None:
    assert f"{', '.join(EVERYDAY[:-1])} and {EVERYDAY[-1]} are everyday" in " ".join(DOCS.read_text().split())
