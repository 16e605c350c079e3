"""Every case of tests/cases is run, cited with a test that exists, or listed as open; none is in two places."""

import json
import re
import sys
from pathlib import Path

CASES = Path(__file__).parent / "cases"
ROOT = Path(__file__).parents[1]
README = (CASES / "README.md").read_text()
CITED, OPEN = README.split("## Cited")[1].split("## Open")


def rows() -> dict[str, list[str]]:
    """The tests that are cited, by case."""
    lines = [line.split("|") for line in CITED.splitlines() if line.startswith("| ") and not line.startswith("| case")]
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
        name for path in sources for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert [case for case, tests in rows().items() if not tests] == []
    assert {test for tests in rows().values() for test in tests} - defined == set()
