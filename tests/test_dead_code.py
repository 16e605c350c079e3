"""Everything in the product's sources, the helpers of tests and the benchmarks is used."""

import tomllib
from pathlib import Path

import pytest
import vulture

ROOT = Path(__file__).parents[1]
OVERRIDES = {
    "capture_signals": "of uvicorn",
    "main_loop": "of uvicorn",
    "redirect_request": "of urllib",
    "get_schema": "of FastStream",
    "_on_socket_close": "of aiomqtt",
    "_on_socket_open": "of aiomqtt",
    "_on_socket_register_write": "of aiomqtt",
    "_on_socket_unregister_write": "of aiomqtt",
}
ENTRY_POINTS = {"constant": "kaiser.mock_patterns", "sine": "kaiser.mock_patterns", "uniform": "kaiser.mock_patterns"}
FOR_OTHERS = {
    "Matchable": "a type, named in quotes",
    "PrivateServer": "a server for tests and benchmarks",
    "due_step": "the factory's dialect",
}
CALLED_BY_THEIR_DECORATOR = ["@*validator*", "@*_serializer*", "@*.exception_handler", "@routes.*", "@*.command"]
CALLED_BY_TEST_LIBRARIES = ["@pytest.fixture", "@fixture", "@rule", "@initialize", "@invariant"]
KINDS = {"function", "class", "method", "property", "import", "unreachable_code"}
CONSTANTS = {
    "DONE": "the exit status of a command that succeeded, beside the others",
    "EVERYDAY": "the dashboards leave these oddities out",
}
CALLED_BY_OTHERS = {
    "do_POST": "of http.server",
    "do_PUT": "of http.server",
    "log_message": "of http.server",
    "connection_lost": "of asyncio",
    "handle_DATA": "of aiosmtpd",
    "delete_revision": "of the bucket that actuator gets",
    "made_at": "of the bucket that actuator gets",
    "on_change": "of the mirror that actuator gets",
}
USERS_OF_HELPERS = ("tests", "bench", "conftest.py", "services/*/tests", "libs/*/tests", "tools/*/tests", "tools/*/src")
OF_PACKAGES = {
    value.partition(":")[2]
    for path in ROOT.glob("*/*/pyproject.toml")
    for name, group in tomllib.loads(path.read_text())["project"].get("entry-points", {}).items()
    if name.startswith("kaiser.")
    for value in group.values()
}
"""Names that packages may add to by an entry point."""


@pytest.fixture(scope="module")
def unused() -> list[vulture.core.Item]:
    code = vulture.Vulture(ignore_decorators=CALLED_BY_THEIR_DECORATOR)
    folders = sorted(path for parts in ("services/*/src", "libs/*/src", "tools/*/src") for path in ROOT.glob(parts))
    code.scavenge(folders, exclude=["*/migrations/versions/*", "*/kaiser_client/calls/*"])
    found: list[vulture.core.Item] = code.get_unused_code(min_confidence=60)
    return found


def test_every_function_and_class_is_used_by_the_product(unused):
    found = {item.name: f"{item.filename}:{item.first_lineno}" for item in unused if item.typ in KINDS}
    assert found.keys() == {*OVERRIDES, *ENTRY_POINTS, *FOR_OTHERS}, found


def test_every_constant_is_used_by_the_product(unused):
    found = {
        item.name: f"{item.filename}:{item.first_lineno}"
        for item in unused
        if item.typ == "variable" and item.name.isupper() and item.name not in OF_PACKAGES
    }
    assert found.keys() == CONSTANTS.keys(), found


def test_every_helper_of_tests_and_benchmarks_is_used():
    code = vulture.Vulture(ignore_names=["test_*", "pytest_*"], ignore_decorators=CALLED_BY_TEST_LIBRARIES)
    folders = sorted(path for parts in USERS_OF_HELPERS for path in ROOT.glob(parts))
    code.scavenge(folders, exclude=["*/vendor/*", "*/snippets/*"])
    helpers = (ROOT / "tests/support", ROOT / "bench")
    found = {
        item.name: f"{item.filename}:{item.first_lineno}"
        for item in code.get_unused_code(min_confidence=60)
        if item.typ in KINDS and any(item.filename.is_relative_to(folder) for folder in helpers)
    }
    assert found.keys() == CALLED_BY_OTHERS.keys(), found
