"""The journal of commands: messages from the factory, and the passing of time, move each command towards its end.

Every function returns the new entry, or the same object if nothing changed, so the caller stores only what is new. A
process that dies loses nothing that it had stored: the messages are delivered again and lead to the same result.
Source: docs/factory-dialect.md, "Journal".
"""

from collections.abc import Iterable
from typing import Literal

import msgspec
from kaiser_common.contract.errors import Code
from msgspec import Struct

from kaiser_factory_dialect.catalogue import FactoryKind, StateSource
from kaiser_factory_dialect.ccu_messages import CcuGlobal, CcuOrder, CcuOrders, Pairing
from kaiser_factory_dialect.commands import (
    REQUEST_ECHO_MS,
    SEND_WITHIN_MS,
    FactoryCommand,
    accept_within_ms,
    ends_when_sent,
    finish_within_ms,
)
from kaiser_factory_dialect.messages import ActionState, FactoryMessage, MachineConnection, MachineError, MachineState

JournalState = Literal[
    "queued",
    "sent",
    "unconfirmed",
    "accepted",
    "finished",
    "failed",
    "refused",
    "no_answer",
    "timed_out",
    "expired",
    "abandoned",
]
OPEN_STATES: frozenset[str] = frozenset({"queued", "sent", "unconfirmed", "accepted"})
_WAITS: frozenset[str] = frozenset({"sent", "unconfirmed"})
_MAY_BE_LATE: frozenset[str] = frozenset({"no_answer", "timed_out"})
_REFUSALS = frozenset({"validationerror", "ordererror", "orderupdateerror", "norouteerror", "noordertocancel"})


class JournalEntry(Struct, frozen=True, kw_only=True):
    """A command and how far it came. Times are ms. at: of the last change; sent_at: when the broker had it.

    order_id: the CCU's for a request of an order. remaining: orders that are not yet cancelled. gone: the stream
    whose connection ended under the command; back: it is online again. late: it was finished after its time.
    """

    command: FactoryCommand
    queued_at: int
    state: JournalState = "queued"
    at: int
    sent_at: int | None = None
    code: Code | None = None
    result: str | None = None
    order_id: str | None = None
    remaining: frozenset[str] = frozenset()
    gone: StateSource | None = None
    back: bool = False
    late: bool = False


def queue(command: FactoryCommand, at: int) -> JournalEntry:
    """The entry of a command that is about to be sent."""
    return JournalEntry(command=command, queued_at=at, at=at, remaining=frozenset(command.order_ids))


def sent(entry: JournalEntry, at: int) -> JournalEntry:
    """The broker has acknowledged the command."""
    if entry.state in {"queued", "unconfirmed"}:
        return _move(entry, "sent", at, sent_at=at)
    return msgspec.structs.replace(entry, sent_at=at) if entry.sent_at is None and is_open(entry) else entry


def lost(entry: JournalEntry, at: int) -> JournalEntry:
    """The connection ended before the broker acknowledged. It is not sent again; the factory may still answer."""
    return _move(entry, "unconfirmed", at, sent_at=at) if entry.state == "queued" else entry


def abandon(entry: JournalEntry, at: int) -> JournalEntry:
    """The environment was switched, the CCU was reset, or the sequence stopped before this step was sent."""
    return _move(entry, "abandoned", at) if is_open(entry) else entry


def is_open(entry: JournalEntry) -> bool:
    """Whether the end of the command is yet to come."""
    return entry.state in OPEN_STATES and not (entry.state == "sent" and ends_when_sent(entry.command))


def due_at(entry: JournalEntry) -> int | None:
    """When silence ends the command, in ms; None: it has ended."""
    if not is_open(entry):
        return None
    if entry.state == "queued":
        return entry.queued_at + SEND_WITHIN_MS
    within = accept_within_ms(entry.command) if entry.state in _WAITS else None
    began = entry.queued_at if entry.sent_at is None else entry.sent_at
    return began + (finish_within_ms(entry.command) if within is None else within)


def expire(entry: JournalEntry, now: int) -> JournalEntry:
    """End the command if its time is out: expired before it was sent, no_answer before it was accepted, timed_out."""
    due = due_at(entry)
    if due is None or now < due:
        return entry
    if entry.state == "queued":
        return _move(entry, "expired", due, Code.PUBLISH_FAILED)
    silent = entry.state in _WAITS and accept_within_ms(entry.command) is not None
    return _move(entry, "no_answer" if silent else "timed_out", due, Code.OPERATION_TIMEOUT)


def settle(entry: JournalEntry, message: FactoryMessage) -> JournalEntry:
    """The entry after a message of the factory, which came when the command was sent or later."""
    if not is_open(entry) and entry.state not in _MAY_BE_LATE:
        return entry
    match message:
        case MachineState(serial=serial) if serial == entry.command.serial:
            return _by_state(entry, message)
        case MachineConnection(serial=serial, retained=False) if serial == entry.command.serial:
            return _by_connection(entry, message)
        case CcuOrders():
            return _by_orders(entry, message)
        case CcuGlobal(type="reset", retained=False):
            return _by_reset(entry, message.ts)
        case Pairing():
            return _by_pairing(entry, message)
    return entry


def settle_all(entries: Iterable[JournalEntry], message: FactoryMessage) -> list[JournalEntry]:
    """Every entry after a message, the oldest first. An order answers one request.

    An old CCU does not say which request an order answers; it is the oldest that waits for one of that type.
    """
    ordered = sorted(entries, key=lambda entry: entry.queued_at)
    claimed = {entry.order_id for entry in ordered if entry.order_id is not None}
    found: list[JournalEntry] = []
    for entry in ordered:
        after = settle(entry, message)
        order_id = after.order_id
        taken = order_id != entry.order_id and order_id in claimed
        if order_id is not None:
            claimed.add(order_id)
        found.append(entry if taken else after)
    return found


def _move(
    entry: JournalEntry,
    state: JournalState,
    at: int,
    code: Code | None = None,
    result: str | None = None,
    sent_at: int | None = None,
) -> JournalEntry:
    sent_at = entry.sent_at if sent_at is None else sent_at
    result = result if result is not None else entry.result
    return msgspec.structs.replace(entry, state=state, at=at, code=code, result=result, sent_at=sent_at)


def _finish(entry: JournalEntry, at: int, result: str | None = None) -> JournalEntry:
    """The command is done; after its time was out that is only noted."""
    if entry.state in _MAY_BE_LATE:
        return entry if entry.late else msgspec.structs.replace(entry, late=True, result=result)
    return _move(entry, "finished", at, None, result)


def _fail(entry: JournalEntry, at: int, result: str | None = None) -> JournalEntry:
    return _move(entry, "failed", at, Code.PROCESSING_FAILED, result) if is_open(entry) else entry


def _accept(entry: JournalEntry, at: int) -> JournalEntry:
    return _move(entry, "accepted", at) if entry.state in {"queued", *_WAITS} else entry


def _by_state(entry: JournalEntry, message: MachineState) -> JournalEntry:
    command, at = entry.command, message.ts
    ids = {command.action_id, *command.action_ids}
    held = [one for one in (message.action, *message.actions) if one is not None and one.id in ids]
    if command.last_sequence_id is not None and message.order_id == command.order_id:
        return _by_route(entry, held, message)
    if held:
        return _by_actions(entry, held, message)
    if entry.state in {"queued", *_WAITS} and any(_refuses(one, command) for one in message.errors):
        return _move(entry, "refused", at, Code.PROCESSING_FAILED)
    if entry.back and entry.gone == message.source and not message.retained:
        return _fail(entry, at)
    return entry


def _by_actions(entry: JournalEntry, held: list[ActionState], message: MachineState) -> JournalEntry:
    command, at = entry.command, message.ts
    if any(one.state == "FAILED" for one in held):
        return _fail(entry, at, next((one.result for one in held if one.state == "FAILED"), None))
    ended = next((one for one in held if one.id == command.action_id and one.state == "FINISHED"), None)
    if ended is not None and (not command.path or message.node_id == command.path[-1]):
        return _finish(entry, at, ended.result)
    return _accept(entry, at)


def _by_route(entry: JournalEntry, held: list[ActionState], message: MachineState) -> JournalEntry:
    """A VDA 5050 vehicle has the order. It keeps the order's id when it is done, or has cancelled it: the nodes that
    are left decide which."""
    command, at = entry.command, message.ts
    if any(one.state == "FAILED" for one in held):
        return _fail(entry, at, next((one.result for one in held if one.state == "FAILED"), None))
    ended = next((one for one in held if one.id == command.action_id and one.state == "FINISHED"), None)
    is_there = message.node_id == command.path[-1] and message.node_sequence_id == command.last_sequence_id
    if message.nodes_left or message.driving:
        return _accept(entry, at)
    if is_there:
        is_done = command.action_id is None or ended is not None
        return _finish(entry, at, ended.result if ended is not None else None) if is_done else _accept(entry, at)
    return _fail(entry, at) if message.nodes_left == 0 else _accept(entry, at)


def _refuses(error: MachineError, command: FactoryCommand) -> bool:
    """Whether an error refuses the order: it names both its id and its update. A VDA 5050 vehicle may name the id
    alone, and refuses an instant action by its id."""
    kind = error.type.lower()
    about = error.references
    if kind not in _REFUSALS and not kind.startswith("validation"):
        return False
    if command.what == FactoryKind.AGV_INSTANT:
        return command.action_id is not None and about.get("actionId") == command.action_id
    names_update = command.last_sequence_id is None or "orderUpdateId" in about
    return (
        command.order_id is not None
        and about.get("orderId") == command.order_id
        and (not names_update or about.get("orderUpdateId") == str(command.order_update_id))
    )


def _by_connection(entry: JournalEntry, message: MachineConnection) -> JournalEntry:
    """A machine that went away and came back has forgotten its action, unless its next state has it."""
    if message.connection != "ONLINE":
        known = entry.gone == message.source and not entry.back
        return entry if known else msgspec.structs.replace(entry, gone=message.source, back=False)
    if entry.gone == message.source and not entry.back:
        return msgspec.structs.replace(entry, back=True)
    return entry


def _by_orders(entry: JournalEntry, message: CcuOrders) -> JournalEntry:
    for order in message.orders:
        if entry.command.what == FactoryKind.CCU_CANCEL:
            entry = _cancelled(entry, order, message.ts)
        elif _answers(entry, order, message):
            if entry.order_id is None:
                entry = msgspec.structs.replace(entry, order_id=order.order_id)
            entry = _by_order(entry, order, message)
    return entry


def _answers(entry: JournalEntry, order: CcuOrder, message: CcuOrders) -> bool:
    """Whether an order is the one that was requested. An old CCU echoes no request id."""
    command = entry.command
    if command.what not in {FactoryKind.CCU_REQUEST, FactoryKind.GATEWAY_REQUEST}:
        return False
    if entry.order_id is not None or (order.request_id is not None and command.request_id is not None):
        return order.order_id == entry.order_id or (entry.order_id is None and order.request_id == command.request_id)
    return (
        message.kind is FactoryKind.CCU_RESPONSE
        and not message.retained
        and order.type == command.type
        and order.order_type in {None, command.order_type}
        and message.ts - (entry.sent_at or entry.queued_at) <= REQUEST_ECHO_MS
    )


def _by_order(entry: JournalEntry, order: CcuOrder, message: CcuOrders) -> JournalEntry:
    match order.state:
        case "FINISHED" if message.kind is FactoryKind.CCU_COMPLETED:
            return _finish(entry, message.ts)
        case "ERROR" | "CANCELLED":
            return _fail(entry, message.ts, order.state)
        case _:
            return _accept(entry, message.ts)


def _cancelled(entry: JournalEntry, order: CcuOrder, at: int) -> JournalEntry:
    if order.order_id not in entry.remaining:
        return entry
    if order.state in {"FINISHED", "ERROR"}:
        return _fail(entry, at, order.state)
    if order.state != "CANCELLED":
        return entry
    entry = msgspec.structs.replace(entry, remaining=entry.remaining - {order.order_id})
    return entry if entry.remaining else _finish(entry, at)


def _by_reset(entry: JournalEntry, at: int) -> JournalEntry:
    """A reset ends the command that asked for it, and what else is open: the CCU has forgotten it."""
    if entry.command.what == FactoryKind.CCU_SET and entry.command.name == "reset":
        return _finish(entry, at)
    return abandon(entry, at)


def _by_pairing(entry: JournalEntry, message: Pairing) -> JournalEntry:
    command = entry.command
    machine = next((one for one in message.transports if one.serial == command.serial), None)
    if machine is None or message.retained:
        return entry
    if command.what == FactoryKind.CCU_PAIR and machine.paired_since is not None:
        return _finish(entry, message.ts)
    if command.what == FactoryKind.CCU_SET and command.name == "charge" and machine.charging is command.charge:
        return _finish(entry, message.ts)
    return entry
