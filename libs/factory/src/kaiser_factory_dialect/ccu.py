"""Parses the messages from and to the central control (CCU): orders, pairing, stock, layout, settings."""

from collections.abc import Sequence
from sys import intern
from typing import Any

from kaiser_common.contract.errors import Code, Rejected

from kaiser_factory_dialect.ccu_messages import (
    CcuConfig,
    CcuGlobal,
    CcuOrder,
    CcuOrders,
    CcuSetting,
    CcuStep,
    FactoryLayout,
    FactoryStock,
    LayoutModule,
    LayoutRoad,
    OrderCancel,
    OrderRequest,
    OrderWord,
    PairedMachine,
    Pairing,
    PairRequest,
    ProductionFlows,
    StockItem,
)
from kaiser_factory_dialect.fields import MAX_ID, Fields, check_free, ip_of, time_of
from kaiser_factory_dialect.quick import (
    PairedFields,
    StepFields,
    paired_fields,
    pairing_fields,
    step_fields,
    steps_fields,
)
from kaiser_factory_dialect.topics import FactoryTopic

_ORDER_WORDS: dict[str, OrderWord] = {
    "ENQUEUED": "ENQUEUED",
    "IN_PROGRESS": "IN_PROGRESS",
    "FINISHED": "FINISHED",
    "CANCELLED": "CANCELLED",
    "ERROR": "ERROR",
}
_OTHER_ORDER_WORDS: dict[str, OrderWord] = {"COMPLETED": "FINISHED", "CANCELED": "CANCELLED", "FAILED": "ERROR"}


def read_orders(topic: FactoryTopic, value: Any, odd: list[str], common: dict[str, Any]) -> CcuOrders:
    """Orders: a list is a snapshot, a single object updates that order. Rejected (5208): an order is there twice."""
    snapshot = isinstance(value, list)
    every = Fields({"": value if snapshot else [value]}, odd)
    orders = tuple(_order(one) for one in every.objects(""))
    ids = [order.order_id for order in orders]
    if len(set(ids)) < len(ids):
        raise Rejected(Code.DUPLICATE_ENTRY, "an order is listed twice", "orderId")
    return CcuOrders(**common, snapshot=snapshot, orders=orders)


def _order(fields: Fields) -> CcuOrder:
    return CcuOrder(
        order_id=fields.needed_text("orderId", MAX_ID),
        type=fields.text("type"),
        order_type=fields.text("orderType"),
        state=_order_word(fields),
        workpiece_id=fields.identity("workpieceId"),
        request_id=fields.identity("requestId"),
        requested=fields.time("timestamp"),
        received=fields.time("receivedAt"),
        started=fields.time("startedAt"),
        stopped=fields.time("stoppedAt"),
        steps=_steps(fields),
    )


def _steps(fields: Fields) -> tuple[CcuStep, ...]:
    if (found := steps_fields(fields.values.get("productionSteps"))) is not None:
        return tuple([_step_of(n, one, fields.odd) for n, one in enumerate(found)])
    return tuple(_step(n, one) for n, one in enumerate(fields.objects("productionSteps")))


def _step(n: int, fields: Fields) -> CcuStep:
    if (quick := step_fields(fields.values)) is None:
        return slow_step(n, fields)
    return _step_of(n, quick, fields.odd)


def _step_of(n: int, quick: StepFields, odd: list[str]) -> CcuStep:
    return CcuStep(
        n,
        quick.id,
        _once(quick.type),
        _ORDER_WORDS.get(quick.state or "") or _word_of(quick.state, quick.status, odd),
        _once(quick.command),
        _once(quick.module_type),
        _once(quick.source),
        _once(quick.target),
        _once(quick.serial_number or None),
        None if quick.started_at is None else time_of(quick.started_at, odd),
        None if quick.stopped_at is None else time_of(quick.stopped_at, odd),
        quick.dependent_action_id or None,
    )


def _once(word: str | None) -> str | None:
    """A word that many steps have, in memory once."""
    return None if word is None else intern(word)


def slow_step(n: int, fields: Fields) -> CcuStep:
    """A step field by field, which finds the field that is at fault."""
    return CcuStep(
        n=n,
        id=fields.needed_text("id", MAX_ID),
        type=fields.text("type"),
        state=_order_word(fields),
        command=fields.text("command"),
        module_type=fields.text("moduleType"),
        source=fields.text("source"),
        target=fields.text("target"),
        serial=fields.identity("serialNumber"),
        started=fields.time("startedAt"),
        stopped=fields.time("stoppedAt"),
        depends_on=fields.identity("dependentActionId"),
    )


def _order_word(fields: Fields) -> OrderWord:
    """The state of an order or a step; `status` where `state` is missing."""
    return _word_of(fields.text("state"), fields.named("status"), fields.odd)


def _word_of(state: str | None, status: str | None, odd: list[str]) -> OrderWord:
    value = state or status
    if value and not state:
        odd.append("order_status_for_state")
    if value is not None and (word := _ORDER_WORDS.get(value)) is not None:
        return word
    odd.append("order_state_odd")
    upper = (value or "").upper()
    return _ORDER_WORDS.get(upper) or _OTHER_ORDER_WORDS.get(upper) or "UNKNOWN"


def read_request(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> OrderRequest:
    """A request for an order; without an order type it is a production."""
    return OrderRequest(
        **common,
        device_ts=fields.time("timestamp"),
        type=fields.needed_text("type"),
        order_type=fields.text("orderType") or "PRODUCTION",
        request_id=fields.identity("requestId"),
        workpiece_id=fields.identity("workpieceId"),
    )


def read_cancel(topic: FactoryTopic, value: Any, odd: list[str], common: dict[str, Any]) -> OrderCancel:
    """A list of order ids."""
    if not isinstance(value, list):
        raise Rejected(Code.FIELD_TYPE_MISMATCH, "the payload is not a list of order ids")
    ids = Fields({"orderIds": value}, odd).texts("orderIds")
    if any(not 0 < len(one) <= MAX_ID for one in ids):
        raise Rejected(Code.VALUE_OUT_OF_RANGE, f"an order id is empty or longer than {MAX_ID} characters", "orderIds")
    return OrderCancel(**common, order_ids=ids)


def read_pairing(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> Pairing:
    """Read the pairing of the CCU. Rejected (5208): a list names a serial twice."""
    if (found := pairing_fields(fields.values)) is not None:
        modules, transports = (tuple([_paired_of(one, fields.odd) for one in listed]) for listed in found)
    else:
        modules = tuple(_paired(one) for one in fields.needed_objects("modules"))
        transports = tuple(_paired(one) for one in fields.objects("transports"))
    each_once(modules, "modules")
    each_once(transports, "transports")
    return Pairing(**common, device_ts=fields.time("timestamp"), modules=modules, transports=transports)


def each_once(listed: Sequence[PairedMachine | LayoutModule], name: str) -> None:
    """Rejected (5208): a serial is listed twice, and no reader could say which entry counts."""
    if len({one.serial for one in listed}) < len(listed):
        raise Rejected(Code.DUPLICATE_ENTRY, "a serial is listed twice", name)


def _paired(fields: Fields) -> PairedMachine:
    if (quick := paired_fields(fields.values)) is None:
        return slow_paired(fields)
    return _paired_of(quick, fields.odd)


def _paired_of(quick: PairedFields, odd: list[str]) -> PairedMachine:
    return PairedMachine(
        quick.serial_number,
        quick.sub_type or None,
        quick.available,
        quick.connected,
        quick.assigned,
        time_of(quick.paired_since, odd),
        time_of(quick.last_seen, odd),
        ip_of(quick.ip, odd),
        quick.version,
        quick.last_node_id or None,
        quick.last_module_serial_number or None,
        quick.last_load_position or None,
        quick.battery_percentage,
        quick.battery_voltage,
        quick.charging,
        quick.production_duration,
        quick.has_calibration,
    )


def slow_paired(fields: Fields) -> PairedMachine:
    """A paired machine field by field, which finds the field that is at fault."""
    return PairedMachine(
        serial=fields.serial(),
        type=fields.text("subType") or None,
        available=fields.text("available"),
        connected=fields.boolean("connected"),
        assigned=fields.boolean("assigned"),
        paired_since=fields.time("pairedSince"),
        last_seen=fields.time("lastSeen"),
        ip=ip_of(fields.text("ip"), fields.odd),
        version=fields.text("version"),
        node_id=fields.identity("lastNodeId"),
        last_module=fields.identity("lastModuleSerialNumber"),
        load_position=fields.identity("lastLoadPosition"),
        battery=fields.number("batteryPercentage"),
        voltage=fields.number("batteryVoltage"),
        charging=fields.boolean("charging"),
        duration=fields.number("productionDuration"),
        has_calibration=fields.boolean("hasCalibration"),
    )


def read_pair_request(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> PairRequest:
    """An AGV to be paired; its serial is the message's."""
    return PairRequest(**{**common, "serial": fields.serial()}, device_ts=fields.time("timestamp"))


def read_stock(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> FactoryStock:
    """The bays of the stores. Rejected (5208): a bay of a store is there twice."""
    items = tuple(_stock_item(one) for one in fields.needed_objects("stockItems"))
    if len({(item.hbw, item.location) for item in items}) < len(items):
        raise Rejected(Code.DUPLICATE_ENTRY, "a bay is listed twice", "stockItems")
    return FactoryStock(**common, device_ts=fields.time("ts"), items=items)


def _stock_item(fields: Fields) -> StockItem:
    hbw, location = fields.identity("hbw"), fields.needed_text("location", MAX_ID)
    workpiece = fields.object("workpiece")
    if workpiece is None or not (kind := workpiece.text("type")):
        fields.odd.append("bay_empty")
        return StockItem(hbw, location)
    return StockItem(hbw, location, kind, workpiece.identity("id"), workpiece.text("state"))


def read_layout(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> FactoryLayout:
    """Modules, intersections, roads. Rejected (5208): a module is there twice.

    A placeholder for a module that is not there has no serial and is left out.
    """
    modules = tuple(
        LayoutModule(one.serial(), one.text("type"))
        for one in fields.needed_objects("modules")
        if not (one.boolean("placeholder") and not one.text("serialNumber"))
    )
    each_once(modules, "modules")
    intersections = tuple(one.needed_text("id", MAX_ID) for one in fields.needed_objects("intersections"))
    roads = tuple(_road(one) for one in fields.needed_objects("roads"))
    return FactoryLayout(
        **common, device_ts=fields.time("timestamp"), modules=modules, intersections=intersections, roads=roads
    )


def _road(fields: Fields) -> LayoutRoad:
    length = fields.number("length")
    if length is None:
        raise fields.missing("length")
    if length < 0:
        raise fields.out_of_bounds("length", "negative")
    start, end = fields.needed_text("from", MAX_ID), fields.needed_text("to", MAX_ID)
    return LayoutRoad(start, end, length, (fields.text("direction") or "UNKNOWN").upper())


def read_flows(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> ProductionFlows:
    """The steps of each type of workpiece."""
    flows: dict[str, tuple[str, ...]] = {}
    for name in fields.values:
        check_free(name, "the name of a flow")
        flow = fields.object(name)
        if flow is None or flow.values.get("steps") is None:
            raise fields.missing(f"{name}.steps")
        flows[name] = flow.texts("steps")
    return ProductionFlows(**common, flows=flows)


def read_config(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> CcuConfig:
    """Settings of the CCU."""
    durations = fields.object("productionDurations")
    values = {} if durations is None else {name: durations.number(name) for name in durations.values}
    return CcuConfig(
        **common,
        durations={name: value for name, value in values.items() if value is not None},
        settings=_all(fields),
    )


def read_global(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> CcuGlobal:
    """An announcement of the CCU."""
    return CcuGlobal(**common, type=fields.needed_text("type"))


def read_setting(topic: FactoryTopic, fields: Fields, common: dict[str, Any]) -> CcuSetting:
    """A command to the CCU. Without a timestamp the CCU ignores reset and park, so they are rejected (5205)."""
    serial = None
    if topic.name in {"reset", "park"} and fields.values.get("timestamp") is None:
        raise fields.missing("timestamp")
    if topic.name == "charge":
        serial = fields.serial()
        if fields.boolean("charge") is None:
            raise fields.missing("charge")
    return CcuSetting(
        **{**common, "serial": serial},
        device_ts=fields.time("timestamp"),
        name=topic.name,
        charge=fields.boolean("charge") if topic.name == "charge" else None,
        with_storage=fields.boolean("withStorage"),
        settings=_all(fields),
    )


def _all(fields: Fields) -> dict[str, Any]:
    """The whole object, within the bounds of what is kept as it came."""
    return Fields({"settings": dict(fields.values)}, fields.odd).free("settings")
