"""Devices: the registry, health over time, and messages to a device."""

from kaiser_common.contract.schemas.api.devices import (
    ApprovedDevice,
    ConfigRequest,
    Device,
    DeviceCommand,
    DevicePatch,
    DevicesPage,
    DeviceState,
    HealthHistory,
    PushAnswer,
    RegisterDevice,
    ZoneRequest,
)
from kaiser_common.contract.schemas.api.inspection import PassedMessages

from kaiser_client.call import Call

_ALL = "/api/v1/esp/devices"
_ONE = f"{_ALL}/{{esp_id}}"
_APPROVED_WITHIN_S = 70.0


def list_devices(
    *,
    state: DeviceState | None = None,
    online: bool | None = None,
    zone_id: str | None = None,
    kaiser_id: str | None = None,
    text: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[DevicesPage]:
    """Registered and pending devices, by id. text: in the id or the name."""
    query = {
        "state": state,
        "online": online,
        "zone_id": zone_id,
        "kaiser_id": kaiser_id,
        "text": text,
        "limit": limit,
        "cursor": cursor,
    }
    return Call("GET", _ALL, DevicesPage, query=query)


def register_device(device: RegisterDevice) -> Call[Device]:
    """Register a device; from now on its messages are accepted."""
    return Call("POST", _ALL, Device, body=device)


def read_device(esp_id: str) -> Call[Device]:
    """One device."""
    return Call("GET", _ONE, Device, {"esp_id": esp_id})


def change_device(esp_id: str, patch: DevicePatch) -> Call[Device]:
    """Change name, hardware type or metadata: the fields that are set in the patch."""
    return Call("PATCH", _ONE, Device, {"esp_id": esp_id}, body=patch)


def delete_device(esp_id: str) -> Call[None]:
    """Remove a device; from now on its messages are rejected. Its data stays stored."""
    return Call("DELETE", _ONE, type(None), {"esp_id": esp_id})


def approve_device(esp_id: str, *, replay: bool | None = None) -> Call[ApprovedDevice]:
    """Approve a device; `replay` also replays its messages that were rejected in the last days."""
    query = {"replay": replay}
    return Call("POST", f"{_ONE}/approve", ApprovedDevice, {"esp_id": esp_id}, query=query, within_s=_APPROVED_WITHIN_S)


def reject_device(esp_id: str) -> Call[Device]:
    """Reject a device: from now on its messages are rejected."""
    return Call("POST", f"{_ONE}/reject", Device, {"esp_id": esp_id})


def read_device_health(
    esp_id: str, *, from_ms: int | None = None, to_ms: int | None = None, bucket_s: int | None = None
) -> Call[HealthHistory]:
    """Memory, signal and uptime over time; the last day when no time is given."""
    query = {"from": from_ms, "to": to_ms, "bucket_s": bucket_s}
    return Call("GET", f"{_ONE}/health", HealthHistory, {"esp_id": esp_id}, query=query)


def list_device_messages(esp_id: str, *, after: int | None = None) -> Call[PassedMessages]:
    """The MQTT messages of a device with ingest's verdict, and those sent to it, oldest first; kept from now on. after:
    the seq of the last known one."""
    return Call("GET", f"{_ONE}/messages", PassedMessages, {"esp_id": esp_id}, query={"after": after})


def push_config(esp_id: str, config: ConfigRequest) -> Call[PushAnswer]:
    """Send the device its sensors and actuators; its answer comes as config_response."""
    return Call("POST", f"{_ONE}/config", PushAnswer, {"esp_id": esp_id}, body=config)


def send_device_command(esp_id: str, command: DeviceCommand) -> Call[PushAnswer]:
    """Send a system command, once; 409 (5007) when the device is offline."""
    return Call("POST", f"{_ONE}/command", PushAnswer, {"esp_id": esp_id}, body=command)


def assign_zone(esp_id: str, zone: ZoneRequest) -> Call[PushAnswer]:
    """Assign the device to a zone, or take it out (zone_id None)."""
    return Call("POST", f"{_ONE}/zone", PushAnswer, {"esp_id": esp_id}, body=zone)
