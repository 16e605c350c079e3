"""Requests that send configurations, commands and zones to devices on an operator's behalf."""

import secrets
from datetime import datetime, timedelta
from typing import Any

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.devices import (
    ConfigRequest,
    Device,
    DeviceId,
    PushAnswer,
    PushCommand,
    PushConfig,
    PushSubzone,
    PushZone,
)
from kaiser_common.contract.schemas.device import DeviceConfig
from kaiser_common.contract.topics import parse
from kaiser_common.runtime.database import DatabasePool

from kaiser_health.domain import events, outbox
from kaiser_health.domain.decode import Clock
from kaiser_health.domain.downlink import SET_TOKEN, check_command, check_size, check_subzone, config_payload
from kaiser_health.domain.pushes import Kind, Push, superseded, supersedes
from kaiser_health.settings import HealthSettings
from kaiser_health.store import audit, pushes, registry, zones

_MOST_TOKEN = 64
"""Characters: an emergency with it still fits the 255 bytes that a device takes."""


class DeviceApi:
    """A push is kept before it is sent. Killed in between: the sweep finds it unanswered and sends it (a command, which
    is sent once at most, ends as `timeout`)."""

    def __init__(self, pool: DatabasePool, bus: Bus, settings: HealthSettings, clock: Clock) -> None:
        self._pool = pool
        self._bus = bus
        self._settings = settings
        self._clock = clock

    async def push_config(self, request: PushConfig, caller: Caller) -> PushAnswer:
        """Send a device its sensors and actuators; lists that were not given are asked from their owners first."""
        payload = config_payload(await self._complete(request.esp_id, request.config, caller))
        if not payload:
            text = "there is nothing to configure: no sensor and no actuator is given or registered"
            raise RpcError(422, Code.CONFIG_PAYLOAD_INVALID, text)
        return await self._push(request.esp_id, "config", payload, caller)

    async def push_command(self, request: PushCommand, caller: Caller) -> PushAnswer:
        """Send a system command, once. 422 (5207) for a token that no device could be asked for."""
        token = request.command.params.get("token")
        if request.command.command == SET_TOKEN and not (isinstance(token, str) and 0 < len(token) <= _MOST_TOKEN):
            text = f"set_emergency_token wants params.token, a text of 1 to {_MOST_TOKEN} characters"
            raise RpcError(422, Code.VALUE_OUT_OF_RANGE, text, "params.token")
        return await self._push(request.esp_id, "command", request.command.model_dump(mode="json"), caller)

    async def push_subzone(self, request: PushSubzone, caller: Caller) -> PushAnswer:
        """Assign pins of a device to a subzone, remove the subzone, or make its pins safe."""
        payload = {"action": request.action, "subzone_id": request.subzone_id, **request.subzone.model_dump()}
        return await self._push(request.esp_id, "subzone", payload, caller)

    async def push_zone(self, request: PushZone, caller: Caller) -> PushAnswer:
        """Assign a device to a zone, move it, or take it out; the registry follows the device's acknowledgement. The
        device is also sent the name of the zone, unless another one is given."""
        zone = request.zone.model_dump(mode="json") | {"zone_id": request.zone.zone_id or ""}
        if request.zone.zone_id and not request.zone.zone_name:
            async with self._pool.connection() as connection:
                known = await zones.read(connection, request.zone.zone_id)
            zone["zone_name"] = known.name if known is not None else None
        return await self._push(request.esp_id, "zone", zone, caller)

    async def _complete(self, esp_id: str, given: ConfigRequest, caller: Caller) -> DeviceConfig:
        """The whole configuration; an owner that does not answer is a 504, and nothing is sent."""
        device = DeviceId(esp_id=esp_id)
        sensors = given.sensors
        if sensors is None:
            answer = await call(self._bus, "sensor", "config_items", device, DeviceConfig, caller=caller)
            sensors = answer.sensors
        actuators = given.actuators
        if actuators is None:
            answer = await call(self._bus, "actuator", "config_items", device, DeviceConfig, caller=caller)
            actuators = answer.actuators
        return DeviceConfig(config_id="", sensors=sensors, actuators=actuators)

    async def _push(self, esp_id: str, kind: Kind, payload: dict[str, Any], caller: Caller) -> PushAnswer:
        now = self._clock()
        async with self._pool.connection() as connection:
            device = _reachable(await registry.read(connection, esp_id), esp_id, kind)
            push = self._new(device, kind, payload, now)
            _check(device, push)
            for older in await pushes.pending_of(connection, [esp_id]):
                if supersedes(kind, payload, older):
                    await pushes.update(connection, superseded(older, now))
            await pushes.add(connection, push)
            await audit.note(connection, caller, f"push_{kind}", esp_id, after=_shown(payload))
        await self._bus.publish_batch([outbox.push_message(push, now, self._settings.push_timeout_s)])
        await self._bus.publish_batch([events.push_event(push, now)])
        return PushAnswer(push_id=push.push_id, esp_id=esp_id, kind=kind, state=push.state)

    def _new(self, device: Device, kind: Kind, payload: dict[str, Any], now: datetime) -> Push:
        return Push(
            push_id=secrets.token_hex(8),
            esp_id=device.esp_id,
            kaiser_id=device.kaiser_id,
            kind=kind,
            payload=payload,
            state="pending",
            tries=1,
            next_try_at=now + timedelta(seconds=self._settings.push_timeout_s),
            created_at=now,
        )


def _check(device: Device, push: Push) -> None:
    """RpcError 422 for what the device's firmware does not know, or would drop for its size."""
    if push.kind == "subzone":
        check_subzone(device.generation, push.payload["action"])
    if push.kind == "command":
        check_command(device.generation, push.payload["command"], push.payload.get("confirm", False))
    topic = outbox.topic_of(push)
    check_size(device.generation, device.hardware_type, parse(topic).kind, topic, outbox.payload_of(push))


def _shown(payload: dict[str, Any]) -> dict[str, Any]:
    """The part of a push that the audit log shows: no token."""
    return {**payload, "params": {}} if payload.get("command") == SET_TOKEN else payload


def _reachable(device: Device | None, esp_id: str, kind: Kind) -> Device:
    """The device if it may be sent something. A command needs it online; configurations and zones are tried."""
    if device is None:
        raise RpcError(404, Code.ESP_DEVICE_NOT_FOUND, f"no device {esp_id}", "esp_id")
    if device.state != "approved":
        raise RpcError(409, Code.ESP_DEVICE_NOT_FOUND, f"{esp_id} is {device.state}, not approved", "esp_id")
    if kind == "command" and not device.online:
        raise RpcError(409, Code.ESP_OFFLINE, f"{esp_id} is offline", "esp_id")
    return device
