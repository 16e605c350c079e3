"""The factory's part of the AsyncAPI document: its messages on the bus, both decoded and as received; pure."""

from collections.abc import Mapping
from typing import Any

import msgspec
from kaiser_common.contract.subjects import factory_pack_subject
from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.kept_messages import HEADERS
from kaiser_factory_dialect.wire import MODELS

_BUS = {"$ref": "#/servers/bus"}
_ENV = {"description": "The environment: the name of the broker profile that was active."}


def channels(lines: str) -> dict[str, dict[str, Any]]:
    """A channel for each kind of message that is read, one for packs of them, one for all messages as they came.

    lines: how a pack is read."""
    references, _ = _schemas()
    found = {
        f"factory_{kind.name.lower()}": _channel(
            f"factory.{{env}}.{kind.value}.{{serial}}",
            "A message of the factory that arrived alone or was retained, as it was read",
            {"env": _ENV, "serial": {"description": "The module, AGV or TXT; _ where the topic names none."}},
            {f"factory_{kind.name.lower()}": _message(kind, references[kind])},
        )
        for kind in MODELS
    }
    found["factory_pack"] = _channel(
        factory_pack_subject("{env}"),
        f"Messages of the factory that arrived together, each with its kind and the id of its delivery. {lines}",
        {"env": _ENV},
        {"factory_pack": {"name": "factory_pack", "contentType": "application/json", "payload": _line(references)}},
    )
    headers = {name: {"type": "string", "description": text} for name, text in HEADERS.items()}
    found["topic"] = _channel(
        "topic.{env}.{levels}",
        "Every message of the factory as received, byte for byte; other bytes than A-Z a-z 0-9 _ - of a level are =XX",
        {"env": _ENV, "levels": {"description": "The levels of the topic, a token each; an empty one is =."}},
        {
            "topic": {
                "name": "topic",
                "contentType": "application/octet-stream",
                "headers": {"type": "object", "properties": headers},
                "payload": {"type": "string", "format": "binary"},
            }
        },
    )
    return found


def schemas() -> dict[str, Any]:
    """The schemas that the channels refer to."""
    return _schemas()[1]


def _schemas() -> tuple[dict[FactoryKind, dict[str, Any]], dict[str, Any]]:
    references, components = msgspec.json.schema_components(
        list(MODELS.values()), ref_template="#/components/schemas/{name}"
    )
    return dict(zip(MODELS, references, strict=True)), components


def _channel(address: str, description: str, parameters: dict[str, Any], messages: dict[str, Any]) -> dict[str, Any]:
    return {
        "address": address,
        "description": description,
        "servers": [_BUS],
        "parameters": parameters,
        "messages": messages,
    }


def _message(kind: FactoryKind, payload: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"factory_{kind.name.lower()}", "contentType": "application/json", "payload": payload}


def _line(references: Mapping[FactoryKind, dict[str, Any]]) -> dict[str, Any]:
    """A line of a pack: a message of any kind, and the id of its delivery."""
    delivery = {"type": "string", "description": "The id of its MQTT delivery; a message alone has it as Nats-Msg-Id."}
    of_any_kind = list({each["$ref"]: each for each in references.values()}.values())
    return {
        "allOf": [
            {"type": "object", "required": ["delivery"], "properties": {"delivery": delivery}},
            {"anyOf": of_any_kind},
        ]
    }
