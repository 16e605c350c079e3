"""The table of contents of health: which RPC method goes to which function."""

from typing import Any

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Method
from kaiser_common.contract.schemas.api.devices import (
    ApproveDevice,
    AuditQuery,
    DeviceId,
    DevicesQuery,
    HealthQuery,
    PatchDevice,
    PushCommand,
    PushConfig,
    PushSubzone,
    PushZone,
    RegisterDevice,
)
from kaiser_common.runtime.database import DatabasePool

from kaiser_health.api.pushes import DeviceApi
from kaiser_health.api.registry import DeviceRegistryApi
from kaiser_health.domain.decode import Clock
from kaiser_health.settings import HealthSettings
from kaiser_health.store.bucket import DevicesBucket


def methods(
    pool: DatabasePool, bus: Bus, bucket: DevicesBucket, settings: HealthSettings, clock: Clock
) -> dict[str, Method[Any, Any]]:
    """By the name of the method."""
    registry = DeviceRegistryApi(pool, bus, bucket, clock)
    pushes = DeviceApi(pool, bus, settings, clock)
    return {
        "register": Method(RegisterDevice, registry.register, least="operator"),
        "register_mock": Method(RegisterDevice, registry.register_mock, least="operator"),
        "delete_mock": Method(DeviceId, registry.delete_mock, least="operator"),
        "list": Method(DevicesQuery, registry.list_devices),
        "read": Method(DeviceId, registry.read),
        "patch": Method(PatchDevice, registry.patch, least="operator"),
        "delete": Method(DeviceId, registry.delete, least="operator"),
        "approve": Method(ApproveDevice, registry.approve, least="operator"),
        "reject": Method(DeviceId, registry.reject, least="operator"),
        "history": Method(HealthQuery, registry.history),
        "audit": Method(AuditQuery, registry.audit, least="operator"),
        "push_config": Method(PushConfig, pushes.push_config, least="operator"),
        "push_command": Method(PushCommand, pushes.push_command, least="operator"),
        "push_zone": Method(PushZone, pushes.push_zone, least="operator"),
        "push_subzone": Method(PushSubzone, pushes.push_subzone, least="operator"),
    }
