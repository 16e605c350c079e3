"""Inserts and filters are SQLAlchemy Core (docs/decisions/0003); where they are SQL text the list here says why.

The rest of SQL text (locks, sums, statements of several tables) is free to stay as it is.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[1] / "services"

INSERTS = {
    "actuator/store/actuators.py": "the path of a device's message: a batch by unnest",
    "actuator/store/command_records.py": "the path of a command",
    "sensor/store/readings.py": "the path of a reading: COPY and unnest (docs/decisions/0301)",
    "sensor/store/rollups.py": "rolled up in the server, and a part of the readings' statement",
}
OPTIONAL_FILTERS = {
    "actuator/store/actuators.py": "locks the actuators under a stop",
    "actuator/store/emergencies.py": "a stop without a gpio is of the whole device",
    "alarm/store/standing.py": "a window over the steps of alarms, which three questions share",
}


def texts(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def inserts(text: str) -> bool:
    return re.search(r"\bINSERT INTO\b", text) is not None


def filters_by_null(text: str) -> bool:
    """`%(name)s::text IS NULL OR …`: the planner sees a condition where there is none."""
    return re.search(r"%(\(\w+\))?s(::\w+)? IS NULL", text) is not None


def found(by: Callable[[str], bool]) -> Iterator[str]:
    for path in sorted(SERVICES.glob("*/src/*/**/*.py")):
        parts = path.relative_to(SERVICES).parts
        if "migrations" not in parts and by(texts(path)):
            yield "/".join((parts[0], *parts[3:]))


@pytest.mark.parametrize(("by", "known"), [(inserts, INSERTS), (filters_by_null, OPTIONAL_FILTERS)])
def test_sql_text_stands_only_where_it_has_a_reason(by: Callable[[str], bool], known: dict[str, str]):
    assert list(found(by)) == sorted(known)


def test_a_filter_by_null_and_an_insert_are_seen():
    assert filters_by_null("WHERE (%(esp_id)s::text IS NULL OR esp_id = %(esp_id)s)")
    assert not filters_by_null("WHERE closed_at IS NULL AND esp_id = %(esp_id)s")
    assert inserts("WITH a AS (INSERT INTO b VALUES (1))")
