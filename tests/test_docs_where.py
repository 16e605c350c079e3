"""docs/architecture.md ("Where is …") and docs/line.md lead to files, names and tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "docs/architecture.md").read_text().partition("## Where is …")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| (.+?) \| `([^`]+)` \| `(\w+)` \| `(\w+)` \|$", TABLE, re.MULTILINE)
TESTS = {
    name
    for folder in (ROOT / "tests", *ROOT.glob("services/*/tests"), *ROOT.glob("libs/*/tests"))
    for path in folder.rglob("test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
}
NOT_CODE = {"sensor.latest", "rpc.actuator.command"}
"""A table and a subject."""
NAMED = set(re.findall(r"`((?:[a-z_]+\.)+[A-Za-z]\w*(?:\.\w+)?)[`(]", (ROOT / "docs/line.md").read_text())) - NOT_CODE


def test_every_line_of_the_table_is_read():
    assert len(ROWS) == len([line for line in TABLE.splitlines() if line.startswith("| ")]) - 1
    assert len(ROWS) >= 12


@pytest.mark.parametrize(("question", "file", "name", "test"), ROWS, ids=[row[0][:60] for row in ROWS])
def test_the_answer_exists(question: str, file: str, name: str, test: str):
    text = (ROOT / file).read_text()
    assert re.search(rf"^ *(?:async )?(?:def|class) {name}\b|^{name}\b.* = |^\s+{name}=", text, re.MULTILINE), name
    assert test in TESTS


def test_line_md_names_enough():
    assert len(NAMED) >= 20


@pytest.mark.parametrize("dotted", sorted(NAMED))
def test_a_function_that_line_md_names_is_in_the_module_that_it_names(dotted: str):
    """`module.function`, `module.Class.method`, with as many packages before as are needed."""
    found = [(path, names) for path in ROOT.glob("*/*/src/**/*.py") for names in _after(path, dotted)]
    assert any(all(_defines(path, name) for name in names) for path, names in found), dotted


def _after(path: Path, dotted: str) -> list[list[str]]:
    """The part of a dotted name behind the module at this path; None if the name does not lead there."""
    parts = dotted.split(".")
    return [
        parts[place + 1 :]
        for place, part in enumerate(parts)
        if part == path.stem and path.parts[-place - 1 : -1] == tuple(parts[:place])
    ]


def _defines(path: Path, name: str) -> bool:
    return re.search(rf"^ *(?:async )?(?:def|class) {name}\b", path.read_text(), re.MULTILINE) is not None
