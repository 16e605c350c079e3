"""Parses the messages from and to modules and AGVs: states, connections, factsheets, orders, instant actions."""

from typing import Any

from kaiser_common.contract.errors import Code, Rejected

from kaiser_factory_dialect.actions import (
    current_of,
    read_action,
    read_battery,
    read_errors,
    read_loads,
    read_order_id,
    read_parameters,
    read_position,
    read_update_id,
)
from kaiser_factory_dialect.fields import MAX_ID, MAX_SAFE, Fields, ip_of
from kaiser_factory_dialect.messages import (
    AgvOrder,
    ConnectionWord,
    Factsheet,
    InstantAction,
    InstantActions,
    MachineConnection,
    MachineState,
    ModuleOrder,
    OrderEdge,
    OrderNode,
)
from kaiser_factory_dialect.quick_states import quick_instants, quick_state
from kaiser_factory_dialect.topics import FactoryTopic

_CONNECTIONS: dict[str, ConnectionWord] = {
    "ONLINE": "ONLINE",
    "OFFLINE": "OFFLINE",
    "CONNECTIONBROKEN": "CONNECTIONBROKEN",
    "CONNECTION_BROKEN": "CONNECTIONBROKEN",
    "HIBERNATING": "OFFLINE",
}
_ACTION_LISTS = ("moduleActions", "agvActions", "mobileRobotActions")


def read_state(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> MachineState:
    """State of a module or AGV."""
    if topic.source != "vda5050" and (found := quick_state(topic, fields, common)) is not None:
        return found
    return slow_state(topic, fields, common)


def slow_state(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> MachineState:
    """A state field by field, which finds the field that is at fault, and reads VDA 5050."""
    check_serial(topic, fields, required=True)
    agv = topic.kind.startswith("agv.")
    if agv and all(
        fields.values.get(name) is None for name in ("lastNodeId", "actionState", "orderId", "actionStates")
    ):
        raise fields.missing("lastNodeId")
    actions = tuple(
        one
        for name in ("actionStates", "instantActionStates")
        for item in fields.objects(name)
        if (one := read_action(item)) is not None
    )
    current = fields.object("actionState")
    action = read_action(current) if current is not None else None
    if topic.source == "vda5050":
        action = action or current_of(actions)
    elif current is None:
        fields.odd.append("action_missing")
    metadata = fields.object("metadata")
    return MachineState(
        **common,
        source=topic.source,
        device_ts=fields.time("timestamp"),
        header_id=fields.integer("headerId", MAX_SAFE),
        order_id=read_order_id(fields, action.id if action is not None else None),
        order_update_id=read_update_id(fields),
        action=action,
        actions=actions,
        errors=read_errors(fields),
        loads=read_loads(fields, untyped=topic.source == "vda5050"),
        paused=fields.boolean("paused"),
        operating_mode=_mode(fields),
        opcua=metadata.text("opcuaState") if metadata is not None else None,
        node_id=fields.identity("lastNodeId"),
        node_sequence_id=fields.integer("lastNodeSequenceId"),
        driving=fields.boolean("driving"),
        waiting_for_load=fields.boolean("waitingForLoadHandling"),
        battery=read_battery(fields),
        position=read_position(fields),
        e_stop=_emergency_stop(fields),
        nodes_left=_nodes_left(fields) if topic.source == "vda5050" else None,
    )


def _mode(fields: Fields) -> str | None:
    value = fields.text("operatingMode")
    return "TEACHIN" if value == "TEACH_IN" else value


def _emergency_stop(fields: Fields) -> str | None:
    safety = fields.object("safetyState")
    return safety.named("eStop", "activeEmergencyStop") if safety is not None else None


def _nodes_left(fields: Fields) -> int | None:
    nodes = fields.items("nodeStates")
    return None if nodes is None else len(nodes)


def read_connection(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> MachineConnection:
    """Connection of a module, an AGV or Node-RED. Rejected (5206): its state is no known word."""
    if topic.serial is not None:
        check_serial(topic, fields)
    word = _CONNECTIONS.get(fields.needed_text("connectionState"))
    if word is None:
        raise fields.wrong_type("connectionState", "ONLINE, OFFLINE or CONNECTIONBROKEN")
    return MachineConnection(
        **common,
        source=topic.source,
        device_ts=fields.time("timestamp"),
        connection=word,
        version=fields.text("version"),
        ip=ip_of(fields.text("ip"), fields.odd),
        manufacturer=fields.text("manufacturer"),
    )


def read_factsheet(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> Factsheet:
    """Read the type and abilities of a module or AGV. A class with a suffix (`AIQS24`) is the class."""
    check_serial(topic, fields, required=True)
    kind = fields.object("typeSpecification")
    if kind is None:
        raise fields.missing("typeSpecification")
    features, loads = fields.object("protocolFeatures"), fields.object("loadSpecification")
    actions = [] if features is None else [one for name in _ACTION_LISTS for one in features.objects(name)]
    sets = [] if loads is None else list(loads.objects("loadSets"))
    module_class = kind.text("moduleClass")
    return Factsheet(
        **common,
        source=topic.source,
        device_ts=fields.time("timestamp"),
        series=kind.text("seriesName"),
        module_class=module_class.rstrip("0123456789") if module_class else None,
        agv_class=kind.named("agvClass", "mobileRobotClass"),
        actions=tuple(sorted({name for one in actions if (name := one.text("actionType"))})),
        load_types=tuple(sorted({name for one in sets if (name := one.text("loadType"))})),
        version=fields.text("version"),
    )


def read_module_order(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> ModuleOrder:
    """An order to a module."""
    check_serial(topic, fields)
    order_id, update_id = _needed_order(fields)
    action = fields.object("action")
    if action is None:
        raise fields.missing("action")
    action_id = action.needed_text("id", MAX_ID)
    return ModuleOrder(
        **common,
        source=topic.source,
        device_ts=fields.time("timestamp"),
        order_id=None if order_id == action_id else order_id,
        order_update_id=update_id,
        action_id=action_id,
        command=action.needed_text("command"),
        metadata=action.free("metadata"),
    )


def read_agv_order(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> AgvOrder:
    """An order to an AGV, in the factory's form or in VDA 5050's."""
    check_serial(topic, fields)
    order_id, update_id = _needed_order(fields)
    nodes = tuple(_node(one) for one in fields.needed_objects("nodes"))
    if not nodes:
        raise fields.missing("nodes")
    edges = tuple(_edge(one) for one in fields.needed_objects("edges"))
    return AgvOrder(
        **common,
        source=topic.source,
        device_ts=fields.time("timestamp"),
        order_id=order_id,
        order_update_id=update_id,
        path=tuple(node.id for node in nodes),
        nodes=nodes,
        edges=edges,
        final_action_id=nodes[-1].action_id,
    )


def _node(fields: Fields) -> OrderNode:
    action = fields.object("action")
    if action is None:
        action = next(fields.objects("actions"), None)
    name = _first_of(fields, "id", "nodeId")
    if action is None:
        return OrderNode(name)
    metadata = read_parameters(action)
    return OrderNode(name, _first_of(action, "id", "actionId"), action.named("type", "actionType"), metadata)


def _edge(fields: Fields) -> OrderEdge:
    return OrderEdge(_first_of(fields, "id", "edgeId"), fields.number("length"))


def _first_of(fields: Fields, name: str, other: str) -> str:
    """A required id under the factory's name or under VDA 5050's."""
    if fields.values.get(name) is None and fields.values.get(other) is not None:
        return fields.needed_text(other, MAX_ID)
    return fields.needed_text(name, MAX_ID)


def read_instant(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> InstantActions:
    """Instant actions. VDA 5050 1.1 names the list `instantActions`, the schema of 2.0 names the type `actionName`."""
    check_serial(topic, fields)
    if (actions := quick_instants(fields)) is None:
        actions = slow_instants(topic, fields)
    return InstantActions(**common, source=topic.source, device_ts=fields.time("timestamp"), actions=actions)


def slow_instants(topic: FactoryTopic, fields: Fields) -> tuple[InstantAction, ...]:
    """Instant actions field by field, which finds the field that is at fault."""
    name = "instantActions" if fields.values.get("actions") is None and topic.source == "vda5050" else "actions"
    actions = tuple(_instant(one) for one in fields.needed_objects(name))
    if not actions:
        raise fields.missing(name)
    return actions


def _instant(fields: Fields) -> InstantAction:
    kind = fields.named("actionType", "actionName")
    if kind is None:
        raise fields.missing("actionType")
    return InstantAction(fields.needed_text("actionId", MAX_ID), kind, read_parameters(fields))


def _needed_order(fields: Fields) -> tuple[str | None, int]:
    """Order id and update id, which an order must have."""
    for name in ("orderId", "orderUpdateId"):
        if fields.values.get(name) is None:
            raise fields.missing(name)
    update_id = read_update_id(fields)
    assert update_id is not None
    return read_order_id(fields, None), update_id


def check_serial(topic: FactoryTopic, fields: Fields, required: bool = False) -> None:
    """Rejected: the payload has no serial though it needs one (5205), or another serial than the topic (5211)."""
    serial = fields.text("serialNumber")
    if serial is None:
        if required:
            raise fields.missing("serialNumber")
        if topic.kind.endswith(".order"):
            fields.odd.append("order_without_serial")
    elif serial != topic.serial:
        detail = f"the payload is of {serial[:64]!r}, the topic of {topic.serial!r}"
        raise Rejected(Code.TOPIC_MISMATCH, detail, fields.of("serialNumber"))
