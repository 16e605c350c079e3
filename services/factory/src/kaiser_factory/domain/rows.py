"""Turns a batch of factory messages into the rows of each table; pure except for its memory of earlier messages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from kaiser_common.contract.times import time_of
from kaiser_factory_dialect.apply import apply
from kaiser_factory_dialect.ccu_messages import CcuGlobal, CcuOrders, FactoryStock, OrderRequest, StockItem
from kaiser_factory_dialect.facts import FactoryReset, OrderChanged
from kaiser_factory_dialect.layout import road_between
from kaiser_factory_dialect.messages import (
    FINAL_ACTIONS,
    AgvOrder,
    FactoryMessage,
    MachineConnection,
    MachineState,
    ModuleOrder,
    QualityCheck,
)
from kaiser_factory_dialect.world import Factory, OrderRecord

from kaiser_factory.domain.action_log import ActionLog

Transition = tuple[datetime, str, str, str, str, str, str | None, str | None, float | None]
"""time, env, serial, what, value, action_id, command, result, length_mm."""


@dataclass(slots=True)
class ActionTimes:
    """The known fields of one action; fields that are None stay unchanged in the table. at: of the newest message."""

    serial: str
    agv: bool
    at: datetime
    command: str | None = None
    running_at: datetime | None = None
    finished_at: datetime | None = None
    result: str | None = None


@dataclass(slots=True)
class Rows:
    """The rows that a batch of messages of one environment adds to the tables."""

    env: str
    transitions: list[Transition] = field(default_factory=list)
    orders: dict[str, OrderRecord] = field(default_factory=dict)
    changed_at: dict[str, datetime] = field(default_factory=dict)
    steps: dict[str, ActionTimes] = field(default_factory=dict)
    stock: list[tuple[datetime, tuple[StockItem, ...]]] = field(default_factory=list)
    quality: list[QualityCheck] = field(default_factory=list)
    reset_at: datetime | None = None


class Past:
    """The memory of earlier messages that is needed to recognise changes; it is loaded from the tables."""

    def __init__(self) -> None:
        self.actions = ActionLog()
        self.factory = Factory()
        """Orders, requests, clocks and the layout alone; the rest of the state is the live one's."""
        self.connections: dict[tuple[str, str], str] = {}
        self.nodes: dict[str, str] = {}

    def shorten(self, orders: Iterable[OrderRecord]) -> None:
        """Drop the steps of orders that came to their end: nothing changes these any more, and the tables have them."""
        for record in orders:
            if record.settled:
                record.order = msgspec.structs.replace(record.order, steps=())


def rows_of(env: str, messages: Sequence[FactoryMessage], past: Past) -> Rows:
    """The rows of messages in their order. Retained ones say nothing about when: they fill in orders alone."""
    rows = Rows(env)
    for message in messages:
        _add(rows, message, past)
    return rows


def _add(rows: Rows, message: FactoryMessage, past: Past) -> None:
    at = time_of(message.ts)
    match message:
        case MachineState() if not message.retained and message.serial is not None:
            _add_state(rows, message, at, past)
        case MachineConnection() if not message.retained and message.serial is not None:
            key = (message.serial, message.source)
            if past.connections.get(key) != message.connection:
                past.connections[key] = message.connection
                rows.transitions.append(
                    (at, rows.env, message.serial, "connection", message.connection, message.source, None, None, None)
                )
        case ModuleOrder() if not message.retained and message.serial is not None:
            step = rows.steps.setdefault(message.action_id, ActionTimes(message.serial, False, at))
            step.command = message.command
        case AgvOrder() if not message.retained and message.serial is not None and message.final_action_id is not None:
            rows.steps.setdefault(message.final_action_id, ActionTimes(message.serial, True, at))
        case CcuOrders() | OrderRequest() | CcuGlobal():
            for fact in apply(past.factory, message):
                if isinstance(fact, OrderChanged):
                    # As it is now: the record goes on changing with the messages behind.
                    rows.orders[fact.order_id] = past.factory.orders[fact.order_id]
                    rows.changed_at[fact.order_id] = at
                elif isinstance(fact, FactoryReset):
                    rows.reset_at = at
        case FactoryStock():
            rows.stock.append((at, message.items))
        case QualityCheck() if not message.retained:
            rows.quality.append(message)
        case _:
            past.factory.clocks.hear(message)


def _add_state(rows: Rows, message: MachineState, at: datetime, past: Past) -> None:
    serial, agv = message.serial, message.kind.startswith("agv.")
    assert serial is not None
    past.factory.clocks.hear(message)
    listed = (*message.actions, *(() if message.action is None else (message.action,)))
    for action in past.actions.new_of(serial, message.source, listed):
        rows.transitions.append(
            (at, rows.env, serial, "action", action.state, action.id, action.command, action.result, None)
        )
        step = rows.steps.setdefault(action.id, ActionTimes(serial, agv, at))
        step.at = at
        step.command = action.command or step.command
        step.result = action.result or step.result
        if action.state == "RUNNING" and not agv and step.running_at is None:
            step.running_at = at
        if action.state in FINAL_ACTIONS and step.finished_at is None:
            step.finished_at = at
    before, after = past.nodes.get(serial), message.node_id
    if after is not None and after != before:
        past.nodes[serial] = after
        road = road_between(past.factory.layout, before, after) if before is not None else None
        rows.transitions.append(
            (at, rows.env, serial, "node", after, "", None, None, float(road.length) if road is not None else None)
        )


def record_of(record: OrderRecord) -> str:
    """An order's record as JSON."""
    return msgspec.json.encode(record).decode()


def record_from(value: Any) -> OrderRecord:
    """The record of a JSON value that `record_of` wrote. msgspec.ValidationError if it is not one."""
    return msgspec.convert(value, OrderRecord)
