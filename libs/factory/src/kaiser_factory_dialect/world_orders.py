"""Applies the CCU's messages to orders, stock and quality."""

import msgspec

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.ccu_messages import FINAL_ORDERS, CcuGlobal, CcuOrder, CcuOrders, FactoryStock, OrderRequest
from kaiser_factory_dialect.facts import Fact, FactoryReset, OrderChanged, QualityChecked, StockChanged
from kaiser_factory_dialect.messages import QualityCheck
from kaiser_factory_dialect.world import MAX_ORDERS, MAX_STORES, Factory, OrderRecord

REPLACED_WITHIN_MS = 5_000
"""An order without a request that follows a failed one of its type so soon replaces it."""


def apply_request(factory: Factory, message: OrderRequest) -> None:
    """Remember that an order of that type was requested."""
    if not message.retained:
        factory.requests.append((message.type, message.ts))


def apply_orders(factory: Factory, message: CcuOrders) -> list[Fact]:
    """Orders as the CCU says them. An order that a snapshot of active ones lacks is missing; nothing is concluded."""
    facts: list[Fact] = []
    for order in message.orders:
        facts += _take(factory, order, message)
    if message.kind is FactoryKind.CCU_ACTIVE and message.snapshot:
        facts += _miss(factory, {order.order_id for order in message.orders}, message.ts)
    _forget(factory)
    return facts


def _take(factory: Factory, order: CcuOrder, message: CcuOrders) -> list[Fact]:
    record = factory.orders.get(order.order_id)
    if record is None:
        record = factory.orders[order.order_id] = OrderRecord(order, message.ts)
        record.replaces = None if message.retained else _replaced_by(factory, order, message.ts)
        before = None
    else:
        before = (record.order, record.missing_since)
        if record.settled or (record.reason is not None and message.kind is not FactoryKind.CCU_COMPLETED):
            return []
        record.order = _merged(record.order, order)
    record.active = record.active or message.kind is FactoryKind.CCU_ACTIVE
    record.settled = order.state in FINAL_ORDERS
    if order.state == "ERROR" and record.failed_at is None and not message.retained:
        record.failed_at = message.ts
        factory.failures.append(order.order_id)
    record.missing_since = record.reason = None
    if before == (record.order, None):
        return []
    return [OrderChanged(order.order_id, before[0].state if before else None, record.order.state, message.ts)]


def _replaced_by(factory: Factory, order: CcuOrder, at: int) -> str | None:
    """The failed order that a new one replaces: of the same type, within 5 s, and without a request."""
    if order.request_id is not None or order.type is None or order.state in FINAL_ORDERS:
        return None
    if any(kind == order.type and 0 <= at - asked <= REPLACED_WITHIN_MS for kind, asked in factory.requests):
        return None
    for order_id in reversed(factory.failures):
        failed = factory.orders.get(order_id)
        if failed is None or failed.failed_at is None or failed.order.type != order.type:
            continue
        return order_id if 0 <= at - failed.failed_at <= REPLACED_WITHIN_MS else None
    return None


def _merged(old: CcuOrder, new: CcuOrder) -> CcuOrder:
    """The new one; what it leaves out stays."""
    return CcuOrder(
        order_id=new.order_id,
        type=new.type or old.type,
        order_type=new.order_type or old.order_type,
        state=new.state,
        workpiece_id=new.workpiece_id or old.workpiece_id,
        request_id=new.request_id or old.request_id,
        requested=new.requested or old.requested,
        received=new.received or old.received,
        started=new.started or old.started,
        stopped=new.stopped or old.stopped,
        steps=new.steps or old.steps,
    )


def _miss(factory: Factory, listed: set[str], at: int) -> list[Fact]:
    facts: list[Fact] = []
    for order_id, record in factory.orders.items():
        if record.active and record.missing_since is None and order_id not in listed and is_open(record):
            record.missing_since = at
            facts.append(OrderChanged(order_id, record.order.state, record.order.state, at))
    return facts


def is_open(record: OrderRecord) -> bool:
    """Whether an order has not come to its end."""
    return record.order.state not in FINAL_ORDERS


def _forget(factory: Factory) -> None:
    """Keep MAX_ORDERS: the oldest that came to an end go first, then the oldest."""
    while len(factory.orders) > MAX_ORDERS:
        ended = (order_id for order_id, record in factory.orders.items() if not is_open(record))
        del factory.orders[next(ended, next(iter(factory.orders)))]


def apply_global(factory: Factory, message: CcuGlobal) -> list[Fact]:
    """A reset cancels what is open; a later message of completed orders may correct that."""
    if message.type != "reset" or message.retained:
        return []
    facts: list[Fact] = [FactoryReset(message.ts)]
    for order_id, record in factory.orders.items():
        if is_open(record):
            facts.append(OrderChanged(order_id, record.order.state, "CANCELLED", message.ts))
            record.order = msgspec.structs.replace(record.order, state="CANCELLED")
            record.reason, record.missing_since = "reset", None
    return facts


def apply_stock(factory: Factory, message: FactoryStock) -> list[Fact]:
    """The bays of the stores that the message lists replace what was known of these stores."""
    facts: list[Fact] = []
    for hbw in sorted({item.hbw or "" for item in message.items}):
        old = factory.stock.get(hbw, {})
        new = {item.location: item for item in message.items if (item.hbw or "") == hbw}
        factory.stock.pop(hbw, None)
        factory.stock[hbw] = new
        if len(factory.stock) > MAX_STORES:
            del factory.stock[next(iter(factory.stock))]
        facts += [
            StockChanged(hbw, old.get(location), item, message.ts)
            for location, item in new.items()
            if old.get(location) != item
        ]
    return facts


def apply_quality(factory: Factory, message: QualityCheck) -> list[Fact]:
    """A check of quality. A retained one is not new."""
    if message.retained:
        return []
    factory.quality.append((message.result, message.classification, message.ts))
    return [QualityChecked(message.serial, message.result, message.classification, message.ts)]
