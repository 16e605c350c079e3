"""libs/factory stays pure: of Kaiser it imports errors, bounds and topics, and no module but cli.py does I/O."""

import ast
import sys
from pathlib import Path

import kaiser_factory_dialect

FOLDER = Path(kaiser_factory_dialect.__file__).parent
IMPURE = {"asyncio", "os", "pathlib", "random", "secrets", "socket", "sqlite3", "subprocess", "tempfile", "time"}
OUTSIDE = {"msgspec", "msgspec.structs", *(f"kaiser_common.contract.{name}" for name in ("errors", "bounds", "topics"))}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
    return found


def test_only_the_command_line_does_io():
    for path in FOLDER.rglob("*.py"):
        roots = {name.split(".")[0] for name in imports(path)}
        if path.name != "cli.py":
            assert not roots & IMPURE, path.name
            assert not {"open", "print", "input"} & names(path), path.name


def test_nothing_of_kaiser_but_errors_bounds_and_topics_is_imported():
    for path in FOLDER.rglob("*.py"):
        foreign = {
            name
            for name in imports(path)
            if name.split(".")[0] not in {*sys.stdlib_module_names, "kaiser_factory_dialect"}
        }
        assert foreign <= OUTSIDE, path.name


def names(path: Path) -> set[str]:
    """Names that a module calls."""
    return {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
