"""The devices' part of the AsyncAPI document: what goes over MQTT, both ways; pure."""

from collections.abc import Callable
from typing import Any

from kaiser_common.contract.catalogue import DOWNLINKS, UPLINKS, DownlinkRow, Kind, UplinkRow
from pydantic import BaseModel

_PARAMETERS = {"kaiser_id": "The site controller.", "esp_id": "The device.", "gpio": "The pin, 0 to 48."}
_RETAINED = Kind.SERVER_STATUS


def channels(schema: Callable[[type[BaseModel]], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A channel for each topic."""
    sent = {_name(row): _channel(row.topic, _note(row), _from_device(row)) for row in UPLINKS}
    return sent | {_name(row): _channel(row.topic, row.note, _to_device(row, schema)) for row in DOWNLINKS}


def operations() -> dict[str, dict[str, Any]]:
    """Kaiser receives what devices send, and sends at QoS 1."""
    return {f"receive_{_name(row)}": _operation("receive", row) for row in UPLINKS} | {
        f"send_{_name(row)}": {
            **_operation("send", row),
            "bindings": {"mqtt": {"qos": 1, "retain": row.kind is _RETAINED, "bindingVersion": "0.2.0"}},
        }
        for row in DOWNLINKS
    }


def _name(row: UplinkRow | DownlinkRow) -> str:
    return f"mqtt_{row.kind.name.lower()}"


def _note(row: UplinkRow) -> str:
    older = [f"Also on {_address(topic)}." for topic in row.older]
    return " ".join([*([f"{row.note}."] if row.note else []), f"QoS of generation A {row.a}, B {row.b}.", *older])


def _from_device(row: UplinkRow) -> dict[str, Any]:
    """The payload as the firmware writes it; docs/devices.md has the fields. Normalised it is a bus message."""
    return {
        "name": _name(row),
        "contentType": "application/json",
        "payload": {"type": "object"},
        "examples": [{"name": "least", "payload": dict(row.required)}],
    }


def _to_device(row: DownlinkRow, schema: Callable[[type[BaseModel]], dict[str, Any]]) -> dict[str, Any]:
    return {"name": _name(row), "contentType": "application/json", "payload": schema(row.model)}


def _channel(topic: str, description: str, message: dict[str, Any]) -> dict[str, Any]:
    address = _address(topic)
    return {
        "address": address,
        "description": description,
        "servers": [{"$ref": "#/servers/broker"}],
        "parameters": {name: {"description": text} for name, text in _PARAMETERS.items() if f"{{{name}}}" in address},
        "messages": {message["name"]: message},
    }


def _operation(action: str, row: UplinkRow | DownlinkRow) -> dict[str, Any]:
    channel = f"#/channels/{_name(row)}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "summary": "Sent by devices" if action == "receive" else "Sent to devices",
        "messages": [{"$ref": f"{channel}/messages/{_name(row)}"}],
    }


def _address(topic: str) -> str:
    return topic.replace("{k}", "{kaiser_id}").replace("{esp}", "{esp_id}")
