"""Messages to devices in the form that their firmware reads: no nulls, bounded in size; pure."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.catalogue import DOWNLINK, XIAO_BYTES
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.devices import SYSTEM_COMMANDS
from kaiser_common.contract.schemas.device import DeviceConfig
from kaiser_common.contract.topics import Kind

Generation = Literal["A", "B"]

SET_TOKEN = "set_emergency_token"
SCAN = "onewire/scan"


def config_payload(config: DeviceConfig) -> dict[str, Any]:
    """A configuration as devices take it: defaults, empty values and empty lists left out, every item with a name.

    A list that is left out is not answered: the scopes of a push are the keys that are here.
    """
    sensors = [
        {
            "gpio": item.gpio,
            "sensor_type": item.sensor_type,
            "sensor_name": item.sensor_name or f"{item.sensor_type}_{item.gpio}",
            **item.model_dump(exclude={"gpio", "sensor_type", "sensor_name"}, exclude_defaults=True, exclude_none=True),
        }
        for item in config.sensors
    ]
    actuators = [
        {
            "gpio": item.gpio,
            "actuator_type": item.actuator_type,
            "actuator_name": item.actuator_name or f"{item.actuator_type}_{item.gpio}",
            **item.model_dump(
                exclude={"gpio", "actuator_type", "actuator_name"}, exclude_defaults=True, exclude_none=True
            ),
        }
        for item in config.actuators
    ]
    return {name: items for name, items in (("sensors", sensors), ("actuators", actuators)) if items}


def check_command(generation: Generation, command: str, confirm: bool) -> None:
    """RpcError 422 (5204) for a command that the device's firmware does not know, or a reset without confirmation."""
    known = SYSTEM_COMMANDS[generation]
    if command not in known:
        text = f"firmware generation {generation} does not know {command!r}: it knows {', '.join(known)}"
        raise RpcError(422, Code.INVALID_ACTUATOR_TYPE, text, "command")
    if command == "factory_reset" and not confirm:
        raise RpcError(422, Code.INVALID_ACTUATOR_TYPE, "factory_reset requires confirm: true", "confirm")


def check_subzone(generation: Generation, action: str) -> None:
    """RpcError 422 (5204) for a subzone that is to be made safe by firmware A, which does not read that topic."""
    if generation == "A" and action == "safe":
        text = "firmware generation A does not know subzone/safe: it knows subzone/assign, subzone/remove"
        raise RpcError(422, Code.INVALID_ACTUATOR_TYPE, text, "action")


def check_size(generation: Generation, hardware_type: str, kind: Kind, topic: str, payload: str) -> None:
    """RpcError 422 (5003) where topic and payload are larger than the device takes: it would drop them silently."""
    row = DOWNLINK[kind]
    most = min(row.most_bytes, XIAO_BYTES) if "XIAO" in hardware_type.upper() else row.most_bytes
    if generation == "B" and row.b_most_bytes is not None:
        most = row.b_most_bytes
    size = len(topic.encode()) + len(payload.encode())
    if size > most:
        text = f"{size} bytes, and the device takes at most {most}: send fewer items, or shorter names"
        raise RpcError(422, Code.CONFIG_PAYLOAD_INVALID, text)


def to_json(payload: Mapping[str, Any]) -> str:
    """A payload without fields that have no value: a device reads null as the text "null"."""
    return json.dumps({name: value for name, value in payload.items() if value is not None}, separators=(",", ":"))
