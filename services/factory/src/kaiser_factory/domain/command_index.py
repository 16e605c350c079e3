"""Finds the commands that a message of the factory may move, without a look at all of them; pure."""

from collections.abc import Iterable

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.ccu_messages import CcuGlobal, CcuOrders, Pairing
from kaiser_factory_dialect.commands import FactoryCommand
from kaiser_factory_dialect.messages import FactoryMessage, MachineConnection, MachineState

_BY_ORDERS = (FactoryKind.CCU_REQUEST, FactoryKind.GATEWAY_REQUEST, FactoryKind.CCU_CANCEL)
_BY_PAIRING = (FactoryKind.CCU_PAIR, FactoryKind.CCU_SET)


class CommandIndex:
    """Command ids by serial and by kind, in the order in which they were added."""

    def __init__(self) -> None:
        self._commands: dict[str, FactoryCommand] = {}
        self._of: dict[str, dict[str, None]] = {}

    def add(self, command_id: str, command: FactoryCommand) -> None:
        """Find this command from now on; once more changes nothing."""
        self._commands[command_id] = command
        for key in _keys(command):
            self._of.setdefault(key, {})[command_id] = None

    def remove(self, command_id: str) -> None:
        """Find this command no longer; one that is not known is none."""
        command = self._commands.pop(command_id, None)
        if command is None:
            return
        for key in _keys(command):
            found = self._of[key]
            del found[command_id]
            if not found:
                del self._of[key]

    def about(self, message: FactoryMessage) -> Iterable[str]:
        """The ids of every command that `journal.settle` may move by this message."""
        match message:
            case MachineState(serial=str(serial)) | MachineConnection(serial=str(serial)):
                return tuple(self._of.get(_serial_key(serial), ()))
            case CcuOrders():
                return self._of_kinds(_BY_ORDERS)
            case Pairing():
                return self._of_kinds(_BY_PAIRING)
            case CcuGlobal():
                return tuple(self._commands)
        return ()

    def _of_kinds(self, kinds: Iterable[FactoryKind]) -> tuple[str, ...]:
        return tuple(each for kind in kinds for each in self._of.get(kind.value, ()))


def _keys(command: FactoryCommand) -> tuple[str, ...]:
    return (command.what,) if command.serial is None else (command.what, _serial_key(command.serial))


def _serial_key(serial: str) -> str:
    return f"serial {serial}"
