"""The table of the factory's topics: what each carries, who publishes it, and whether the broker keeps its last value.

Source: recordings of the factory; docs/factory-dialect.md has the same table for people. A topic that no row matches is
`uncatalogued`: its messages are kept as received and never parsed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal


class FactoryKind(StrEnum):
    """The kind of a message of the factory; it also names the bus subjects."""

    MODULE_STATE = "module.state"
    MODULE_CONNECTION = "module.connection"
    MODULE_FACTSHEET = "module.factsheet"
    MODULE_ORDER = "module.order"
    MODULE_INSTANT = "module.instant"
    NODERED_STATUS = "nodered.status"
    AGV_STATE = "agv.state"
    AGV_CONNECTION = "agv.connection"
    AGV_FACTSHEET = "agv.factsheet"
    AGV_ORDER = "agv.order"
    AGV_INSTANT = "agv.instant"
    CCU_REQUEST = "ccu.request"
    GATEWAY_REQUEST = "gateway.request"
    CCU_RESPONSE = "ccu.response"
    CCU_ACTIVE = "ccu.active"
    CCU_COMPLETED = "ccu.completed"
    CCU_CANCEL = "ccu.cancel"
    CCU_PAIRING = "ccu.pairing"
    CCU_PAIR = "ccu.pair"
    CCU_STOCK = "ccu.stock"
    CCU_LAYOUT = "ccu.layout"
    CCU_FLOWS = "ccu.flows"
    CCU_CONFIG = "ccu.config"
    CCU_GLOBAL = "ccu.global"
    CCU_SET = "ccu.set"
    TXT_SENSOR = "txt.sensor"
    TXT_QUALITY = "txt.quality"
    OBSERVED = "observed"


Direction = Literal["out", "in", "both", "none"]
"""out: the factory speaks; in: it listens; both: its parts speak to each other; none: not known."""
StateSource = Literal["device", "nodered", "vda5050"]

COMMAND_KINDS = frozenset(
    {
        FactoryKind.MODULE_ORDER,
        FactoryKind.MODULE_INSTANT,
        FactoryKind.AGV_ORDER,
        FactoryKind.AGV_INSTANT,
        FactoryKind.CCU_REQUEST,
        FactoryKind.CCU_CANCEL,
        FactoryKind.CCU_SET,
        FactoryKind.CCU_PAIR,
        FactoryKind.GATEWAY_REQUEST,
    }
)
"""A retained one of these would fire again at each reconnection of its receiver, so it is never read."""

SMALL_BYTES = 64 * 1024
LARGE_BYTES = 768 * 1024
"""The bound of lists of orders, of pictures and of what is only observed."""
_LARGE_KINDS = frozenset(
    {FactoryKind.CCU_ACTIVE, FactoryKind.CCU_COMPLETED, FactoryKind.TXT_QUALITY, FactoryKind.OBSERVED}
)


@dataclass(frozen=True, slots=True)
class TopicRow:
    """One row. template: levels by `/`; `{m}` manufacturer, `{s}` serial, `{n}` number of a TXT, `{x}` a name.

    kept: the factory publishes it retained. A template that begins with `{i}/{v}` is one of a VDA 5050 interface.
    A template that ends with `#` stands for every topic below it.
    """

    template: str
    kind: FactoryKind
    direction: Direction
    kept: bool = False
    source: StateSource = "device"

    @property
    def limit(self) -> int:
        """The largest payload, in bytes."""
        return LARGE_BYTES if self.kind in _LARGE_KINDS else SMALL_BYTES


def _machine(root: str, prefix: FactoryKind, source: StateSource) -> tuple[TopicRow, ...]:
    """The five topics of a module or AGV below `root`."""
    family = prefix.value.split(".", maxsplit=1)[0]
    instant = "instantActions" if source == "vda5050" else "instantAction"
    return (
        TopicRow(f"{root}/state", FactoryKind(f"{family}.state"), "out", True, source),
        TopicRow(f"{root}/connection", FactoryKind(f"{family}.connection"), "out", True, source),
        TopicRow(f"{root}/factsheet", FactoryKind(f"{family}.factsheet"), "out", True, source),
        TopicRow(f"{root}/order", FactoryKind(f"{family}.order"), "both", False, source),
        TopicRow(f"{root}/{instant}", FactoryKind(f"{family}.instant"), "both", False, source),
    )


SETTINGS_OF_CCU = (
    "reset",
    "park",
    "charge",
    "layout",
    "default_layout",
    "flows",
    "config",
    "module-duration",
    "calibration",
    "delete-module",
)

ROWS: tuple[TopicRow, ...] = (
    *_machine("module/v1/{m}/{s}", FactoryKind.MODULE_STATE, "device"),
    *_machine("module/v1/{m}/NodeRed/{s}", FactoryKind.MODULE_STATE, "nodered"),
    TopicRow("module/v1/{m}/NodeRed/status", FactoryKind.NODERED_STATUS, "out", True, "nodered"),
    *_machine("fts/v1/{m}/{s}", FactoryKind.AGV_STATE, "device"),
    *_machine("{i}/{v}/{m}/{s}", FactoryKind.AGV_STATE, "vda5050"),
    TopicRow("{i}/{v}/{m}/{s}/visualization", FactoryKind.OBSERVED, "out", False, "vda5050"),
    TopicRow("ccu/order/request", FactoryKind.CCU_REQUEST, "in"),
    TopicRow("ccu/order/response", FactoryKind.CCU_RESPONSE, "out"),
    TopicRow("ccu/order/active", FactoryKind.CCU_ACTIVE, "out", True),
    TopicRow("ccu/order/completed", FactoryKind.CCU_COMPLETED, "out", True),
    TopicRow("ccu/order/cancel", FactoryKind.CCU_CANCEL, "in"),
    TopicRow("ccu/pairing/state", FactoryKind.CCU_PAIRING, "out", True),
    TopicRow("ccu/pairing/pair_fts", FactoryKind.CCU_PAIR, "in"),
    TopicRow("ccu/pairing/known_modules", FactoryKind.OBSERVED, "out", True),
    TopicRow("ccu/state/stock", FactoryKind.CCU_STOCK, "out", True),
    TopicRow("ccu/state/layout", FactoryKind.CCU_LAYOUT, "out", True),
    TopicRow("ccu/state/flows", FactoryKind.CCU_FLOWS, "out", True),
    TopicRow("ccu/state/config", FactoryKind.CCU_CONFIG, "out", True),
    TopicRow("ccu/state/log", FactoryKind.OBSERVED, "out", True),
    TopicRow("ccu/state/version-mismatch", FactoryKind.OBSERVED, "out", True),
    TopicRow("ccu/state/calibration/{x}", FactoryKind.OBSERVED, "out", True),
    TopicRow("ccu/global", FactoryKind.CCU_GLOBAL, "out"),
    *(TopicRow(f"ccu/set/{name}", FactoryKind.CCU_SET, "in") for name in SETTINGS_OF_CCU),
    TopicRow("/j1/txt/{n}/i/bme680", FactoryKind.TXT_SENSOR, "out", True),
    TopicRow("/j1/txt/{n}/i/ldr", FactoryKind.TXT_SENSOR, "out", True),
    TopicRow("/j1/txt/{n}/i/quality_check", FactoryKind.TXT_QUALITY, "out", True),
    TopicRow("/j1/txt/{n}/f/o/order", FactoryKind.GATEWAY_REQUEST, "in"),
    TopicRow("/j1/txt/{n}/i/cam", FactoryKind.OBSERVED, "out", True),
    TopicRow("/j1/txt/{n}/i/broadcast", FactoryKind.OBSERVED, "out", True),
    TopicRow("/j1/txt/{n}/i/alert", FactoryKind.OBSERVED, "out", True),
    TopicRow("/j1/txt/{n}/i/ptu/pos", FactoryKind.OBSERVED, "out", True),
    TopicRow("/j1/txt/{n}/f/i/order", FactoryKind.OBSERVED, "out", True),
    TopicRow("/j1/txt/{n}/f/i/stock", FactoryKind.OBSERVED, "out", True),
    TopicRow("/j1/txt/{n}/f/i/config/hbw", FactoryKind.OBSERVED, "out", True),
    TopicRow("/j1/txt/{n}/f/i/nfc/ds", FactoryKind.OBSERVED, "out"),
    TopicRow("/j1/txt/{n}/f/o/nfc/ds", FactoryKind.OBSERVED, "none"),
    TopicRow("/j1/txt/{n}/c/bme680", FactoryKind.OBSERVED, "in"),
    TopicRow("/j1/txt/{n}/c/ldr", FactoryKind.OBSERVED, "in"),
    TopicRow("/j1/txt/{n}/c/cam", FactoryKind.OBSERVED, "in"),
    TopicRow("/j1/txt/{n}/o/ptu", FactoryKind.OBSERVED, "in"),
    TopicRow("/j1/txt/{n}/o/broadcast", FactoryKind.OBSERVED, "none"),
    TopicRow("osf/#", FactoryKind.OBSERVED, "none", True),
    TopicRow("dsp/#", FactoryKind.OBSERVED, "none"),
)

VDA_VERSIONS = ("v1", "v2", "v3")
DEFAULT_INTERFACES: tuple[str, ...] = ("uagv",)
"""Interface names of VDA 5050 vehicles, unless KAISER_VDA5050_INTERFACES names others."""


def _by_length(rows: tuple[TopicRow, ...]) -> Mapping[int, tuple[tuple[tuple[str, ...], TopicRow], ...]]:
    lengths: dict[int, list[tuple[tuple[str, ...], TopicRow]]] = {}
    for row in rows:
        levels = tuple(row.template.split("/"))
        lengths.setdefault(len(levels), []).append((levels, row))
    return MappingProxyType({length: tuple(found) for length, found in lengths.items()})


ROWS_BY_LENGTH = _by_length(tuple(row for row in ROWS if not row.template.endswith("#")))
"""Rows without a wildcard by their number of levels, with these levels."""
OPEN_ROOTS = MappingProxyType({row.template[:-2]: row for row in ROWS if row.template.endswith("/#")})
"""First levels below which every topic is of one row."""
