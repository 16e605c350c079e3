"""The number of attacks that docs/guarantees.md claims: each test compares it with the number that it tried."""

import re
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs/guarantees.md"


def claims() -> dict[str, int]:
    """The number of each row of the table of attacks."""
    table = _PAGE.read_text().split("| attack | tried |")[1].split("\n\n")[0]
    return {name: int(count.replace(",", "")) for name, count in re.findall(r"^\| (.+?) \| ([\d,]+) \|", table, re.M)}


def holds(attack: str, counted: int) -> None:
    """Assert that the page claims no more than a test has counted, and nearly as much."""
    claimed = claims()[attack]
    assert claimed <= counted, f"docs/guarantees.md claims {claimed} of {attack!r}, but these are {counted}"
    assert counted <= claimed * 1.25, f"docs/guarantees.md claims {claimed} of {attack!r}: these are {counted} now"
