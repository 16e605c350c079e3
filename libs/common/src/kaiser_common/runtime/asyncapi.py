"""AsyncAPI 3.0 documents: adds the answers that FastStream's generator leaves out, and merges documents; pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

_PARTS = ("servers", "channels", "operations")
_REFERENCES = "#/components/schemas/{model}"


def merged(first: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The first document with the servers, channels, operations and components of the others. Of two of a name the
    first stays; schemas too: each model is declared once, so a name means the same everywhere."""
    whole = {**first, **{part: {**first.get(part, {})} for part in _PARTS}}
    components = {kind: {**each} for kind, each in first.get("components", {}).items()}
    for other in others:
        for part in _PARTS:
            whole[part] = {**other.get(part, {}), **whole[part]}
        for kind, each in other.get("components", {}).items():
            components[kind] = {**each, **components.get(kind, {})}
    return {**whole, "components": components}


def with_replies(document: dict[str, Any], answers: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """A document with the answer of each method, by its subject: FastStream's generator knows requests alone."""
    for subject, answer in answers.items():
        schema = answer.model_json_schema(ref_template=_REFERENCES)
        document["components"]["schemas"].update(schema.pop("$defs", {}))
        document["components"]["schemas"].setdefault(answer.__name__, schema)
        channel = f"{subject}-answer"
        document["channels"][channel] = {
            "address": None,
            "description": "The inbox of the caller; a refusal has the header Kaiser-Problem.",
            "messages": {"Answer": {"payload": {"$ref": _REFERENCES.format(model=answer.__name__)}}},
        }
        document["operations"][f"{subject}Subscribe"]["reply"] = {
            "channel": {"$ref": f"#/channels/{channel}"},
            "messages": [{"$ref": f"#/channels/{channel}/messages/Answer"}],
        }
    return document
