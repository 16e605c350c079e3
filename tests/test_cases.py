"""Every case of tests/cases is run, cited with a test that exists, or listed as open; none is in two places."""

import json
import re
import sys
from pathlib import Path

from asserting import can_fail

CASES = Path(__file__).parent / "cases"
ROOT = Path(__file__).parents[1]
README = (CASES / "README.md").read_text()
CITED, REST = README.split("## Cited")[1].split("## Findings of the security review")
FINDINGS, OPEN = REST.split("## Open")
HIGH = [f"C{number}" for number in range(1, 7)] + [f"H{number}" for number in range(1, 20)]
MEDIUM = [f"M{number}" for number in range(1, 12)]


def rows(text: str = CITED) -> dict[str, list[str]]:
    """The tests that are cited, by case or finding."""
    lines = [line.split("|") for line in text.splitlines() if line.startswith("| ")][1:]
    return {cells[1].strip(): re.findall(r"`(test_\w+)`", cells[2]) for cells in lines}


def run() -> set[str]:
    """The cases that a test runs from the files."""
    sys.path.insert(0, str(ROOT / "tests" / "integration"))
    try:
        import test_field_cases
        import test_security_cases
    finally:
        sys.path.pop(0)
    return {case["name"] for case in test_field_cases.CASES} | set(test_security_cases.RUN)


def test_every_case_is_run_cited_or_open():
    field = {case["name"] for case in json.loads((CASES / "field-cases.json").read_text())}
    security = {case["id"] for case in json.loads((CASES / "security-cases.json").read_text())["cases"]}
    still_open = {line.removeprefix("- ") for line in OPEN.splitlines() if line.startswith("- ")}
    places = [*run(), *rows(), *still_open]
    assert set(places) == field | security
    assert len(places) == len(set(places))


def test_every_cited_test_exists():
    sources = [path for root in ("tests", "services", "libs", "tools") for path in (ROOT / root).rglob("test_*.py")]
    defined = {
        name for path in sources for name in re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    cited = {**rows(), **rows(FINDINGS)}
    assert [case for case, tests in cited.items() if not tests] == []
    assert {test for tests in cited.values() for test in tests} - defined == set()


def test_every_test_that_a_case_or_a_promise_names_can_fail():
    sources = [
        path
        for root in ("tests", "services", "libs", "tools")
        for path in (ROOT / root).rglob("*.py")
        if path.name.startswith("test_") or path.parent.name == "support" or path.name == "conftest.py"
    ]
    promised = re.findall(r"`(test_\w+)`", README + (ROOT / "docs" / "guarantees.md").read_text())
    assert set(promised) - can_fail(sources) == set()


def test_a_test_that_asserts_nothing_is_found(tmp_path: Path):
    (tmp_path / "test_it.py").write_text(
        "def helper():\n    assert True\n"
        "def test_by_itself():\n    assert True\n"
        "async def test_by_a_helper():\n    await x.helper()\n"
        "def test_by_an_error():\n    with pytest.raises(ValueError):\n        int('x')\n"
        "@pytest.mark.skip(reason='not now')\ndef test_that_is_skipped():\n    assert True\n"
        "def test_of_nothing():\n    print(helper)\n"
    )
    found = can_fail([tmp_path / "test_it.py"])
    assert found == {"helper", "test_by_itself", "test_by_a_helper", "test_by_an_error"}


def test_every_finding_of_the_security_review_names_the_tests_that_keep_it_closed():
    assert [finding for finding in rows(FINDINGS) if not finding.startswith("L, ")] == HIGH + MEDIUM
