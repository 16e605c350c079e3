"""The code uses what libraries offer to everybody: nothing of nats-py that begins with an underscore."""

import ast
from collections.abc import Iterator
from pathlib import Path

import nats.aio.client
import nats.aio.msg
import nats.aio.subscription
import nats.js.client
import nats.js.kv
import nats.js.manager
import nats.js.object_store

ROOT = Path(__file__).parents[3]
MODULES = (
    nats.aio.client,
    nats.aio.msg,
    nats.aio.subscription,
    nats.js.client,
    nats.js.kv,
    nats.js.manager,
    nats.js.object_store,
)


def private_names() -> set[str]:
    """Every attribute of nats-py's classes, and of their objects, that begins with one underscore."""
    found = set()
    for module in MODULES:
        tree = ast.parse(Path(module.__file__).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
    of_namedtuple = {"_replace", "_asdict", "_make", "_fields"}
    return {name for name in found - of_namedtuple if name.startswith("_") and not name.startswith("__")}


def sources() -> Iterator[Path]:
    for folder in ("libs", "services", "tools"):
        yield from (path for path in (ROOT / folder).rglob("src/**/*.py") if ".venv" not in path.parts)


def foreign_private(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Private attributes of anything but `self`, `cls` and a class's own name."""
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    defined = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    defined |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
            continue
        if isinstance(node.value, ast.Name) and node.value.id in {"self", "cls", *own}:
            continue
        if node.attr not in defined:  # another object of a class of this file
            yield node.lineno, node.attr


def test_no_private_name_of_nats_is_used():
    names = private_names()
    assert {"_send_command", "_ps", "_id", "_reading_task"} <= names, "the test sees them"
    used = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in sources()
        if "nats" in (text := path.read_text()) or "bus" in text
        for line, name in foreign_private(ast.parse(text))
        if name in names
    ]
    assert used == []
