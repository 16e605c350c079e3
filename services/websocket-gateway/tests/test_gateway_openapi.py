"""The OpenAPI document describes every operation, with an example for each field that is to be filled in."""

import importlib
import inspect
import pkgutil

import jsonschema_rs
import pytest
from kaiser_gateway import api, handlers
from kaiser_gateway.settings import GatewaySettings
from serverless_gateway import serverless_gateway


@pytest.fixture(scope="module")
def document() -> dict:
    return serverless_gateway(GatewaySettings()).openapi()


def operations(document: dict):
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            yield f"{verb.upper()} {path}", operation


def resolved(document: dict, schema: dict) -> dict:
    """The schema behind a reference, the first one where null is the other choice."""
    schema = schema.get("anyOf", [schema])[0]
    if "$ref" in schema:
        return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def test_each_module_of_api_with_a_router_is_in_the_application():
    modules = [importlib.import_module(f"{api.__name__}.{each.name}") for each in pkgutil.iter_modules(api.__path__)]
    routers = [module for module in modules if hasattr(module, "router")]
    usual = [module for module in routers if [*inspect.signature(module.router).parameters] == ["bus", "guard"]]
    assert {module.__name__ for module in usual} == {module.__name__ for module in handlers.ROUTERS}
    assert len(usual) >= 15
    for module in routers:
        assert module in usual or any(each is module for each in vars(handlers).values()), module.__name__


def test_every_operation_has_a_sentence(document):
    assert [name for name, operation in operations(document) if not operation.get("description")] == []


def test_every_body_has_an_example_that_is_valid(document):
    for name, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = resolved(document, content["schema"])
            fields = schema.get("properties", {}).values()
            examples = schema.get("examples", [])
            assert examples or all(field.get("examples") for field in fields), name
            for example in examples:
                whole = {**schema, "components": document["components"]}
                jsonschema_rs.Draft202012Validator(whole).validate(example)


def test_every_path_parameter_has_an_example(document):
    without = [
        f"{name} {parameter['name']}"
        for name, operation in operations(document)
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "path" and not (parameter.get("examples") or parameter["schema"].get("examples"))
    ]
    assert without == []


def test_every_list_is_paged(document):
    for name, operation in operations(document):
        content = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
        answer = resolved(document, content.get("schema", {}))
        if "items" in answer.get("properties", {}):
            assert {"next_cursor", "left_out"} & answer["properties"].keys(), name
