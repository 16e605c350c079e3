"""Requests to health: devices, messages to them, and the audit log."""

from functools import partial

from kaiser_common.contract.rpc import GATEWAY, Nothing, RpcMethod
from kaiser_common.contract.schemas.api.devices import (
    ApprovedDevice,
    ApproveDevice,
    AuditPage,
    AuditQuery,
    Device,
    DeviceId,
    DevicesPage,
    DevicesQuery,
    HealthHistory,
    HealthQuery,
    PatchDevice,
    PushAnswer,
    PushCommand,
    PushConfig,
    PushSubzone,
    PushZone,
    RegisterDevice,
)
from kaiser_common.contract.schemas.api.zones import CreateZone, PatchZone, Zone, ZoneKey, ZonesPage

_method = partial(RpcMethod, "health")

METHODS: tuple[RpcMethod, ...] = (
    _method("register", RegisterDevice, Device, least="operator", callers=("factory", "recorder", GATEWAY)),
    _method("register_mock", RegisterDevice, Device, least="operator", callers=("simulator",)),
    _method("delete_mock", DeviceId, Nothing, least="operator", callers=("simulator",)),
    _method("list", DevicesQuery, DevicesPage, callers=("alarm", GATEWAY)),
    _method("read", DeviceId, Device, callers=("factory", GATEWAY)),
    _method("patch", PatchDevice, Device, least="operator"),
    _method("delete", DeviceId, Nothing, least="operator"),
    _method("approve", ApproveDevice, ApprovedDevice, least="operator"),
    _method("reject", DeviceId, Device, least="operator"),
    _method("history", HealthQuery, HealthHistory),
    _method("audit", AuditQuery, AuditPage, least="operator"),
    _method("push_config", PushConfig, PushAnswer, least="operator"),
    _method("push_command", PushCommand, PushAnswer, least="operator"),
    _method("push_zone", PushZone, PushAnswer, least="operator"),
    _method("push_subzone", PushSubzone, PushAnswer, least="operator"),
    _method("zones", Nothing, ZonesPage),
    _method("read_zone", ZoneKey, Zone),
    _method("create_zone", CreateZone, Zone, least="operator"),
    _method("patch_zone", PatchZone, Zone, least="operator"),
    _method("delete_zone", ZoneKey, Nothing, least="operator"),
)
