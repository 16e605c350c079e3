"""Each system event has a name of the catalogue, and each name of the catalogue is published somewhere."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from kaiser_common.contract.system_events import SYSTEM_EVENTS

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("services/*/src/**/*.py"), *ROOT.glob("libs/*/src/**/*.py")])
MAKERS = {"SystemEvent", "system_event", "notice", "report"}
"""Functions whose first argument, or argument `event`, is the name."""
CATALOGUE = "system_events.py"


@cache
def texts() -> frozenset[str]:
    """Every text in the sources, but for those of the catalogue."""
    trees = (ast.parse(path.read_text()) for path in SOURCES if path.name != CATALOGUE)
    nodes = (node for tree in trees for node in ast.walk(tree))
    return frozenset(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def named() -> Iterator[tuple[str, str]]:
    """Where in the sources an event is made, and a name that is written out there."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
                continue
            maker = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if maker not in MAKERS:
                continue
            given = [each.value for each in node.keywords if each.arg == "event"] or node.args[:1]
            for name in (each for one in given for each in ast.walk(one) if isinstance(each, ast.Constant)):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", str(name.value)


def test_every_name_that_is_written_out_is_one_of_the_catalogue():
    found = list(named())
    assert len(found) > 30
    assert [(where, name) for where, name in found if name not in SYSTEM_EVENTS] == []


def test_every_name_of_the_catalogue_is_published():
    assert set(SYSTEM_EVENTS) - texts() == set()
