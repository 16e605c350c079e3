"""The six levels of the message centre: each shows what the levels below it show, and more."""

from collections.abc import Iterable

from kaiser_factory_dialect.catalogue import DEFAULT_INTERFACES
from kaiser_factory_dialect.filters import matches, minimal_cover

_MODULES = (
    "module/v1/+/+/state",
    "module/v1/+/+/connection",
    "module/v1/+/+/order",
    "module/v1/+/NodeRed/+/state",
    "module/v1/+/NodeRed/+/connection",
    "module/v1/+/NodeRed/status",
)
_AGVS = tuple(f"fts/v1/+/+/{name}" for name in ("state", "connection", "order", "instantAction"))
_ORDERS = ("ccu/order/#", "ccu/state/stock", "/j1/txt/+/f/+/order", "/j1/txt/+/i/quality_check")
_SYSTEM = ("ccu/#", "module/v1/+/+/factsheet", "module/v1/+/NodeRed/+/factsheet", "fts/v1/+/+/factsheet")
_EXTENDED = ("module/#", "fts/#", "/j1/#", "osf/#", "dsp/#")


def added_by(level: int, interfaces: Iterable[str] = DEFAULT_INTERFACES) -> tuple[str, ...]:
    """The filters that a level adds to those below it. ValueError: there is no such level."""
    names = tuple(interfaces)
    vehicles = ("state", "connection", "order", "instantActions")
    match level:
        case 1:
            return _MODULES
        case 2:
            return (*_AGVS, *(f"{one}/+/+/+/{name}" for one in names for name in vehicles))
        case 3:
            return _ORDERS
        case 4:
            return (*_SYSTEM, *(f"{one}/+/+/+/factsheet" for one in names))
        case 5:
            return (*_EXTENDED, *(f"{one}/#" for one in names))
        case 6:
            return ("#",)
    raise ValueError(f"there is no level {level}: levels are 1 to 6")


def shown_at(level: int, interfaces: Iterable[str] = DEFAULT_INTERFACES) -> tuple[str, ...]:
    """The fewest filters whose topics a level shows. ValueError: there is no such level."""
    names = tuple(interfaces)
    added_by(level, names)
    return minimal_cover(one for below in range(1, level + 1) for one in added_by(below, names))


def level_of(topic: str, interfaces: Iterable[str] = DEFAULT_INTERFACES) -> int:
    """The lowest level that shows a topic."""
    names = tuple(interfaces)
    return next((level for level in range(1, 6) if any(matches(one, topic) for one in added_by(level, names))), 6)
