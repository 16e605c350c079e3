"""The code uses what libraries offer to everybody: nothing of nats-py and FastStream that begins with an underscore."""

import ast
import inspect
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

import nats.aio.client
import nats.aio.msg
import nats.aio.subscription
import nats.js.client
import nats.js.kv
import nats.js.manager
import nats.js.object_store
import pytest
from kaiser_common.bus.requests import RpcSpecification, RpcSubscriber
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.durable import DurableSubscriber

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
OURS = (Broker, DurableSubscriber, RpcSpecification, RpcSubscriber)
"""The classes that are subclasses of FastStream's."""
LIBRARIES = ("fast_depends", "faststream", "nats")
OUTER = ("libs/common/src/kaiser_common/bus/calls.py", "_outer_config")
"""FastStream's subscribers take the configuration of their broker by this keyword, and in no other way."""


@cache
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


def subclasses_of_nats(trees: Collection[ast.Module]) -> list[set[ast.ClassDef]]:
    """Of each module the classes that are nats-py's by inheritance, from it or from one of ours that is."""
    modules = [
        (names_of_nats(tree), [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.bases])
        for tree in trees
    ]
    found: list[set[ast.ClassDef]] = [set() for _ in trees]
    count = -1
    while count != (count := sum(map(len, found))):
        ours = {node.name for classes in found for node in classes}
        for (theirs, nodes), classes in zip(modules, found, strict=True):
            bases = [(node, ast.unparse(base)) for node in nodes for base in node.bases]
            classes |= {node for node, base in bases if {base, base.split(".")[0]} & (theirs | ours)}
    return found


def names_of_nats(tree: ast.Module) -> set[str]:
    """The names by which a module knows nats-py, its modules and what is in them."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "nats":
            found |= {each.asname or each.name for each in node.names}
        elif isinstance(node, ast.Import):
            found |= {each.asname or "nats" for each in node.names if each.name.split(".")[0] == "nats"}
    return found


def private_of_nats(trees: Collection[ast.Module]) -> list[set[tuple[int, str]]]:
    """Of each module the uses of nats-py's private names, and in subclasses of its classes what overrides them too."""
    names = private_names()
    return [
        {(line, name) for line, name in foreign_private(tree) if name in names}
        | {(line, name) for node in classes for line, name in private(node) if name in names}
        for tree, classes in zip(trees, subclasses_of_nats(trees), strict=True)
    ]


def test_no_private_name_of_nats_is_used_or_overridden():
    assert {"_send_command", "_ps", "_id", "_reading_task"} <= private_names(), "the test sees them"
    texts = {path: text for path in sources() if "nats" in (text := path.read_text()) or "bus" in text}
    trees = [ast.parse(text) for text in texts.values()]
    assert {node.name for classes in subclasses_of_nats(trees) for node in classes} >= {"KaiserClient"}
    used = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path, found in zip(texts, private_of_nats(trees), strict=True)
        for line, name in sorted(found)
    ]
    assert used == []


@pytest.mark.parametrize(
    "source",
    [
        "class A(B):\n    def f(self): return self.client._ps",
        "from nats.aio.client import Client\nclass A(Client):\n    def f(self): return self._ps",
        "from nats.aio.client import Client as C\nclass A(C):\n    def f(self): self._ps = 1",
        "from nats.aio.client import Client\nclass A(Client):\n    def _send_command(self): ...",
        "from nats.aio import client\nclass A(client.Client):\n    async def f(self): await super()._process_pong()",
        "import nats.aio.client\nclass A(nats.aio.client.Client):\n    def f(cls): return cls._ps",
        "from bus import Ours\nclass A(Ours):\n    def f(self): return self._ps",
    ],
)
def test_a_private_name_of_nats_is_seen_in_a_subclass_too(source):
    ours = "from nats.aio.client import Client\nclass Ours(Client):\n    pass"
    _, found = private_of_nats([ast.parse(ours), ast.parse(source)])
    assert len(found) == 1


def test_a_private_name_of_another_class_is_none_of_nats():
    source = "from nats.aio.client import Client\nclass A:\n    def f(self): return self._ps"
    assert private_of_nats([ast.parse(source)]) == [set()]


def private_names_of_faststream() -> set[str]:
    """Every name with one underscore in the modules of FastStream's classes of which ours are subclasses."""
    modules = {
        Path(inspect.getfile(each))
        for ours in OURS
        for each in ours.__mro__
        if each.__module__.partition(".")[0] == "faststream"
    }
    return {name for module in modules for _, name in private(ast.parse(module.read_text()))}


def private(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each name with one underscore that is defined, taken or passed by keyword, or used as an attribute."""
    for node in ast.walk(tree):
        name = None
        if isinstance(node, ast.Attribute):
            name = node.attr
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = node.name
        elif isinstance(node, ast.arg | ast.keyword):
            name = node.arg
        if name is not None and name.startswith("_") and not name.startswith("__") and name != "_":
            yield node.lineno, name


def private_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Each module or name with an underscore that is imported of nats-py, FastStream or its fast_depends."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{each.name}" for each in node.names]
        elif isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        for name in names:
            first, *rest = name.split(".")
            if first in LIBRARIES and any(part.startswith("_") for part in rest):
                yield node.lineno, name


def test_no_private_name_of_faststream_is_used_or_overridden():
    names = private_names_of_faststream()
    assert {"_outer_config", "_create_subscription", "_connect"} <= names, "the test sees them"
    used = [
        (str(path.relative_to(ROOT)), line, name)
        for path in sources()
        if "faststream" in (text := path.read_text())
        for line, name in private(ast.parse(text))
        if name in names
    ]
    assert [(path, name) for path, _, name in used] == [OUTER], used


def test_no_private_module_of_nats_or_faststream_is_imported():
    imported = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in sources()
        if any(f"import {name}" in (text := path.read_text()) or f"from {name}" in text for name in LIBRARIES)
        for line, name in private_imports(ast.parse(text))
    ]
    assert imported == []


@pytest.mark.parametrize(
    "source",
    [
        "from faststream._internal.endpoint.publisher import PublisherProto",
        "from faststream import _internal",
        "import nats.js._manager",
        "from fast_depends import _compat as c",
    ],
)
def test_a_private_import_is_seen(source):
    assert len(list(private_imports(ast.parse(source)))) == 1


def test_a_private_name_is_seen_in_each_of_its_forms():
    source = "class A(B):\n    def _a(self, _b): return c(_d=1)._e + self._f\n"
    assert {name for _, name in private(ast.parse(source))} == {"_a", "_b", "_d", "_e", "_f"}
