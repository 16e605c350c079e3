"""Reads messages and remembers earlier ones: ignores retained repetitions, and topics and serials over the limits."""

from dataclasses import dataclass, field

from kaiser_factory_dialect.catalogue import DEFAULT_INTERFACES
from kaiser_factory_dialect.reading import Arrival, FactoryAccepted, FactoryIgnored, Verdict, read

MAX_SERIALS = 1000
MAX_TOPICS = 5000


@dataclass(slots=True)
class Intake:
    """Memory of the messages of one environment since it was entered; a new epoch starts with an empty one.

    Memory is bounded by max_topics (two hashes each, however long topics are) and max_serials. It is not persisted:
    after a restart the broker's retained messages are accepted once more.
    """

    interfaces: tuple[str, ...] = DEFAULT_INTERFACES
    max_serials: int = MAX_SERIALS
    max_topics: int = MAX_TOPICS
    _last: dict[int, int] = field(default_factory=dict)
    _serials: set[str] = field(default_factory=set)

    def take(self, arrival: Arrival) -> Verdict:
        """The verdict on a message. FactoryIgnored `too_many`: one topic or serial more than the bounds allow."""
        topic, digest = hash(arrival.topic), hash(arrival.payload)
        if topic not in self._last and len(self._last) >= self.max_topics:
            return FactoryIgnored("too_many")
        same, self._last[topic] = self._last.get(topic) == digest, digest
        verdict = read(arrival, self.interfaces)
        if arrival.retained and same and not isinstance(verdict, FactoryIgnored):
            return FactoryIgnored("retained_same")
        return verdict if self._has_room(verdict) else FactoryIgnored("too_many")

    def forget(self) -> None:
        """Begin with an empty memory."""
        self._last.clear()
        self._serials.clear()

    def _has_room(self, verdict: Verdict) -> bool:
        if (
            not isinstance(verdict, FactoryAccepted)
            or (serial := verdict.message.serial) is None
            or serial in self._serials
        ):
            return True
        if len(self._serials) >= self.max_serials:
            return False
        self._serials.add(serial)
        return True
