"""The AsyncAPI 3.0 document of all of Kaiser: the messages on the WebSocket, the bus and MQTT; pure."""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from kaiser_common import __version__
from kaiser_common.contract.catalogue import BODIES, BUS_MESSAGES, DOWNLINKS, EVENT_MODELS, Kind
from kaiser_common.contract.subjects import SEVERAL
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from kaiser_gateway.domain import asyncapi_devices, asyncapi_factory, asyncapi_messages, asyncapi_requests
from kaiser_gateway.domain.envelope import ANSWERS
from kaiser_gateway.domain.messages import ACTIONS

_OF_A_GPIO = ("sensor.", "actuator.")
_PARAMETERS = {
    "client_id": "Names the client: a newer connection of the same user with the same id replaces the older (4009).",
    "kaiser_id": "The site controller.",
    "esp_id": "The device; _ where none is concerned, broadcast in place of both ids for all.",
    "kind": "setup, sensor, stop or mock: what the message may be, which ingest checks.",
    "shard": "The group of devices whose readings the pack has; 0 if there is one group, or no reading.",
    "gpio": "The pin, 0 to 48; 255 is the whole device.",
    "code": "The error code.",
    "rule_id": "The rule.",
    "lane": "command, mock or replay: what the message may be, which ingest checks.",
    "serial": "The module, AGV or TXT; _ where the topic names none.",
    "env": "The environment: the name of the broker profile that was active.",
    "command_id": "The command.",
}
_LINES = """A pack: one or more of these, one a line, joined by a newline.

Python: `[json.loads(line) for line in message.data.split(b"\\n")]`.
JavaScript: `message.string().split("\\n").map((line) => JSON.parse(line))`."""
_PACKED: dict[str, str] = {
    Kind.SENSOR_DATA: f"Readings of a site that arrived together. {_LINES}",
    "sensor_data": f"The data of the frames of such readings. {_LINES}",
    "factory_module": f"The data of frames of modules and AGVs that changed together. {_LINES}",
    "rejected": f"Rejected messages, each with the reason; of several devices where esp_id is {SEVERAL}. {_LINES}",
}


def document(host: str, secure: bool) -> dict[str, Any]:
    """The document, for a gateway that is reached at `host`."""
    described = json.loads(_described())  # a copy for each caller
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Kaiser",
            "version": __version__,
            "description": "Events of an ESP32 fleet over WebSocket, every message on the bus (NATS JetStream) and the"
            " requests that services answer there, and every MQTT message of devices.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {
                "host": host,
                "protocol": "wss" if secure else "ws",
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            },
            "bus": _server("nats", 4222, "Where NATS runs."),
            "broker": _server("mqtt", 1883, "Where the MQTT broker runs."),
        },
        "channels": described["channels"],
        "operations": described["operations"],
        "components": {
            "schemas": described["schemas"],
            "securitySchemes": {
                "token": {
                    "type": "httpApiKey",
                    "in": "query",
                    "name": "token",
                    "description": "An access token; or the subprotocol pair bearer, <token>.",
                }
            },
        },
    }


def _server(protocol: str, port: int, description: str) -> dict[str, Any]:
    host = {"default": "127.0.0.1", "description": description}
    return {"host": f"{{host}}:{port}", "protocol": protocol, "variables": {"host": host}}


@lru_cache(maxsize=1)
def _described() -> str:
    """Channels, operations and schemas, as JSON: made once, because it takes a good part of a second."""
    models = [*EVENT_MODELS.values(), *BODIES.values()]
    models += [*(row.model for row in BUS_MESSAGES), *(row.model for row in DOWNLINKS)]
    models += [*ACTIONS.values(), *ANSWERS.values(), *asyncapi_requests.MODELS, *asyncapi_messages.MODELS]
    references, definitions = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)], ref_template="#/components/schemas/{model}"
    )

    def schema(model: type[BaseModel]) -> dict[str, Any]:
        return dict(references[model, "validation"])

    sockets = {
        "realtime": _realtime(schema),
        asyncapi_messages.CHANNEL: asyncapi_messages.channel(schema, _parameters(["client_id"])),
    }
    channels = {**sockets, **_bus_channels(schema), **asyncapi_factory.channels(_LINES)}
    operations = _operations(channels) | asyncapi_requests.operations() | asyncapi_devices.operations()
    channels |= asyncapi_requests.channels(schema) | asyncapi_devices.channels(schema)
    schemas = _in_asyncapi({**definitions["$defs"], **asyncapi_factory.schemas()})
    return json.dumps({"channels": channels, "operations": operations, "schemas": schemas})


def _in_asyncapi(part: Any) -> Any:
    """A schema without OpenAPI's discriminators, which AsyncAPI writes in another form; `oneOf` says the same."""
    if isinstance(part, list):
        return [_in_asyncapi(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        name: _in_asyncapi(each)
        for name, each in part.items()
        if not (name == "discriminator" and isinstance(each, dict) and "propertyName" in each)
    }


def _realtime(schema: Any) -> dict[str, Any]:
    messages: dict[str, Any] = {
        **{str(kind): _message(kind, _envelope(kind, schema(model))) for kind, model in EVENT_MODELS.items()},
        **{name: _message(name, _envelope(name, schema(model), seq=False)) for name, model in ANSWERS.items()},
        **{name: _message(name, schema(model)) for name, model in ACTIONS.items()},
    }
    return {
        "address": "/api/v1/ws/realtime/{client_id}",
        "description": "Events as they come; close codes 1001, 1013, 4001, 4003, 4008, 4009, 4400.",
        "servers": [{"$ref": "#/servers/gateway"}],
        "parameters": _parameters(["client_id"]),
        "messages": messages,
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {
                    "type": "object",
                    "properties": {
                        "token": {"type": "string"},
                        "rate": {"type": "number", "description": "Frames a second, 10 by default."},
                    },
                },
                "bindingVersion": "0.1.0",
            }
        },
    }


def _bus_channels(schema: Any) -> dict[str, dict[str, Any]]:
    addresses: dict[str, tuple[str, type[BaseModel], str]] = {
        **{
            f"device_{kind.name.lower()}": (
                _device_address(kind),
                model,
                _PACKED.get(kind, "Said by a device, normalised"),
            )
            for kind, model in BODIES.items()
        },
        **{
            f"event_{kind}": (_event_address(kind), model, _PACKED.get(kind, "The data of a frame"))
            for kind, model in EVENT_MODELS.items()
        },
        **{row.name: (row.subject, row.model, _PACKED.get(row.name, row.purpose)) for row in BUS_MESSAGES},
    }
    return {
        name: {
            "address": address,
            "description": description,
            "servers": [{"$ref": "#/servers/bus"}],
            "parameters": _parameters(_names_in(address)),
            "messages": {name: _message(name, schema(model))},
        }
        for name, (address, model, description) in addresses.items()
    }


def _event_address(kind: str) -> str:
    return f"event.{kind}.{{shard}}" if kind in _PACKED else f"event.{kind}.{{esp_id}}"


def _device_address(kind: Kind) -> str:
    if kind in _PACKED:
        return f"esp.{kind.value}.{{kaiser_id}}.{{shard}}"
    of_a_gpio = kind.value.startswith(_OF_A_GPIO) and kind is not Kind.EMERGENCY_RESPONSE
    gpio = ".{gpio}" if of_a_gpio else ""
    return f"esp.{kind.value}.{{kaiser_id}}.{{esp_id}}{gpio}"


def _names_in(address: str) -> list[str]:
    return [name for name in _PARAMETERS if f"{{{name}}}" in address]


def _parameters(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"description": _PARAMETERS[name]} for name in names}


def _message(name: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "contentType": "application/json", "payload": payload}


def _envelope(kind: str, data: dict[str, Any], *, seq: bool = True) -> dict[str, Any]:
    properties: dict[str, Any] = {"type": {"const": kind}, "timestamp": {"type": "number"}, "data": data}
    if seq:
        properties["seq"] = {"type": "integer", "minimum": 1}
    required = ["type", "timestamp", "data"]
    return {"type": "object", "properties": properties, "required": required}


def _operations(channels: dict[str, dict[str, Any]]) -> dict[str, Any]:
    def operation(action: str, channel: str, names: Iterable[str], summary: str) -> dict[str, Any]:
        return {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": summary,
            "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names],
        }

    of_messages = asyncapi_messages.CHANNEL
    bus = [name for name in channels if name not in {"realtime", of_messages}]
    return {
        "sendEvents": operation("send", "realtime", EVENT_MODELS, "Events that pass the client's filters"),
        "sendAnswers": operation("send", "realtime", ANSWERS, "Answers to a client"),
        "sendMessages": operation("send", of_messages, asyncapi_messages.FRAMES, "MQTT messages of the factory"),
        "receivePings": operation("receive", of_messages, asyncapi_messages.SAID, "Pings of viewers"),
        "receiveActions": operation("receive", "realtime", ACTIONS, "Messages that a client may send"),
        **{f"publish_{name}": operation("send", name, [name], "Published by a service") for name in bus},
        **{f"consume_{name}": operation("receive", name, [name], "Read by services") for name in bus},
    }
