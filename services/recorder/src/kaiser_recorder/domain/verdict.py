"""Whether the factory's state at the end of a replay is the expected one; pure. Times are not compared."""

from collections.abc import Iterable, Mapping
from typing import Any

from kaiser_common.contract.schemas.factory import FactoryModule, FactoryOrder, FactoryStore
from kaiser_factory_dialect.catalogue import COMMAND_KINDS
from kaiser_factory_dialect.compare import differences

MOST = 100
"""Differences that are listed."""
_TIMED = frozenset({"silent", "last_seen_ms", "skew_ms", "availability", "stale"})
"""Columns of modules that follow from when a message came."""
_ACTION = ("id", "command", "state", "result")


def differences_at_end(
    expected: Mapping[str, Any],
    modules: Iterable[FactoryModule],
    orders: Iterable[FactoryOrder],
    stores: Iterable[FactoryStore],
    kinds: Mapping[str, int],
) -> list[str]:
    """Each difference, a line; an expectation says only what it wants compared: modules, orders, stock, accepted.

    accepted: messages by kind, at least; commands are left out of a replay, and what came retained comes as new.
    """
    wanted_modules = {str(each["serial"]): _untimed(each) for each in expected.get("modules", [])}
    found_modules = {each.serial: _module(each) for each in modules}
    lines = differences(wanted_modules, found_modules, "modules") if "modules" in expected else []
    if "orders" in expected:
        wanted = {str(each["order_id"]): each for each in expected["orders"]}
        found = {each.order_id: each.model_dump() for each in orders}
        lines += differences(wanted, found, "orders")
        lines += [f"orders.{each}: is one more" for each in sorted(found.keys() - wanted.keys())]
    if "stock" in expected:
        lines += differences(expected["stock"], {each.hbw: _bays(each) for each in stores}, "stock")
    commands = {kind.value for kind in COMMAND_KINDS}
    for kind, count in expected.get("accepted", {}).items():
        if kind not in commands and kinds.get(kind, 0) < count:
            lines.append(f"accepted.{kind}: {kinds.get(kind, 0)} instead of at least {count}")
    return lines[:MOST]


def fault_of(expected: Mapping[str, Any]) -> str | None:
    """Why this is no expectation; None: it is one."""
    lists = (("modules", "serial"), ("orders", "order_id"))
    for name, key in lists:
        value = expected.get(name, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) and key in each for each in value):
            return f"{name} must be a list of objects with {key}"
    for name in ("stock", "accepted"):
        if not isinstance(expected.get(name, {}), dict):
            return f"{name} must be an object"
    if not all(type(count) is int for count in expected.get("accepted", {}).values()):
        return "accepted must be numbers by kind"
    if not expected.keys() & {"modules", "orders", "stock", "accepted"}:
        return "it says nothing of modules, orders, stock or accepted"
    return None


def _untimed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _TIMED}


def _module(module: FactoryModule) -> dict[str, Any]:
    """A module as expectations write it: loads are [position, type, id], errors [type, level]."""
    action = module.action
    return module.model_dump() | {
        "action": None if action is None else {name: getattr(action, name) for name in _ACTION},
        "loads": [[each.position, each.type, each.id] for each in module.loads],
        "errors": [[each.type, each.level] for each in module.errors],
    }


def _bays(store: FactoryStore) -> dict[str, list[str | None] | None]:
    """Bays as expectations write them: [type, id, state], or null where empty."""
    return {bay.location: None if bay.type is None else [bay.type, bay.id, bay.state] for bay in store.bays}
