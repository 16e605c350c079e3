"""Each call of the client is an operation of the OpenAPI document: name, method, path, query, body and answer."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

import kaiser_client.calls
import pytest
from kaiser_client import Call
from kaiser_gateway.settings import GatewaySettings
from pydantic import BaseModel
from serverless_gateway import serverless_gateway

OPERATION_OF = {"list_buckets": "list_readings"}
"""Calls that are another form of an operation."""
OWN_NAMES = {
    "GivenTokens": "TokenAnswer",
    "RefreshBody": "RefreshRequest",
    "NamedUser": "User",
    "NamedUsers": "UsersPage",
    "UserBody": "PutUser",
}
"""Models that the gateway keeps to itself, by the client's name."""
GIVEN = {"role": "viewer"}
VERBS = """
acknowledge add approve assign begin change clear configure control create delete end export finish import list
make measure press preview push put raise read refresh register reject remove replace replay
send set shelve sign start steer stop switch test unshelve validate
"""


def functions() -> Iterator[Callable[..., Call[Any]]]:
    for found in pkgutil.iter_modules(kaiser_client.calls.__path__):
        module = importlib.import_module(f"kaiser_client.calls.{found.name}")
        for _, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not function.__name__.startswith("_"):
                yield function


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return serverless_gateway(GatewaySettings()).openapi()


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    return {
        operation["operationId"]: (verb.upper(), path, operation)
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
    }


def called(function: Callable[..., Call[Any]]) -> Call[Any]:
    """The call with every argument given."""
    hints = get_type_hints(function)
    given = {}
    for name in inspect.signature(function).parameters:
        kind = hints[name]
        is_model = inspect.isclass(kind) and issubclass(kind, BaseModel)
        given[name] = kind.model_construct() if is_model else 4 if kind is int else GIVEN.get(name, "x")
    return function(**given)


def model_of(content: dict[str, Any]) -> set[str]:
    """The names of the models in a body or an answer."""
    return set(re.findall(r"#/components/schemas/(\w+)'", str(content.get("content", {}).get("application/json", {}))))


def test_every_operation_has_a_name_of_its_own_that_begins_with_a_verb(document, operations):
    assert len(operations) == sum(len(verbs) for verbs in document["paths"].values())
    odd = [name for name in operations if name.split("_")[0] not in VERBS.split() or "_" not in name or "__" in name]
    assert odd == []


@pytest.mark.parametrize("function", list(functions()), ids=lambda function: function.__name__)
def test_a_call_is_the_operation_of_its_name(function, operations):
    call = called(function)
    method, path, operation = operations[OPERATION_OF.get(function.__name__, function.__name__)]
    assert (call.method, call.path) == (method, path)
    parameters = operation.get("parameters", [])
    by_place = {
        place: {one["name"] for one in parameters if one["in"] == place} for place in ("path", "query", "header")
    }
    assert set(call.parameters) == by_place["path"]
    assert set(call.query) <= by_place["query"]
    assert {one["name"] for one in parameters if one["in"] == "query" and one.get("required")} <= set(call.query)
    assert set(call.headers) <= by_place["header"]
    body = operation.get("requestBody", {})
    if call.body is not None:
        name = type(call.body).__name__
        assert model_of(body) == {OWN_NAMES.get(name, name)}
        assert "{" not in call.url()
    else:
        assert "application/json" not in body.get("content", {})
    answers = {status: answer for status, answer in operation["responses"].items() if status.startswith("2")}
    models = {name for answer in answers.values() for name in model_of(answer)}
    answered = call.answer.__name__
    assert (OWN_NAMES.get(answered, answered) in models) if models else answered == "NoneType"
