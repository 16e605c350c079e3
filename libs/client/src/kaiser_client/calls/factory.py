"""The factory: its modules and AGVs, its orders, its store, and the environment in force."""

from kaiser_common.contract.schemas.api.factory import (
    EnvironmentStatus,
    FactoryModules,
    FactoryOrdersPage,
    FactoryStores,
)
from kaiser_common.contract.schemas.factory import FactoryModule, FactoryOrder

from kaiser_client.call import Call

_BASE = "/api/v1/factory"


def read_environment() -> Call[EnvironmentStatus]:
    """The environment in force, and whether its broker is connected."""
    return Call("GET", f"{_BASE}/environment", EnvironmentStatus)


def list_factory_modules() -> Call[FactoryModules]:
    """Every module and AGV, by serial."""
    return Call("GET", f"{_BASE}/modules", FactoryModules)


def read_factory_module(serial: str) -> Call[FactoryModule]:
    """One module or AGV."""
    return Call("GET", f"{_BASE}/modules/{{serial}}", FactoryModule, {"serial": serial})


def list_factory_orders(
    *, state: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Call[FactoryOrdersPage]:
    """Orders, newest first."""
    query = {"state": state, "limit": limit, "cursor": cursor}
    return Call("GET", f"{_BASE}/orders", FactoryOrdersPage, query=query)


def read_factory_order(order_id: str) -> Call[FactoryOrder]:
    """One order."""
    return Call("GET", f"{_BASE}/orders/{{order_id}}", FactoryOrder, {"order_id": order_id})


def read_factory_stock() -> Call[FactoryStores]:
    """The bays of every store."""
    return Call("GET", f"{_BASE}/stock", FactoryStores)
