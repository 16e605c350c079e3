"""Requests of a replay to other services: a new epoch, simulated devices, the factory's final state."""

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, NotRunning, RpcError, all_pages, call
from kaiser_common.contract.rpc import Nothing
from kaiser_common.contract.schemas.api.devices import Device, RegisterDevice
from kaiser_common.contract.schemas.api.factory import (
    FactoryCoverage,
    FactoryModules,
    FactoryOrdersPage,
    FactoryOrdersQuery,
    FactoryStores,
    RestartEnvironment,
)
from kaiser_common.contract.schemas.factory import FactoryEnvironment, FactoryOrder

from kaiser_recorder.domain.verdict import differences_at_end

log = structlog.get_logger()

_CALLER = Caller(user="recorder", role="operator")
_VIEWER = Caller(user="recorder", role="viewer")
_RESTART_S = 45.0
_REFUSED_FROM = 500
_CONFLICT = 409
_MOST_PAGES = 20


async def restart(bus: Bus, env: str, epoch: int, arm: str | None) -> FactoryEnvironment:
    """Enter the environment once more, as a new epoch: its broker is emptied. RpcError: refused, or not in time."""
    request = RestartEnvironment(env=env, epoch=epoch, arm=arm)
    try:
        return await call(
            bus,
            "ingest-factory",
            "restart_environment",
            request,
            FactoryEnvironment,
            caller=_CALLER,
            timeout_s=_RESTART_S,
        )
    except NotRunning:
        return await call(
            bus, "ingest", "restart_environment", request, FactoryEnvironment, caller=_CALLER, timeout_s=_RESTART_S
        )


async def disarm(bus: Bus) -> bool:
    """Stop commands from being sent. False: ingest does not answer."""
    try:
        try:
            await call(bus, "ingest-factory", "disarm_environment", Nothing(), Nothing, caller=_CALLER)
        except NotRunning:
            await call(bus, "ingest", "disarm_environment", Nothing(), Nothing, caller=_CALLER)
    except RpcError as error:
        log.warning("replay_not_disarmed", reason=error.problem.detail)
        return False
    return True


async def has_followed(bus: Bus, epoch: int) -> bool:
    """Whether the service factory is in this epoch. False: it does not answer; where none runs, none need follow."""
    try:
        found = await call(bus, "factory", "modules", Nothing(), FactoryModules, caller=_VIEWER)
    except NotRunning:
        return True
    except RpcError:
        return False
    return found.epoch == epoch


async def is_registered(bus: Bus, device: str) -> bool:
    """Register a simulated device. False: health does not answer."""
    wanted = RegisterDevice(esp_id=device, name=f"{device} (replayed)")
    try:
        await call(bus, "health", "register", wanted, Device, caller=_CALLER)
    except RpcError as error:
        if error.problem.status == _CONFLICT:
            return True
        log.warning("replayed_device_not_registered", esp_id=device, reason=error.problem.detail)
        return error.problem.status < _REFUSED_FROM
    log.info("replayed_device_registered", esp_id=device)
    return True


async def differences_now(bus: Bus, expected: dict[str, object]) -> list[str]:
    """How the factory differs from what is expected; if it does not answer, one line that says so."""
    try:
        modules = await call(bus, "factory", "modules", Nothing(), FactoryModules, caller=_VIEWER)
        stores = await call(bus, "factory", "stock", Nothing(), FactoryStores, caller=_VIEWER)
        coverage = await call(bus, "factory", "coverage", Nothing(), FactoryCoverage, caller=_VIEWER)
        orders = await _orders(bus)
    except RpcError as error:
        return [f"the factory does not answer: {error.problem.detail}"]
    return differences_at_end(expected, modules.items, orders, stores.items, coverage.kinds)


async def _orders(bus: Bus) -> list[FactoryOrder]:
    return await all_pages(
        lambda cursor: call(
            bus,
            "factory",
            "orders",
            FactoryOrdersQuery(limit=1000, cursor=cursor),
            FactoryOrdersPage,
            caller=_VIEWER,
        ),
        _MOST_PAGES,
    )
