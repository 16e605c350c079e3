"""Which functions of the tests can fail: by an assertion of their own, or of what they call."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

_ASSERTING = {"raises", "expect", "fail", "run_state_machine_as_test"}
"""Of pytest, Playwright and Hypothesis."""
_NEVER = {"skip", "xfail"}
"""Marks of a test that shows nothing."""
_ASSERTS = "assert"
Function = ast.FunctionDef | ast.AsyncFunctionDef


def can_fail(sources: Iterable[Path]) -> set[str]:
    """The names of the functions of these files that assert something and are run."""
    functions = [(one.name, _does(one)) for path in sources for one in _functions(path)]
    found: set[str] = set()
    while more := {name for name, does in functions if name not in found and does & {_ASSERTS, *_ASSERTING, *found}}:
        found |= more
    return found


def _functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function) and not _is_left_out(node):
            yield node


def _is_left_out(function: Function) -> bool:
    marks = [mark.func if isinstance(mark, ast.Call) else mark for mark in function.decorator_list]
    return any(isinstance(mark, ast.Attribute) and mark.attr in _NEVER for mark in marks)


def _does(function: Function) -> set[str]:
    """The names of what it calls, and `assert` if it asserts something."""
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            found.add(_ASSERTS)
        elif isinstance(node, ast.Call):
            match node.func:
                case ast.Attribute(attr=name) | ast.Name(id=name):
                    found.add(name)
    return found
