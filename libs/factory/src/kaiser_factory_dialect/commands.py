"""A command that Kaiser sent, as the journal tracks it: what it is, and after how long its answer counts as late.

Source: docs/factory-dialect.md, "Journal".
"""

from msgspec import Struct

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.ccu_messages import CcuSetting, OrderCancel, OrderRequest, PairRequest
from kaiser_factory_dialect.messages import AgvOrder, FactoryMessage, InstantActions, ModuleOrder

SEND_WITHIN_MS = 10_000
"""A command that the broker has not acknowledged by then is given up: it is never sent late."""
REQUEST_ECHO_MS = 5_000
"""How long an order of an old CCU, which echoes no request id, may be the answer to a request of its type."""
_ACCEPT_MS = 5_000
_ACCEPT_AGV_MS = 10_000
_FINISH_MS = 60_000
_FINISH_HBW_MS = 180_000
_HOP_MS = 30_000
_FIND_DOCK_MS = 30_000
_ORDER_MS = 30 * 60_000
_CHARGE_ON_MS, _CHARGE_OFF_MS = 60_000, 10_000
_RESET_MS, _PAIR_MS, _CANCEL_MS = 5_000, 30_000, 15_000
_SENT_IS_THE_END = frozenset({"setStatusLED", "announceOutput"})
_WITH_DURATION = frozenset({"MILL", "DRILL"})


class FactoryCommand(Struct, frozen=True, kw_only=True):
    """One message to the factory. action_ids: every action of it; action_id: the one whose end is the command's.

    what: the kind of the message, `free` for one that is not followed. name: of a setting or an instant action.
    duration in s; path: nodes of an AGV's way; module_type: of the module that it goes to, where it is known.
    last_sequence_id: the place of the path's last node, in an order to a VDA 5050 vehicle.
    """

    what: str
    serial: str | None = None
    order_id: str | None = None
    order_update_id: int | None = None
    action_id: str | None = None
    action_ids: tuple[str, ...] = ()
    command: str | None = None
    name: str | None = None
    path: tuple[str, ...] = ()
    duration: float | None = None
    module_type: str | None = None
    type: str | None = None
    order_type: str | None = None
    request_id: str | None = None
    order_ids: tuple[str, ...] = ()
    charge: bool | None = None
    last_sequence_id: int | None = None


def command_of(message: FactoryMessage, module_type: str | None = None) -> FactoryCommand:
    """The command that a message to the factory is. One of another kind, or of several actions, is not followed."""
    what = message.kind.value
    match message:
        case ModuleOrder():
            duration = message.metadata.get("duration")
            return FactoryCommand(
                what=what,
                serial=message.serial,
                order_id=message.order_id,
                order_update_id=message.order_update_id,
                action_id=message.action_id,
                action_ids=(message.action_id,),
                command=message.command,
                duration=duration if isinstance(duration, int | float) else None,
                module_type=module_type,
            )
        case AgvOrder():
            return FactoryCommand(
                what=what,
                serial=message.serial,
                order_id=message.order_id,
                order_update_id=message.order_update_id,
                action_id=message.final_action_id,
                action_ids=tuple(node.action_id for node in message.nodes if node.action_id is not None),
                path=message.path,
                last_sequence_id=2 * (len(message.path) - 1) if message.source == "vda5050" else None,
            )
        case InstantActions(actions=(action,)):
            return FactoryCommand(
                what=what, serial=message.serial, action_id=action.id, action_ids=(action.id,), name=action.type
            )
        case OrderRequest():
            return FactoryCommand(
                what=what, type=message.type, order_type=message.order_type, request_id=message.request_id
            )
        case OrderCancel():
            return FactoryCommand(what=what, order_ids=message.order_ids)
        case CcuSetting():
            return FactoryCommand(what=what, serial=message.serial, name=message.name, charge=message.charge)
        case PairRequest():
            return FactoryCommand(what=what, serial=message.serial)
    return FactoryCommand(what="free")


def ends_when_sent(command: FactoryCommand) -> bool:
    """Whether nothing in the factory answers, so that "sent" is the end."""
    match FactoryKind(command.what) if command.what != "free" else None:
        case FactoryKind.MODULE_INSTANT | FactoryKind.AGV_INSTANT:
            return command.name in _SENT_IS_THE_END
        case FactoryKind.CCU_SET:
            return command.name not in {"reset", "charge"}
        case FactoryKind.MODULE_ORDER | FactoryKind.AGV_ORDER | FactoryKind.CCU_REQUEST | FactoryKind.GATEWAY_REQUEST:
            return False
        case FactoryKind.CCU_CANCEL | FactoryKind.CCU_PAIR:
            return False
    return True


def accept_within_ms(command: FactoryCommand) -> int | None:
    """When silence is no answer; None: such a command is not accepted, its end is its first answer."""
    if command.what in {FactoryKind.CCU_SET, FactoryKind.CCU_CANCEL, FactoryKind.CCU_PAIR}:
        return None
    return _ACCEPT_AGV_MS if command.what in {FactoryKind.AGV_ORDER, FactoryKind.AGV_INSTANT} else _ACCEPT_MS


def finish_within_ms(command: FactoryCommand) -> int:
    """When a command has taken too long, in ms since it was sent."""
    match FactoryKind(command.what) if command.what != "free" else None:
        case FactoryKind.AGV_ORDER:
            return _HOP_MS + _HOP_MS * max(len(command.path) - 1, 0)
        case FactoryKind.MODULE_ORDER if command.command in _WITH_DURATION:
            return int((command.duration or 0) * 1000) + _FINISH_MS
        case FactoryKind.MODULE_ORDER if command.module_type == "HBW":
            return _FINISH_HBW_MS
        case FactoryKind.AGV_INSTANT if command.name == "findInitialDockPosition":
            return _FIND_DOCK_MS
        case FactoryKind.CCU_REQUEST | FactoryKind.GATEWAY_REQUEST:
            return _ORDER_MS
        case FactoryKind.CCU_SET:
            return _RESET_MS if command.name == "reset" else _CHARGE_ON_MS if command.charge else _CHARGE_OFF_MS
        case FactoryKind.CCU_PAIR:
            return _PAIR_MS
        case FactoryKind.CCU_CANCEL:
            return _CANCEL_MS
    return _FINISH_MS
