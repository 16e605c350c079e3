"""The owner of a method demands the same role as the gateway's route to it, so that no other way in gives more."""

import ast
import re
from pathlib import Path

import pytest
from kaiser_common.contract.methods.ingest import ONLY_FACTORY
from kaiser_common.contract.methods.whole import METHODS
from kaiser_deploy.grants import CALLS

ROOT = Path(__file__).parents[1]
GATEWAY = ROOT / "services/websocket-gateway/src/kaiser_gateway/api"
RANK = {"viewer": 1, "operator": 2, "admin": 3}


def of_routes() -> dict[tuple[str, str], set[str]]:
    """The roles of the routes that ask for a method, by service and method."""
    found: dict[tuple[str, str], set[str]] = {}
    for path in GATEWAY.glob("*.py"):
        text = path.read_text()
        needed: dict[str, str] = {}
        for names, values in re.findall(r"^    ([\w, ]+) = (guard\.needs.*)$", text, re.MULTILINE):
            needed |= zip(names.split(", "), re.findall(r"needs\(\"(\w+)\"", values), strict=True)
        for function in ast.walk(ast.parse(text)):
            if not isinstance(function, ast.AsyncFunctionDef):
                continue
            arguments = function.args.args[len(function.args.args) - len(function.args.defaults) :]
            roles = [
                needed[default.id]
                for argument, default in zip(arguments, function.args.defaults, strict=True)
                if argument.arg == "caller" and isinstance(default, ast.Name)
            ]
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "call" and roles:
                    service, method = call.args[1:3]
                    if isinstance(service, ast.Constant) and isinstance(method, ast.Constant):
                        found.setdefault((service.value, method.value), set()).update(roles)
    return found


OWNERS = {(row.service, row.name): row.least for row in METHODS}
"""The least role of each method; that its owner demands it is `kaiser_common.runtime.wiring.register`."""


def test_every_method_that_somebody_may_ask_for_is_found():
    asked = {
        ("ingest" if service == ONLY_FACTORY else service, method)
        for called in CALLS.values()
        for service in called
        for method in called[service]
    }
    assert asked <= OWNERS.keys()


def named(method_or_roles: tuple[str, str] | set[str]) -> str:
    """The same name in each process: workers of pytest-xdist must collect the same tests."""
    return ".".join(method_or_roles if isinstance(method_or_roles, tuple) else sorted(method_or_roles))


@pytest.mark.parametrize(("method", "roles"), sorted(of_routes().items()), ids=named)
def test_an_owner_demands_the_role_of_the_route(method: tuple[str, str], roles: set[str]):
    assert OWNERS[method] == min(roles, key=RANK.__getitem__)


@pytest.mark.parametrize(
    ("method", "least"),
    [
        ("actuator.config_items", "viewer"),
        ("sensor.config_items", "viewer"),
        ("health.delete_mock", "operator"),
        ("health.register_mock", "operator"),
        ("health.push_subzone", "operator"),  # its routes share a function
    ],
)
def test_what_no_route_names_demands_a_role_too(method: str, least: str):
    service, _, name = method.partition(".")
    assert OWNERS[service, name] == least
