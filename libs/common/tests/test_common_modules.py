"""libs/common stays small: the contract, the bus, and what a service runs in."""

from pathlib import Path

import kaiser_common

MODULES = {
    "contract": {"bounds", "catalogue", "errors", "pack", "schemas", "subjects", "topics"},
    "bus": {
        *("bucket", "connection", "consumer", "declare", "lease", "metrics", "mirror", "pull", "quarantine", "reader"),
        *("requests", "rpc", "settings"),
    },
    "runtime": {
        *("asyncapi", "broker", "cursors", "database", "durable", "loops", "outside", "service", "settings"),
        *("statements", "status", "tracing", "wiring"),
    },
    "migrate": {"alembic", "command"},
}


def test_a_module_more_needs_a_decision():
    folder = Path(kaiser_common.__file__).parent
    assert {path.stem for path in folder.iterdir()} - {"__init__", "__pycache__", "py"} == set(MODULES)
    for package, modules in MODULES.items():
        assert {path.stem for path in (folder / package).iterdir()} - {"__init__", "__pycache__"} == modules
