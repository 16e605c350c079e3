"""The table of conditions in docs/alarms.md, row by row."""

import re
from pathlib import Path
from typing import NamedTuple

_PAGE = Path(__file__).parents[2] / "docs/alarms.md"


class Documented(NamedTuple):
    """A kind of alarm. severity: as the page has it; None: it depends on the event. momentary: nothing ends it."""

    kind: str
    severity: str | None
    begins: str
    momentary: bool


def documented() -> list[Documented]:
    """Each kind of each row of the table; a kind may have several rows."""
    found = []
    for row in _rows("Conditions"):
        names, severity, _, begins, ends = row
        fixed = severity if severity in ("critical", "warning", "info") else None
        found += [Documented(kind, fixed, begins, ends == "momentary") for kind in re.findall(r"`(\w+)`", names)]
    return found


def alerts_of_their_own() -> dict[str, list[str]]:
    """The alerts in Prometheus of each kind that has alerts of its own."""
    rows = _rows("Prometheus")
    return {kind: re.findall(r"Kaiser\w+", row[1]) for row in rows for kind in re.findall(r"`(\w+)`", row[0])}


def _rows(heading: str) -> list[list[str]]:
    """The rows of the table below a heading, without its first two lines."""
    section = _PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
