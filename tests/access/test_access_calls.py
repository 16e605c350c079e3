"""The rights to ask are those that the sources use: each call is in the catalogue, each of it is made and answered."""

import ast
from collections.abc import Iterator

import pytest
from kaiser_deploy.grants import CALLS, grants
from secured import ROOT

HINT = "correct `callers` in kaiser_common.contract.methods, then run `make grants`"
ASKING = ("call", "call_for_json")


def _trees(service: str) -> Iterator[ast.AST]:
    for path in sorted((ROOT / "services" / service / "src").rglob("*.py")):
        yield from ast.walk(ast.parse(path.read_text()))


def _calls(service: str) -> set[tuple[str, str]]:
    """Service and method of every `call(bus, "service", "method", …)`; a computed one cannot be read: write it out."""
    found = set()
    for node in _trees(service):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ASKING:
            asked = [each.value if isinstance(each, ast.Constant) else None for each in node.args[1:3]]
            assert all(isinstance(each, str) for each in asked), f"{service}: {ast.unparse(node)[:100]}"
            found.add((str(asked[0]), str(asked[1])))
    return found


def _answers(service: str) -> set[str]:
    """The methods of a service: the keys in `register(rpc, METHODS, {"name": function})` of its handlers.py."""
    return {
        str(key.value)
        for node in _trees(service)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "register"
        and isinstance(node.args[2], ast.Dict)
        for key in node.args[2].keys
        if isinstance(key, ast.Constant)
    }


SERVICES = sorted(path.name for path in (ROOT / "services").iterdir() if path.is_dir())


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_may_ask_exactly_what_its_sources_ask(service: str):
    allowed = {(asked, method) for asked, methods in CALLS.get(service, {}).items() for method in methods}
    assert _calls(service) == allowed, HINT


@pytest.mark.parametrize("service", SERVICES)
def test_every_method_is_asked_by_somebody_and_every_one_asked_exists(service: str):
    asked = {method for calls in CALLS.values() for method in calls.get(service, ())}
    assert _answers(service) == asked, HINT


def test_no_user_may_ask_for_whatever_method_it_likes():
    asks = [right for user in grants() for right in user.publish if right.startswith("rpc.")]
    assert [right for right in asks if "*" in right or ">" in right] == []
    assert len(asks) > 60
