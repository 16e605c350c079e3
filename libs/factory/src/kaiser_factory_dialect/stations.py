"""The stations that a workpiece passes, by the numbers that the factory writes on its NFC tag; pure.

The tag itself is not read (its messages are only kept on the stream TOPICS): a station counts as passed when the step
for it has finished.
"""

from collections.abc import Mapping

STATIONS: Mapping[int, str] = {
    100: "delivered",
    200: "checked",
    300: "stored",
    400: "retrieved",
    500: "fired",
    600: "milled",
    700: "drilled",
    800: "shipped",
}
_OF_STEPS: Mapping[tuple[str, str], int] = {
    ("DPS", "DROP"): 100,
    ("AIQS", "CHECK_QUALITY"): 200,
    ("HBW", "PICK"): 300,
    ("HBW", "DROP"): 400,
    ("OVEN", "FIRE"): 500,
    ("MILL", "MILL"): 600,
    ("DRILL", "DRILL"): 700,
    ("DPS", "PICK"): 800,
}


def station_of(module_type: str | None, command: str | None) -> int | None:
    """The number of the station that a finished step passed; None for one that only moves the workpiece."""
    return _OF_STEPS.get((module_type or "", command or ""))
