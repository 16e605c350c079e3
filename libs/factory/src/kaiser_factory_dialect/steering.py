"""Steering: turns a request into the messages to send, or into a refusal; nothing is sent here.

Source: docs/factory-dialect.md, "Steering".
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from kaiser_common.contract.errors import Code, Rejected

from kaiser_factory_dialect import steer_agv, steer_ccu, steer_machines
from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.commands import FactoryCommand, command_of
from kaiser_factory_dialect.fields import MAX_SAFE, Fields
from kaiser_factory_dialect.lanes import FactoryOutgoing, Gate, breach
from kaiser_factory_dialect.messages import AgvOrder, FactoryMessage, InstantActions
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, read
from kaiser_factory_dialect.steer_checks import (
    PER_MINUTE,
    Check,
    Checks,
    Circumstances,
    Refusal,
    read_request,
    refuse_request,
)
from kaiser_factory_dialect.steer_targets import Draft
from kaiser_factory_dialect.topics import parse
from kaiser_factory_dialect.view import type_of
from kaiser_factory_dialect.world import Factory


@dataclass(frozen=True, slots=True)
class PlannedMessage:
    """One message to the factory, never retained. after: the action whose FINISHED it waits for.

    free: a topic outside the catalogue, which an admin wanted. header_id: of a message to a VDA 5050 vehicle.
    """

    topic: str
    payload: bytes
    command: FactoryCommand
    after: str | None = None
    free: bool = False
    header_id: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The messages of a request. There are none if it is refused; checks ends with the one that failed."""

    messages: tuple[PlannedMessage, ...]
    checks: tuple[Check, ...]
    refusal: Refusal | None = None


_BUILDERS: Mapping[str, Callable[[Fields, Factory, Circumstances, Checks], list[Draft]]] = {
    "navigate": steer_agv.navigate,
    "sequence": steer_machines.sequence,
    "command": steer_machines.command,
    "instant": steer_machines.instant,
    "order": steer_ccu.order,
    "cancel": steer_ccu.cancel,
    "reset": steer_ccu.reset,
    "park": steer_ccu.park,
    "charge": steer_ccu.charge,
    "pair": steer_ccu.pair,
    "camera": steer_ccu.camera,
    "sensor_period": steer_ccu.sensor_period,
}

CLEAR = "clear"
"""The request whose message is empty and retained; no other is ever retained."""
REQUESTS = frozenset({*_BUILDERS, CLEAR})
"""Every `do` of a request."""
_ORDERS = frozenset({FactoryKind.MODULE_ORDER.value, FactoryKind.AGV_ORDER.value})


class _Asked(Mapping[str, Any]):
    """A request that knows which of its fields were looked at: a misspelt one must not be ignored."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._request = request
        self._names: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self._names.add(name)
        return self._request[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._request)

    def __len__(self) -> int:
        return len(self._request)

    def refuse_the_rest(self) -> None:
        """Refusal (422) if there is a field that nothing asked for."""
        rest = sorted(self._request.keys() - self._names)
        if rest:
            refuse_request(Code.FIELD_TYPE_MISMATCH, f"unknown field {rest[0]} in this request", rest[0])


def plan(request: Mapping[str, Any], factory: Factory, at: Circumstances) -> Plan:
    """The messages of a request: `do` names what is to be done, the other keys say with what.

    The checks are made in this order, and the first that fails refuses: environment, role, request, serial, ONLINE,
    command, order, state, update id, rate.
    """
    checks = Checks()
    try:
        _need_open(at, checks)
        asked = _Asked(request)
        drafts, free = read_request(lambda: _drafts(asked, factory, at, checks))
        asked.refuse_the_rest()
        messages = tuple(_message(factory, at, draft, free) for draft in drafts)
        _need_answered(messages, at, checks)
        text = f"at most {PER_MINUTE} commands a minute"
        within = at.last_minute + len(messages) <= PER_MINUTE
        checks.need(within, text, 429, Code.RATE_LIMIT_EXCEEDED, f"{text}: try again later")
    except Refusal as refusal:
        failed = Check(False, refusal.text, refusal.code, refusal.status)
        return Plan((), (*checks.passed, failed), refusal)
    return Plan(messages, tuple(checks.passed))


def _need_answered(messages: Iterable[PlannedMessage], at: Circumstances, checks: Checks) -> None:
    """A machine shows an order up to 5 s after it was sent; until then a second one, of a double click, must not go."""
    for serial in sorted({one.command.serial or "" for one in messages if one.command.what in _ORDERS}):
        text = f"{serial} has not answered the order that it was sent a moment ago"
        checks.need(serial not in at.unanswered, f"{serial} has no order to answer", 409, Code.DEPENDENCY_MISSING, text)


def _need_open(at: Circumstances, checks: Checks) -> None:
    closed = at.env_kind == "replay" and not at.armed
    text = f"an environment of kind {at.env_kind}"
    checks.need(not closed, text, 409, Code.PERMISSION_DENIED, "a replay must be armed before it can be steered")
    steers = at.role in {"operator", "admin"}
    checks.need(steers, f"role {at.role}", 403, Code.PERMISSION_DENIED, f"the role {at.role} may not steer")


def _drafts(
    request: Mapping[str, Any], factory: Factory, at: Circumstances, checks: Checks
) -> tuple[list[Draft], bool]:
    fields = Fields(request, [])
    do = fields.needed_text("do")
    if "retain" in request:
        refuse_request(Code.FIELD_TYPE_MISMATCH, "commands are never retained: leave out the field retain", "retain")
    if do == "publish":
        return _publish(fields, at, checks)
    if do == CLEAR:
        return _clear(fields, at, checks), False
    builder = _BUILDERS.get(do)
    if builder is None:
        refuse_request(Code.FIELD_TYPE_MISMATCH, f"do must be one of {', '.join(_BUILDERS)}, publish, clear", "do")
    return builder(fields, factory, at, checks), False


def _publish(fields: Fields, at: Circumstances, checks: Checks) -> tuple[list[Draft], bool]:
    """A message as the request has it. An admin may send it to topics that the factory does not listen to (`free`)."""
    topic = fields.needed_text("topic", limit=1024)
    if fields.integer("qos") not in {None, 0, 1}:
        raise Rejected(Code.VALUE_OUT_OF_RANGE, "qos is 0 or 1: a command goes out once or never", "qos")
    free = bool(fields.boolean("free")) and at.role == "admin"
    outgoing = FactoryOutgoing("command", topic, "", 0, at.now, free=free)
    why = breach(outgoing, Gate(at.env_kind, "", 0, at.armed), at.now, at.interfaces)
    checks.need(why is None, f"topic {topic}", 409, Code.PERMISSION_DENIED, why or "")
    return [(topic, _payload(fields), None)], free and parse(topic, at.interfaces) is None


def _clear(fields: Fields, at: Circumstances, checks: Checks) -> list[Draft]:
    """An empty retained message, with which the broker deletes what it retains of a topic."""
    topic = fields.needed_text("topic", limit=1024)
    outgoing = FactoryOutgoing("command", topic, "", 0, at.now, retain=True, clears=True)
    why = breach(outgoing, Gate(at.env_kind, "", 0, at.armed), at.now)
    checks.need(why is None, f"topic {topic}", 409, Code.PERMISSION_DENIED, why or "")
    return [(topic, b"", None)]


def _payload(fields: Fields) -> Any:
    """The payload of a message: JSON, or bytes in base64."""
    encoded = fields.text("payload_base64", limit=2**21)
    if encoded is None:
        if "payload" not in fields.values:
            raise fields.missing("payload")
        return fields.values["payload"]
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise fields.wrong_type("payload_base64", "base64") from error


def _message(factory: Factory, at: Circumstances, draft: Draft, free: bool) -> PlannedMessage:
    """The message of a draft, read as ingest would read it. Refusal (422): ingest would reject it."""
    topic, value, after = draft
    payload = value if isinstance(value, bytes) else msgspec.json.encode(value)
    match read(Arrival(topic, payload, at.now), at.interfaces):
        case Rejected() as rejected:
            raise Refusal(422, rejected.code, rejected.detail, rejected.field or "payload")
        case FactoryAccepted(message):
            machine = factory.machines.get(message.serial or "")
            module_type = type_of(factory, machine) if machine is not None else None
            command = command_of(message, module_type)
            return PlannedMessage(topic, payload, command, after, free, _header_id(message, value))
    return PlannedMessage(topic, payload, FactoryCommand(what="free"), after, free)


def _header_id(message: FactoryMessage, value: Any) -> int | None:
    """The number of a message to a VDA 5050 vehicle; None where it has none, or is for another."""
    if not isinstance(message, AgvOrder | InstantActions) or message.source != "vda5050":
        return None
    found = value.get("headerId") if isinstance(value, dict) else None
    return found if isinstance(found, int) and 0 <= found < MAX_SAFE else None
