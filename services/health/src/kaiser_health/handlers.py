"""The table of contents of health: which messages and which RPC method go to which function."""

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.consumer import Consumer
from kaiser_common.contract.subjects import HEALTH
from kaiser_common.runtime.broker import Broker
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.wiring import UNREACHABLE

from kaiser_health.api.pushes import DeviceApi
from kaiser_health.api.registry import DeviceRegistryApi
from kaiser_health.consumers.devices import DeviceMessages
from kaiser_health.domain.decode import Clock
from kaiser_health.jobs.sweep import LateSweep
from kaiser_health.settings import HealthSettings
from kaiser_health.store.bucket import DevicesBucket


def consume(broker: Broker, bus: Bus, messages: DeviceMessages, late: LateSweep, settings: HealthSettings) -> None:
    """Register what health takes."""
    consumer = Consumer(bus, HEALTH, max_messages=settings.health_batch)
    broker.durable(consumer, postponed=late.listen_anew)(messages.on_messages)


def answer(
    broker: Broker, bus: Bus, pool: DatabasePool, bucket: DevicesBucket, settings: HealthSettings, clock: Clock
) -> None:
    """Register what health answers."""
    registry = DeviceRegistryApi(pool, bus, bucket, clock)
    pushes = DeviceApi(pool, bus, settings, clock)
    rpc = broker.rpc(unavailable=UNREACHABLE)
    rpc.method("register", least="operator")(registry.register)
    rpc.method("register_mock", least="operator")(registry.register_mock)
    rpc.method("delete_mock", least="operator")(registry.delete_mock)
    rpc.method("list")(registry.list_devices)
    rpc.method("read")(registry.read)
    rpc.method("patch", least="operator")(registry.patch)
    rpc.method("delete", least="operator")(registry.delete)
    rpc.method("approve", least="operator")(registry.approve)
    rpc.method("reject", least="operator")(registry.reject)
    rpc.method("history")(registry.history)
    rpc.method("audit", least="operator")(registry.audit)
    rpc.method("push_config", least="operator")(pushes.push_config)
    rpc.method("push_command", least="operator")(pushes.push_command)
    rpc.method("push_zone", least="operator")(pushes.push_zone)
    rpc.method("push_subzone", least="operator")(pushes.push_subzone)
