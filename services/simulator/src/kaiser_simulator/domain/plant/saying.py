"""Collects the messages that the mock factory publishes, and draws their random values.

Random values are ids, numbers from 0 to 1, and durations with their spread. Every one follows from the seed and a
counter, which are both stored, so a factory that was killed draws the same values again.
"""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kaiser_simulator.domain.plant.state import Plant, Timer

_SPREAD = 0.1


class Said(NamedTuple):
    """A message to publish."""

    topic: str
    payload: str
    retain: bool


class End(NamedTuple):
    """The end of an action of a machine."""

    serial: str
    action_id: str
    state: str
    result: str | None = None


@dataclass(slots=True)
class Turn:
    """One moment of the factory: its state, the time, and what it says. changed: the state is worth storing.

    ends: actions that ended and of which the CCU hears.
    """

    plant: Plant
    now: int
    said: list[Said] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    changed: bool = False

    def say(self, topic: str, payload: Any, *, retain: bool = False) -> None:
        """Publish a message."""
        self.said.append(Said(topic, json.dumps(payload, separators=(",", ":")), retain))

    def say_as(self, serial: str, topic: str, payload: Any) -> None:
        """Publish what a machine says, retained; nothing where it is offline or silent, twice by the fault."""
        faults = self.plant.faults
        if not self.is_heard(serial):
            return
        self.say(topic, payload, retain=True)
        if faults.duplicate and self.share() < faults.duplicate:
            self.say(topic, payload, retain=True)

    def is_heard(self, serial: str) -> bool:
        """Whether what a machine says reaches the broker."""
        return serial not in self.plant.faults.offline and serial not in self.plant.faults.silent

    def end(self, end: End) -> None:
        """An action ended. If the machine cannot publish, the CCU gets the end later."""
        if self.is_heard(end.serial):
            self.ends.append(end)
        elif end.serial not in self.plant.untold:
            self.plant.untold.append(end.serial)
        self.changed = True

    def later(self, seconds: float, do: str, of: str = "", arg: str = "") -> None:
        """Do something after this many seconds of the factory's time."""
        self.plant.timers.append(Timer(self.now + round(seconds * 1000 / self.plant.setup.speed), do, of, arg))
        self.changed = True

    def spread(self, seconds: float) -> float:
        """A duration of the real factory, ± 10 %, longer by the fault `slow`."""
        return seconds * self.plant.faults.slow * (1 - _SPREAD + 2 * _SPREAD * self.share())

    def share(self) -> float:
        """A number from 0 to 1."""
        return int.from_bytes(self._draw()[:4], "big") / 2**32

    def uuid(self) -> str:
        """A fresh id in the form of a UUID."""
        digits = self._draw().hex()
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}"

    def tag(self) -> str:
        """A fresh id of a workpiece: 14 hexadecimal digits."""
        return f"04{self._draw().hex()[:12]}"

    def _draw(self) -> bytes:
        self.plant.drawn += 1
        return hashlib.sha256(f"{self.plant.setup.seed}.{self.plant.drawn}".encode()).digest()
