"""CI requires each part for want of which a test is skipped, so that none is skipped there unnoticed."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATHS = [ROOT / "conftest.py", *(ROOT / "tests").rglob("*.py"), *ROOT.glob("*/*/tests/**/*.py")]
NOT_EVERYWHERE = {"esphome"}
"""Parts whose installation .ci/run lets fail, with a line that says so."""


def test_ci_requires_every_part_for_want_of_which_a_test_is_skipped():
    asked = {part for path in PATHS for part in re.findall(r'(?<![.\w])missing\(\s*"([^"]+)",', path.read_text())}
    lists = re.findall(r"KAISER_TEST_REQUIRE=(\S+)", (ROOT / ".ci/run").read_text())
    required = {part for each in lists for part in each.split(",")} - {"$KAISER_TEST_REQUIRE"}
    assert {"g++", "mosquitto", "docker"} <= required
    assert asked - NOT_EVERYWHERE == required
