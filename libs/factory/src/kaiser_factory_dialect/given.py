"""The state of the factory that test vectors of commands start from: the default installation, online and idle."""

from collections.abc import Mapping
from typing import Any

import msgspec
from kaiser_common.contract.errors import Rejected

from kaiser_factory_dialect.apply import apply
from kaiser_factory_dialect.layout import DEFAULT_AGVS, DEFAULT_LAYOUT
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, read
from kaiser_factory_dialect.world import Factory

NOW = 1_771_000_000_000
_DPS = next(module.serial for module in DEFAULT_LAYOUT.modules if module.type == "DPS")


class CountedIds:
    """Ids that count, so that a plan is the same each time."""

    def __init__(self) -> None:
        self._count = 0

    def uuid(self) -> str:
        """The next id in the form of a UUID."""
        return f"{self.digits(8)}-0000-4000-8000-{self._count:012x}"

    def digits(self, count: int) -> str:
        """The next number, in this many hexadecimal digits."""
        self._count += 1
        return f"{self._count:0{count}x}"[-count:]


def factory_given(given: Mapping[str, Any]) -> Factory:
    """The default installation with what `given` says of modules, AGVs and orders. ValueError: it cannot be so.

    Where AGVs are given there are no others, so that the rule which AGV drives has one to choose from.
    """
    factory = Factory()
    modules, agvs = given.get("modules", {}), given.get("agvs", {})
    for module in DEFAULT_LAYOUT.modules:
        _module(factory, module.serial, modules.get(module.serial, {}))
    for serial in agvs or DEFAULT_AGVS:
        _agv(factory, serial, agvs.get(serial, {}))
    orders = [{"orderId": order_id, **one} for order_id, one in given.get("orders", {}).items()]
    _hear(factory, "ccu/order/active", orders)
    return factory


def _module(factory: Factory, serial: str, given: Mapping[str, Any]) -> None:
    root = f"module/v1/ff/{serial}"
    _hear(factory, f"{root}/connection", {"connectionState": given.get("connection", "ONLINE")})
    state: dict[str, Any] = {
        "serialNumber": serial,
        "orderId": given.get("order_id") or "",
        "actionState": given.get("action"),
        "loads": [],
        "errors": [],
        "paused": False,
    }
    _hear(factory, f"{root}/state", state)


def _agv(factory: Factory, serial: str, given: Mapping[str, Any]) -> None:
    root = f"fts/v1/ff/{serial}"
    loads = [
        {"loadPosition": one.get("position"), "loadType": one.get("type"), "loadId": one.get("id")}
        for one in given.get("loads", ())
    ]
    _hear(factory, f"{root}/connection", {"connectionState": given.get("connection", "ONLINE")})
    state = {
        "serialNumber": serial,
        "orderId": given.get("order_id") or "",
        "lastNodeId": given.get("node", _DPS),
        "driving": given.get("driving", False),
        "waitingForLoadHandling": given.get("waiting", False),
        "paused": given.get("paused", False),
        "actionState": given.get("action"),
        "load": loads,
        "errors": [],
    }
    _hear(factory, f"{root}/state", state)


def _hear(factory: Factory, topic: str, payload: Any) -> None:
    match read(Arrival(topic, msgspec.json.encode(payload), NOW)):
        case FactoryAccepted(message):
            apply(factory, message)
        case Rejected() as rejected:
            raise ValueError(f"a given message is invalid: {topic}: {rejected}")
