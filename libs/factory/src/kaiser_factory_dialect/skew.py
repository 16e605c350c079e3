"""How far each clock of the factory differs from Kaiser's.

The clocks are steady to 0.1 s but wrong by seconds or days. Of the last 50 messages of a clock, the smallest difference
between the time of receipt and the sender's time is used: that message was delayed least on the way. Source:
docs/factory-dialect.md, "Clocks".
"""

from collections import deque
from dataclasses import dataclass, field

from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.messages import FactoryMessage, MachineState, QualityCheck, TxtSensor

MESSAGES = 50
_OF_CCU = frozenset({FactoryKind.CCU_PAIRING, FactoryKind.CCU_STOCK, FactoryKind.CCU_GLOBAL, FactoryKind.CCU_LAYOUT})


def clock_of(message: FactoryMessage) -> str | None:
    """The clock by which a message is stamped: a serial, `NodeRed/<serial>`, `txt/<n>` or `ccu`.

    None: the message has the time of something else (orders, requests), or an old one (connections and factsheets,
    which are sent again as they were).
    """
    match message:
        case MachineState(source="nodered", serial=serial):
            return f"NodeRed/{serial}"
        case MachineState(serial=serial):
            return serial
        case TxtSensor(serial=serial) | QualityCheck(serial=serial):
            return f"txt/{serial}"
        case FactoryMessage(kind=kind) if kind in _OF_CCU:
            return "ccu"
    return None


@dataclass(slots=True)
class Clocks:
    """The last differences of each clock, in ms; MESSAGES of each. Bounded by the number of serials."""

    _differences: dict[str, deque[int]] = field(default_factory=dict)

    def hear(self, message: FactoryMessage) -> None:
        """Take the time of a message that is not retained."""
        if message.retained or message.device_ts is None or (clock := clock_of(message)) is None:
            return
        if (differences := self._differences.get(clock)) is None:
            differences = self._differences[clock] = deque(maxlen=MESSAGES)
        differences.append(message.ts - message.device_ts)

    def skew_ms(self, clock: str) -> int | None:
        """The difference to add to a clock's time to get Kaiser's; None before the first message."""
        found = self._differences.get(clock)
        return min(found) if found else None

    def corrected(self, clock: str, at: int | None) -> int | None:
        """A time of a clock as Kaiser's; None where either is not known."""
        skew = self.skew_ms(clock)
        return None if at is None or skew is None else at + skew
