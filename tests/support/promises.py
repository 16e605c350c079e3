"""Prints at the end of a test run how many promises of docs/guarantees.md were tested, and which of them failed."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

PAGE = "docs/guarantees.md"
_ROOT = Path(__file__).parents[2]


def promises(text: str) -> list[tuple[str, set[str]]]:
    """Each promise of a page with its tests. A row that begins with `…` goes on with the sentence before it."""
    found: list[tuple[str, set[str]]] = []
    whole = ""
    for row in text.splitlines():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if tests := set(re.findall(r"`(test_\w+)`", row)):
            whole = whole if cells[0].startswith("…") else cells[0]
            found.append((cells[0] if whole == cells[0] else f"{whole} {cells[0]}", tests))
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the failed promises and how many were tested."""
    passed, failed = (_names(terminalreporter.getreports(outcome)) for outcome in ("passed", "failed"))
    known = promises((_ROOT / PAGE).read_text())
    tested = [promise for promise in known if promise[1] & (passed | failed)]
    if not tested:
        return
    broken = [(text, sorted(tests & failed)) for text, tests in tested if tests & failed]
    if broken:
        terminalreporter.section(f"promises of {PAGE} that failed", "=")
        for text, tests in broken:
            terminalreporter.line(f"{text}\n    {', '.join(tests)}")
    terminalreporter.line(f"{len(tested)} of the {len(known)} promises of {PAGE} were tested, {len(broken)} failed.")


def _names(reports: Iterable[pytest.TestReport]) -> set[str]:
    """The functions of reports, without their parameters."""
    return {report.nodeid.rpartition("::")[2].partition("[")[0] for report in reports if hasattr(report, "nodeid")}
