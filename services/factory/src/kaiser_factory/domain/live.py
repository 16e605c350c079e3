"""The live state of the factory: first the last value of each topic from TOPICS, then each message of FACTORY."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kaiser_common.contract.schemas.factory import (
    FactoryAction,
    FactoryBay,
    FactoryEnvironment,
    FactoryError,
    FactoryLoad,
    FactoryModule,
    FactoryOrder,
    FactoryStore,
)
from kaiser_factory_dialect.apply import apply
from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.facts import (
    ActionChanged,
    ConnectionChanged,
    Fact,
    FactoryReset,
    MachineHeard,
    NodeReached,
    OrderChanged,
    StockChanged,
)
from kaiser_factory_dialect.messages import FactoryMessage
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, read
from kaiser_factory_dialect.timeline import OrderRow, order_row
from kaiser_factory_dialect.view import MachineRow, row, stock_of
from kaiser_factory_dialect.world import Factory
from msgspec.structs import replace
from pydantic import BaseModel

SEEN_EVERY_MS = 5_000
"""Shortest time between two publications of a row of which only the time of the last receipt changes."""
SURELY_OLDER_MS = 10_000
VALUES = frozenset({*(kind.value for kind in FactoryKind if kind is not FactoryKind.OBSERVED), "retained_same"})
"""Verdicts of messages that were read."""
_WITHOUT_EFFECT = frozenset({"cleared", "retained_command"})


def may_hide_a_value(verdict: str) -> bool:
    """Whether a topic with this last verdict may have an earlier message that was read: the last one was rejected, or
    changed nothing. Topics that are only kept (`observed`, `uncatalogued`, those of devices) have none."""
    return verdict.isdigit() or verdict in _WITHOUT_EFFECT


@dataclass(slots=True)
class Changes:
    """The changes that a batch of messages made."""

    serials: set[str] = field(default_factory=set)
    orders: set[str] = field(default_factory=set)
    stores: set[str] = field(default_factory=set)
    all_serials: bool = False
    received_at: int = 0


@dataclass(slots=True)
class Coverage:
    """The received kinds, the tolerated oddities, and the fields that Kaiser does not read."""

    kinds: Counter[str] = field(default_factory=Counter)
    oddities: Counter[str] = field(default_factory=Counter)
    unknown: dict[str, Counter[str]] = field(default_factory=dict)

    def count(self, kind: str, odd: Sequence[str], unknown: Sequence[str]) -> None:
        """Count a message with its oddities and unknown fields; of each kind 100 names of fields at most."""
        self.kinds[kind] += 1
        self.oddities.update(odd)
        if unknown:
            names = self.unknown.setdefault(kind, Counter())
            names.update(name for name in unknown if name in names or len(names) < _MOST_UNKNOWN)


_MOST_UNKNOWN = 100
_MOST_TXTS = 16


class FactoryState:
    """The factory of one environment and epoch, and what was last published of it."""

    def __init__(self, environment: FactoryEnvironment, interfaces: tuple[str, ...]) -> None:
        self.environment = environment
        self.factory = Factory()
        self.coverage = Coverage()
        self.txts: set[str] = set()
        """The TXTs that measure, at most 16: a device is registered for each."""
        self._interfaces = interfaces
        self._last: dict[str, int] = {}
        self._published: dict[str, _Published] = {}
        self._lost_orders: set[str] = set()
        self._lost_stores: set[str] = set()

    def take_last(self, arrival: Arrival, verdict: str) -> None:
        """Apply the last value of a topic from before, as TOPICS has it."""
        if verdict not in VALUES:
            return
        found = read(arrival, self._interfaces)
        if isinstance(found, FactoryAccepted):
            self.take(found.message, found.oddities, found.unknown, Changes())
            self._last[arrival.topic] = arrival.received_at

    def has(self, topic: str, ts: int) -> bool:
        """Whether a message that was received at `ts` (ms) is surely older than the last value of its topic.

        The ones of the ten seconds before it are applied again, in their order, so that clocks may differ by that.
        """
        last = self._last.get(topic)
        return last is not None and ts < last - SURELY_OLDER_MS

    def is_last(self, topic: str, ts: int) -> bool:
        """Whether a message that was received at `ts` (ms) is the last value of its topic, which was applied before."""
        return self._last.get(topic) == ts

    def take(
        self,
        message: FactoryMessage,
        odd: Sequence[str],
        unknown: Sequence[str],
        changes: Changes,
        *,
        is_counted: bool = False,
    ) -> None:
        """Apply a message. odd: the oddities that were tolerated; unknown: its fields that Kaiser does not read;
        is_counted: the coverage has it already."""
        if not is_counted:
            self.coverage.count(message.kind.value, odd, unknown)
        if message.kind is FactoryKind.TXT_SENSOR and message.serial and len(self.txts) < _MOST_TXTS:
            self.txts.add(message.serial)
        for fact in apply(self.factory, message):
            _note(fact, changes)
        changes.all_serials = changes.all_serials or message.kind in _OF_ALL
        changes.received_at = max(changes.received_at, message.ts)

    def rows(self, now: int) -> list[FactoryModule]:
        """Every module and AGV, by serial."""
        return [self.row(serial, now) for serial in sorted(self.factory.machines)]

    def row(self, serial: str, now: int) -> FactoryModule:
        """One module or AGV. KeyError: it is not known."""
        return module_of(row(self.factory, self.factory.machines[serial], now), self.environment, now)

    def order(self, order_id: str, now: int) -> FactoryOrder:
        """One order. KeyError: it is not known."""
        return order_of(order_row(self.factory.orders[order_id], now), self.factory, self.environment, now)

    def orders(self, now: int) -> list[FactoryOrder]:
        """Every order that is in memory, by its id."""
        return [self.order(order_id, now) for order_id in sorted(self.factory.orders)]

    def stores(self, now: int) -> list[FactoryStore]:
        """The bays of every store."""
        return [
            FactoryStore(
                env=self.environment.env,
                hbw=hbw,
                bays=[
                    FactoryBay(location=at, type=item.type, id=item.id, state=item.state)
                    for at, item in sorted(bays.items())
                ],
                ts=now,
            )
            for hbw, bays in sorted(stock_of(self.factory).items())
        ]

    def news(self, changes: Changes, now: int) -> list[tuple[str, str, BaseModel]]:
        """Events of what changed: type, key and data of each. Orders and stores whose last event was lost are added to
        the changes."""
        changes.orders |= self._lost_orders
        changes.stores |= self._lost_stores
        self._lost_orders, self._lost_stores = set(), set()
        events: list[tuple[str, str, BaseModel]] = []
        serials: Iterable[str] = self.factory.machines if changes.all_serials else changes.serials
        for serial in sorted(serials):
            if serial in self.factory.machines and (module := self._changed(serial, now)) is not None:
                events.append(("factory_module", serial, module))
        known = self.factory.orders
        events += [
            ("factory_order", order_id, self.order(order_id, now))
            for order_id in sorted(changes.orders)
            if order_id in known
        ]
        if changes.stores:
            events += [("factory_stock", one.hbw, one) for one in self.stores(now) if one.hbw in changes.stores]
        return events

    def lose(self, changes: Changes) -> None:
        """The events of these changes were lost: the next `news` has these orders and stores again, and each row with
        the next `news` that is about it."""
        self._published.clear()
        self._lost_orders |= changes.orders
        self._lost_stores |= changes.stores

    def _changed(self, serial: str, now: int) -> FactoryModule | None:
        """The row of a module or AGV, if it is to be published."""
        found, before = row(self.factory, self.factory.machines[serial], now), self._published.get(serial)
        is_due = before is None or (
            found.last_seen != before.module.last_seen and now - before.module.ts >= SEEN_EVERY_MS
        )
        if before is not None and not is_due and _but_for_seen(found, before.row, self.environment) == before.row:
            return None
        module = module_of(found, self.environment, now)
        if before is not None and not is_due:
            seen = {"last_seen": before.module.last_seen, "ts": before.module.ts, "skew_ms": before.module.skew_ms}
            if module.model_copy(update=seen) == before.module:
                self._published[serial] = _Published(found, before.module)
                return None
        self._published[serial] = _Published(found, module)
        return module


class _Published(NamedTuple):
    """The last published row of a module or AGV, and its newest row that says the same."""

    row: MachineRow
    module: FactoryModule


def _but_for_seen(found: MachineRow, before: MachineRow, environment: FactoryEnvironment) -> MachineRow:
    """The row as if it had been seen when the one before was, unless that is a change: it has been stale."""
    if _is_stale(found, environment) != _is_stale(before, environment):
        return found
    return replace(found, last_seen=before.last_seen, skew_ms=before.skew_ms)


_OF_ALL = frozenset({FactoryKind.CCU_PAIRING, FactoryKind.CCU_LAYOUT, FactoryKind.NODERED_STATUS})
"""Kinds that are about every module and AGV."""


def _note(fact: Fact, changes: Changes) -> None:
    match fact:
        case MachineHeard() | ActionChanged() | ConnectionChanged() | NodeReached():
            changes.serials.add(fact.serial)
        case OrderChanged():
            changes.orders.add(fact.order_id)
        case StockChanged():
            changes.stores.add(fact.hbw)
        case FactoryReset():
            changes.all_serials = True
        case _:
            pass


def _is_stale(found: MachineRow, environment: FactoryEnvironment) -> bool:
    """Whether it has sent nothing since the environment was entered."""
    return found.last_seen is None or found.last_seen < environment.since


def module_of(found: MachineRow, environment: FactoryEnvironment, now: int) -> FactoryModule:
    """A row as events and answers have it."""
    action = found.action
    return FactoryModule(
        env=environment.env,
        serial=found.serial,
        kind="agv" if found.kind == "agv" else "module",
        type=found.type,
        paired=found.paired,
        connection=found.connection,
        silent=found.silent,
        availability=found.availability,
        assigned=found.assigned,
        order_id=found.order_id,
        action=None
        if action is None
        else FactoryAction(id=action.id, command=action.command, state=action.state, result=action.result),
        loads=[FactoryLoad(position=one.position, type=one.type, id=one.id) for one in found.loads],
        errors=[FactoryError(type=one.type, level=one.level, message=one.message) for one in found.errors],
        battery_percent=found.battery_percent,
        battery_voltage=found.battery_voltage,
        charging=found.charging,
        node=found.node,
        driving=found.driving,
        at=found.at,
        last_seen=found.last_seen,
        skew_ms=found.skew_ms,
        stale=_is_stale(found, environment),
        ts=now,
    )


def order_of(found: OrderRow, factory: Factory, environment: FactoryEnvironment, now: int) -> FactoryOrder:
    """An order as events and answers have it; its times are Kaiser's once the skew of the CCU's clock is known."""
    skew = factory.clocks.skew_ms("ccu")
    fields = {name: getattr(found, name) for name in found.__struct_fields__ if name != "steps"}
    for name in ("requested", "received", "started", "stopped"):
        if fields[name] is not None and skew is not None:
            fields[name] += skew
    return FactoryOrder(env=environment.env, corrected=skew is not None, ts=now, **fields)
