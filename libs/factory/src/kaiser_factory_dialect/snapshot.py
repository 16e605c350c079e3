"""The snapshot that a replay sends first: the values that the broker would have held at a point of a recording."""

from collections.abc import Iterable

from kaiser_factory_dialect.catalogue import COMMAND_KINDS, DEFAULT_INTERFACES
from kaiser_factory_dialect.intake import Intake
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, FactoryIgnored, Verdict
from kaiser_factory_dialect.recordings import Recorded
from kaiser_factory_dialect.topics import parse


class HeldValues:
    """By topic the last message that was accepted or observed, of topics that the broker keeps.

    These are the topics that the factory publishes retained and those that came retained; an empty payload takes one
    away. A command is never among them.
    """

    def __init__(self, interfaces: tuple[str, ...] = DEFAULT_INTERFACES) -> None:
        self._interfaces = interfaces
        self._intake = Intake(interfaces)
        self._kept: set[str] = set()
        self._held: dict[str, Recorded] = {}

    def take(self, message: Recorded) -> None:
        """The next message of the recording."""
        topic = parse(message.topic, self._interfaces)
        if topic is None or topic.kind in COMMAND_KINDS:
            return
        if message.retained or topic.row.kept:
            self._kept.add(message.topic)
        verdict = self._intake.take(arrival_of(message))
        if isinstance(verdict, FactoryIgnored) and verdict.reason == "cleared":
            self._held.pop(message.topic, None)
        elif _is_value(verdict):
            self._held[message.topic] = message

    def values(self) -> dict[str, Recorded]:
        """The messages that the broker would retain now."""
        return {topic: message for topic, message in self._held.items() if topic in self._kept}


def snapshot_at(
    messages: Iterable[Recorded], at_us: int, interfaces: tuple[str, ...] = DEFAULT_INTERFACES
) -> dict[str, Recorded]:
    """The messages that the broker would have retained before at_us."""
    held = HeldValues(interfaces)
    for message in messages:
        if message.at_us >= at_us:
            break
        held.take(message)
    return held.values()


def arrival_of(message: Recorded, env: str = "live", epoch: int = 0) -> Arrival:
    """A recorded message as if it came now, by the recorder's clock."""
    return Arrival(message.topic, message.payload, message.at_ms, message.qos, message.retained, env, epoch)


def _is_value(verdict: Verdict) -> bool:
    return isinstance(verdict, FactoryAccepted) or (
        isinstance(verdict, FactoryIgnored) and verdict.reason == "observed"
    )
