"""Looks up in the OpenAPI document which field names a request body may have at a given place; pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]


def body_fields(document: Mapping[str, Any], path: str, verb: str, place: Sequence[str | int]) -> set[str]:
    """The fields that a JSON body may have at a place, such as `("sensors", 0)`; `()` is the body itself."""
    operation = document["paths"].get(path, {}).get(verb.lower(), {})
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    schemas = document["components"]["schemas"]
    found = list(_objects(schema, schemas))
    for part in place:
        below = [each for one in found for each in _below(one, part, schemas)]
        found = below or found  # a part that leads nowhere is the name that pydantic gives to a member of a union
    return {name for one in found for name in one.get("properties", {})}


def _below(schema: Schema, part: str | int, schemas: Mapping[str, Schema]) -> Iterator[Schema]:
    below = schema.get("items") if isinstance(part, int) else schema.get("properties", {}).get(part)
    if below:
        yield from _objects(below, schemas)


def _objects(schema: Schema, schemas: Mapping[str, Schema]) -> Iterator[Schema]:
    """The schemas that a schema stands for: of a reference what it names, of a union each member."""
    if "$ref" in schema:
        yield from _objects(schemas[schema["$ref"].rpartition("/")[2]], schemas)
        return
    members = [member for union in ("anyOf", "oneOf", "allOf") for member in schema.get(union, [])]
    for member in members:
        yield from _objects(member, schemas)
    if not members:
        yield schema
