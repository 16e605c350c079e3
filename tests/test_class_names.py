"""One noun has one meaning: a public class name exists once in the sources."""

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]

TWICE = {
    "Accepted",
    "Account",
    "Bucket",
    "CommandRequest",
    "Device",
    "Emergency",
    "Ignored",
    "Level",
    "Outgoing",
    "Plan",
    "Processed",
    "Progress",
    "Publication",
    "Reading",
    "Recorded",
    "Refused",
    "Sent",
    "Session",
}
"""Names that stand for two things still. The list only shrinks."""


def test_a_public_class_name_exists_once():
    names = Counter(
        node.name
        for path in ROOT.glob("*/*/src/**/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, count in names.items() if count > 1} == TWICE
