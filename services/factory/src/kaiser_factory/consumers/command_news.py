"""Publishes how the commands of the journal stand; what NATS did not take is published with the next call.

Killed: the process that takes the journal up publishes what changed a moment before, also what was published already.
"""

from collections.abc import Iterable

from kaiser_common.bus.connection import Bus

from kaiser_factory import publish
from kaiser_factory.store.commands import Command
from kaiser_factory.store.entries import entry_of

_KEPT = 500
"""Commands whose event NATS did not take, and those that were published; of more, the newest are kept."""


class CommandNews:
    """The states that are to be published. It outlives a journal: the next one, of another environment, publishes what
    the one before could not."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._untold: dict[str, Command] = {}
        self._told: dict[str, tuple[str, bool]] = {}
        """By command id, what was published last: the state, and whether it came late."""

    def owe(self, commands: Iterable[Command]) -> None:
        """Note how commands stand."""
        for command in commands:
            self._untold.pop(command.command_id, None)
            self._untold[command.command_id] = command
        _shorten(self._untold)

    def owe_if_untold(self, commands: Iterable[Command]) -> None:
        """Note how commands stand of which this process has published something else, or nothing."""
        self.owe(each for each in commands if self._told.get(each.command_id) != _said(each))

    def drop(self) -> None:
        """Publish no state of before: another process may have moved and published these commands since."""
        self._untold.clear()

    async def publish(self) -> None:
        """Publish what is noted. NATS away: with the next call again."""
        telling = list(self._untold.values())
        if await publish.events(self._bus, [("factory_command", each.command_id, entry_of(each)) for each in telling]):
            for command in telling:
                self._told.pop(command.command_id, None)
                self._told[command.command_id] = _said(command)
                if self._untold.get(command.command_id) is command:
                    del self._untold[command.command_id]
            _shorten(self._told)


def _said(command: Command) -> tuple[str, bool]:
    return command.state, command.entry is not None and command.entry.late


def _shorten(kept: dict[str, Command] | dict[str, tuple[str, bool]]) -> None:
    while len(kept) > _KEPT:
        del kept[next(iter(kept))]
