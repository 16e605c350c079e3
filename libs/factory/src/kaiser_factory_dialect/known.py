"""The known fields of each kind of factory message; any other field is counted as unknown."""

from collections.abc import Mapping
from types import MappingProxyType

from kaiser_factory_dialect.catalogue import FactoryKind

_HEADER = frozenset({"headerId", "timestamp", "version", "manufacturer", "serialNumber"})
_STATE = _HEADER | {
    *("orderId", "orderUpdateId", "paused", "loads", "load", "actionState", "actionStates", "errors", "metadata"),
    *("operatingMode", "information", "batteryState", "lastNodeId", "lastNodeSequenceId", "lastCode", "nodeStates"),
    *("edgeStates", "driving", "waitingForLoadHandling", "agvPosition", "velocity", "safetyState", "zoneSetId"),
    *("distanceSinceLastNode", "newBaseRequest", "instantActionStates", "mobileRobotPosition", "powerSupply", "maps"),
    *("zoneActionStates", "zoneSets", "plannedPath", "intermediatePath", "zoneRequests", "edgeRequests"),
}
_CONNECTION = _HEADER | {"ip", "connectionState"}
_FACTSHEET = _HEADER | {
    *("typeSpecification", "physicalParameters", "protocolLimits", "localizationParameters", "protocolFeatures"),
    *("loadSpecification", "agvGeometry", "mobileRobotGeometry", "mobileRobotConfiguration", "vehicleConfig"),
}
_INSTANT = _HEADER | {"actions", "instantActions", "host"}
_REQUEST = frozenset({"type", "timestamp", "orderType", "requestId", "workpieceId", "ts"})

KNOWN_FIELDS: Mapping[FactoryKind, frozenset[str]] = MappingProxyType(
    {
        FactoryKind.MODULE_STATE: _STATE,
        FactoryKind.AGV_STATE: _STATE,
        FactoryKind.MODULE_CONNECTION: _CONNECTION,
        FactoryKind.AGV_CONNECTION: _CONNECTION,
        FactoryKind.NODERED_STATUS: _CONNECTION,
        FactoryKind.MODULE_FACTSHEET: _FACTSHEET,
        FactoryKind.AGV_FACTSHEET: _FACTSHEET,
        FactoryKind.MODULE_ORDER: _HEADER | {"orderId", "orderUpdateId", "action"},
        FactoryKind.AGV_ORDER: _HEADER | {"orderId", "orderUpdateId", "nodes", "edges", "zoneSetId"},
        FactoryKind.MODULE_INSTANT: _INSTANT,
        FactoryKind.AGV_INSTANT: _INSTANT,
        FactoryKind.CCU_REQUEST: _REQUEST,
        FactoryKind.GATEWAY_REQUEST: _REQUEST,
        FactoryKind.CCU_PAIRING: frozenset({"modules", "transports", "timestamp"}),
        FactoryKind.CCU_PAIR: frozenset({"serialNumber", "timestamp"}),
        FactoryKind.CCU_STOCK: frozenset({"ts", "stockItems"}),
        FactoryKind.CCU_LAYOUT: frozenset({"modules", "intersections", "roads", "timestamp"}),
        FactoryKind.CCU_GLOBAL: frozenset({"type", "timestamp"}),
        FactoryKind.TXT_QUALITY: frozenset(
            {"ts", "num", "result", "classification", "classificationDesc", "data", "color", "colour"}
        ),
    }
)
