"""The table of contents of health: which function takes which messages, and which answers which RPC method."""

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.consumer import Consumer
from kaiser_common.contract.methods.health import METHODS
from kaiser_common.contract.subjects import HEALTH, HEALTH_AUDIT
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.consume import Taking
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.wiring import UNREACHABLE, register

from kaiser_health.api.pushes import DeviceApi
from kaiser_health.api.registry import DeviceRegistryApi
from kaiser_health.api.zones import ZonesApi
from kaiser_health.consumers.audits import AuditRecords
from kaiser_health.consumers.devices import DeviceMessages
from kaiser_health.domain.decode import Clock
from kaiser_health.jobs.sweep import LateSweep
from kaiser_health.settings import HealthSettings
from kaiser_health.store.bucket import DevicesBucket


def consume(
    broker: Broker,
    bus: Bus,
    messages: DeviceMessages,
    audits: AuditRecords,
    late: LateSweep,
    settings: HealthSettings,
) -> None:
    """Register what health takes."""
    consumer = Consumer(bus, HEALTH, max_messages=settings.health_batch)
    broker.durable(consumer, Taking(postponed=late.listen_anew))(messages.on_messages)
    broker.durable(Consumer(bus, HEALTH_AUDIT, max_messages=200))(audits.on_messages)


def answer(
    broker: Broker, bus: Bus, pool: DatabasePool, bucket: DevicesBucket, settings: HealthSettings, clock: Clock
) -> None:
    """Register what health answers."""
    registry = DeviceRegistryApi(pool, bus, bucket, clock)
    pushes = DeviceApi(pool, bus, settings, clock)
    zones = ZonesApi(pool)
    register(
        broker.rpc(unavailable=UNREACHABLE),
        METHODS,
        {
            "register": registry.register,
            "register_mock": registry.register_mock,
            "delete_mock": registry.delete_mock,
            "list": registry.list_devices,
            "read": registry.read,
            "patch": registry.patch,
            "delete": registry.delete,
            "approve": registry.approve,
            "reject": registry.reject,
            "history": registry.history,
            "audit": registry.audit,
            "push_config": pushes.push_config,
            "push_command": pushes.push_command,
            "push_zone": pushes.push_zone,
            "push_subzone": pushes.push_subzone,
            "zones": zones.every,
            "read_zone": zones.read,
            "create_zone": zones.create,
            "patch_zone": zones.patch,
            "delete_zone": zones.delete,
        },
    )
