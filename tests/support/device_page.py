"""Holds the messages that an emulated device received against docs/devices.md."""

import re
from functools import cache
from pathlib import Path

from firmware_device import Board

_PAGE = Path(__file__).parents[2] / "docs/devices.md"


@cache
def _rows() -> list[tuple[re.Pattern[str], set[str], set[str]]]:
    """Of each topic that devices are sent: a pattern of it, the fields that are always there, and all fields."""
    table = _PAGE.read_text().split("## Kaiser → device")[1].split("## Bounds")[0]
    rows = []
    for cells in (line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| `")):
        topic = cells[0].strip("`").replace("T/", "kaiser/{k}/esp/{esp}/", 1)
        fields = cells[2].split()
        pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", topic))
        rows.append(
            (pattern, {name for name in fields if not name.endswith("?")}, {name.rstrip("?") for name in fields})
        )
    return rows


def unlike_the_page(board: Board) -> list[str]:
    """The messages that the device received whose topic or fields are not as the page says."""
    found = []
    for heard in list(board.heard):
        rows = [(least, most) for topic, least, most in _rows() if topic.fullmatch(heard.topic)]
        if not any(least <= set(heard.body) <= most for least, most in rows):
            found.append(f"{heard.topic}: {heard.payload}")
    return found
