"""Orders for display: a row for each order, and its steps with the times at which they were received."""

from msgspec import Struct

from kaiser_factory_dialect.ccu_messages import CcuOrder
from kaiser_factory_dialect.world import Factory, OrderRecord, Progress
from kaiser_factory_dialect.world_orders import is_open

LOST_MS = 15 * 60 * 1000
"""An order that is missing for longer is shown as lost."""


class OrderRow(Struct, frozen=True, kw_only=True):
    """One order. requested to stopped are by the CCU's clock; missing_since is ms of receipt; lead_ms is exact."""

    order_id: str
    type: str | None
    order_type: str | None
    state: str
    workpiece_id: str | None
    request_id: str | None
    requested: int | None
    received: int | None
    started: int | None
    stopped: int | None
    steps: tuple[str, ...]
    steps_done: int
    steps_total: int
    lead_ms: int | None
    missing_since: int | None
    lost: bool
    reason: str | None
    replaces: str | None


class StepRow(Struct, frozen=True, kw_only=True):
    """One step. started and stopped are by the CCU's clock; running_at and finished_at are ms of receipt.

    serial: who does it, as the CCU or the AGV says. waiting_ms: since the step before stopped.
    """

    n: int
    id: str
    type: str | None
    state: str
    command: str | None
    module_type: str | None
    source: str | None
    target: str | None
    serial: str | None
    started: int | None
    stopped: int | None
    waiting_ms: int | None
    running_at: int | None
    finished_at: int | None
    result: str | None


def order_rows(factory: Factory, now: int) -> list[OrderRow]:
    """Every order that is known, by its id."""
    return [order_row(factory.orders[order_id], now) for order_id in sorted(factory.orders)]


def order_row(record: OrderRecord, now: int) -> OrderRow:
    """The row of an order at `now`, in ms."""
    order, missing = record.order, record.missing_since if is_open(record) else None
    return OrderRow(
        order_id=order.order_id,
        type=order.type,
        order_type=order.order_type,
        state=order.state,
        workpiece_id=order.workpiece_id,
        request_id=order.request_id,
        requested=order.requested,
        received=order.received,
        started=order.started,
        stopped=order.stopped,
        steps=tuple(step.id for step in order.steps),
        steps_done=sum(step.state == "FINISHED" for step in order.steps),
        steps_total=len(order.steps),
        lead_ms=_between(order.started, order.stopped),
        missing_since=missing,
        lost=missing is not None and now - missing > LOST_MS,
        reason=record.reason,
        replaces=record.replaces,
    )


def timeline_of(factory: Factory, order: CcuOrder) -> list[StepRow]:
    """The steps of an order. n is a step's place in the plan now, which shifts where the plan grows."""
    found: list[StepRow] = []
    stopped_before: int | None = None
    for step in order.steps:
        progress: Progress | None = factory.progress.get(step.id)
        found.append(
            StepRow(
                n=step.n,
                id=step.id,
                type=step.type,
                state=step.state,
                command=step.command,
                module_type=step.module_type,
                source=step.source,
                target=step.target,
                serial=step.serial or (progress.serial if progress is not None else None),
                started=step.started,
                stopped=step.stopped,
                waiting_ms=_between(stopped_before, step.started),
                running_at=progress.running_at if progress is not None else None,
                finished_at=progress.finished_at if progress is not None else None,
                result=progress.result if progress is not None else None,
            )
        )
        stopped_before = step.stopped
    return found


def _between(start: int | None, end: int | None) -> int | None:
    return None if start is None or end is None else end - start
