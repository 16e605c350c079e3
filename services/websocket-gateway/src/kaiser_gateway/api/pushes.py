"""Messages to a device (configurations, commands, zones), answered by health."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, call
from kaiser_common.contract.schemas.api.devices import (
    ConfigRequest,
    DeviceCommand,
    PushAnswer,
    PushCommand,
    PushConfig,
    PushSubzone,
    PushZone,
    SubzoneRequest,
    ZoneRequest,
)

from kaiser_gateway.api.paths import EspId
from kaiser_gateway.http.auth import Guard

SubzoneId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["bed_a"])]


def router(bus: Bus, guard: Guard) -> APIRouter:
    """/api/v1/esp/devices/{esp_id}, as far as it sends the device a message."""
    routes = APIRouter(prefix="/api/v1/esp/devices", tags=["devices"])
    operator = guard.needs("operator")

    @routes.post("/{esp_id}/config", status_code=202)
    async def push_config(esp_id: EspId, body: ConfigRequest, caller: Caller = operator) -> PushAnswer:
        """Send the device its sensors and actuators; its answer comes as config_response."""
        request = PushConfig(esp_id=esp_id, config=body)
        return await call(bus, "health", "push_config", request, PushAnswer, caller=caller, timeout_s=15.0)

    @routes.post("/{esp_id}/command", status_code=202)
    async def send_device_command(esp_id: EspId, body: DeviceCommand, caller: Caller = operator) -> PushAnswer:
        """Send a system command, once; 409 (5007) when the device is offline."""
        request = PushCommand(esp_id=esp_id, command=body)
        return await call(bus, "health", "push_command", request, PushAnswer, caller=caller)

    @routes.post("/{esp_id}/zone", status_code=202)
    async def assign_zone(esp_id: EspId, body: ZoneRequest, caller: Caller = operator) -> PushAnswer:
        """Assign the device to a zone, or take it out (zone_id null); in force once acknowledged."""
        return await call(bus, "health", "push_zone", PushZone(esp_id=esp_id, zone=body), PushAnswer, caller=caller)

    @routes.post("/{esp_id}/subzones/{subzone_id}", status_code=202)
    async def assign_subzone(
        esp_id: EspId, subzone_id: SubzoneId, body: SubzoneRequest, caller: Caller = operator
    ) -> PushAnswer:
        """Assign pins of the device to a subzone; its answer comes as a system_event `subzone`."""
        return await _push_subzone(bus, esp_id, subzone_id, "assign", body, caller)

    @routes.delete("/{esp_id}/subzones/{subzone_id}", status_code=202)
    async def remove_subzone(esp_id: EspId, subzone_id: SubzoneId, caller: Caller = operator) -> PushAnswer:
        """Remove the subzone from the device."""
        return await _push_subzone(bus, esp_id, subzone_id, "remove", SubzoneRequest(), caller)

    @routes.post("/{esp_id}/subzones/{subzone_id}/safe", status_code=202)
    async def make_subzone_safe(
        esp_id: EspId, subzone_id: SubzoneId, body: SubzoneRequest, caller: Caller = operator
    ) -> PushAnswer:
        """Put the pins of the subzone into their safe state, or release them (safe_mode_active)."""
        return await _push_subzone(bus, esp_id, subzone_id, "safe", body, caller)

    return routes


async def _push_subzone(
    bus: Bus,
    esp_id: str,
    subzone_id: str,
    action: Literal["assign", "remove", "safe"],
    subzone: SubzoneRequest,
    caller: Caller,
) -> PushAnswer:
    request = PushSubzone(esp_id=esp_id, subzone_id=subzone_id, action=action, subzone=subzone)
    return await call(bus, "health", "push_subzone", request, PushAnswer, caller=caller)
