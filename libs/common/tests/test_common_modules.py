"""libs/common stays small: the contract, the bus, and what a service runs in."""

from pathlib import Path

import kaiser_common

MODULES = {
    "contract": {
        "addresses",
        "alarm_kinds",
        "bounds",
        "catalogue",
        "errors",
        "methods",
        "pack",
        "rpc",
        "schemas",
        "standing",
        "subjects",
        "system_events",
        "times",
    }
    | {"nearest", "time_zones", "topics", "wording"},
    "bus": {"bucket", "calls", "client", "connection", "consumer", "dead_letters", "declare", "environment"}
    | {
        "direct",
        "events",
        "lease",
        "metrics",
        "mirror",
        "pull",
        "purge",
        "reader",
        "requests",
        "right_of_way",
        "rpc",
        "settings",
        "turns",
        "waiting",
    },
    "runtime": {
        "asyncapi",
        "audit",
        "broker",
        "check_settings",
        "clock",
        "columns",
        "consume",
        "cursors",
        "database",
        "durable",
        "known_settings",
        "logs",
        "loops",
    }
    | {
        "partitions",
        "readiness",
        "service",
        "settings",
        "statements",
        "status",
        "tracing",
        "upsert",
        "verdicts",
        "versions",
        "wiring",
    },
    "migrate": {"alembic", "command"},
}


def test_a_module_more_needs_a_decision():
    folder = Path(kaiser_common.__file__).parent
    assert {path.stem for path in folder.iterdir()} - {"__init__", "__pycache__", "py"} == set(MODULES)
    for package, modules in MODULES.items():
        assert {path.stem for path in (folder / package).iterdir()} - {"__init__", "__pycache__"} == modules
