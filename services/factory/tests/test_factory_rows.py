"""The store's memory of earlier messages: enough to know a change, and no more; pure."""

import json

from kaiser_factory.domain.rows import Past, Rows, rows_of
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, read

AT_MS = 1_770_000_000_000
STEP = {"id": "s1", "type": "NAVIGATION", "state": "FINISHED", "target": "HBW"}


def said(past: Past, topic: str, state: str, at: int) -> Rows:
    """The rows of what the CCU says of one order, as they are stored."""
    order = {"orderId": "o1", "orderType": "PRODUCTION", "type": "WHITE", "state": state, "productionSteps": [STEP]}
    found = read(Arrival(topic, json.dumps([order]).encode(), AT_MS + at), ())
    assert isinstance(found, FactoryAccepted)
    rows = rows_of("live", [found.message], past)
    assert [len(each.order.steps) for each in rows.orders.values()] == [1] * len(rows.orders)
    past.shorten(rows.orders.values())
    return rows


def test_the_steps_of_an_open_order_are_kept_and_those_of_an_ended_one_are_not() -> None:
    past = Past()
    assert said(past, "ccu/order/active", "IN_PROGRESS", 0).orders.keys() == {"o1"}
    assert len(past.factory.orders["o1"].order.steps) == 1
    assert said(past, "ccu/order/completed", "FINISHED", 1).orders.keys() == {"o1"}
    assert past.factory.orders["o1"].order.steps == ()
    assert said(past, "ccu/order/active", "IN_PROGRESS", 2).orders == {}  # late: the row with its steps stays
    assert said(past, "ccu/order/completed", "FINISHED", 3).orders == {}
