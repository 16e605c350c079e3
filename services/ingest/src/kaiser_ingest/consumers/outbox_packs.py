"""Takes packs of the OUTBOX apart, and knows when every line of one is settled."""

from collections.abc import Iterable

from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.subjects import is_packed

_REMEMBERED = 1000
"""Packs with open lines; a consumer holds fewer messages."""


class OutboxPacks:
    """The open lines of packs. A line is settled once the broker has it, or once it was left out or rejected; a pack
    is acknowledged once no line of it is open.

    If a pack goes back and comes again, it brings only its open lines. Killed: the next process gets all lines again,
    as it would single messages that were not acknowledged.
    """

    def __init__(self) -> None:
        self._open: dict[str, set[int]] = {}

    def lines(self, delivery: Delivery) -> list[Delivery]:
        """The open lines of a pack, or of some lines of it; any other message as it is. NotAPack as `pack.split`."""
        if not is_packed(delivery.subject):
            return [delivery]
        bodies, first = delivery.lines(), delivery.first_line or 0
        open_lines = self._open.get(delivery.message)
        if open_lines is None:
            open_lines = set(range(first, first + len(bodies)))
            if delivery.first_line is None:
                self._open[delivery.message] = open_lines
                if len(self._open) > _REMEMBERED:
                    del self._open[next(iter(self._open))]
        return [delivery.line(number, body) for number, body in enumerate(bodies) if first + number in open_lines]

    def settled(self, lines: Iterable[Delivery]) -> list[Delivery]:
        """Note lines and single messages as settled; those that may be acknowledged: a line stands for its pack."""
        whole: list[Delivery] = []
        reply, open_lines = "", None
        for line in lines:
            if line.first_line is None:
                whole.append(line)
                continue
            if line.reply != reply:
                reply, open_lines = line.reply, self._open.get(line.message)
            if open_lines is None:
                continue
            open_lines.discard(line.first_line)
            if not open_lines:
                del self._open[line.message]
                whole.append(line)
                open_lines = None
        return whole
