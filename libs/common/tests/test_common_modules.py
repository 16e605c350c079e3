"""libs/common stays small: what crosses a service border, and the shell."""

from pathlib import Path

import kaiser_common

MODULES = {
    "bounds",
    "bucket",
    "bus",
    "consumer",
    "cursors",
    "database",
    "declare",
    "errors",
    "lease",
    "loops",
    "metrics",
    "migrate",
    "mirror",
    "outside",
    "pack",
    "pull",
    "quarantine",
    "reader",
    "rpc",
    "service",
    "settings",
    "subjects",
    "topics",
    "tracing",
    "wiring",
}


def test_a_module_more_needs_a_decision():
    folder = Path(kaiser_common.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == MODULES
    assert {path.name for path in folder.iterdir() if path.is_dir()} - {"__pycache__"} == {
        "alembic",
        "contract",
        "schemas",
    }
