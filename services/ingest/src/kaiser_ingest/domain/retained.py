"""Which topics of the factory the broker retains, as far as ingest can know; pure.

The broker sends every retained message again on each connection, so nothing has to be remembered beyond one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from kaiser_common.contract.schemas.api.messages import RetainedTopic
from kaiser_factory_dialect.catalogue import COMMAND_KINDS
from kaiser_factory_dialect.intake import MAX_TOPICS
from kaiser_factory_dialect.reading import Arrival
from kaiser_factory_dialect.topics import parse


@dataclass(slots=True)
class RetainedMessages:
    """The retained messages of one connection, at most 5,000; an empty message takes a topic out.

    What comes live says nothing of its RETAIN flag: a topic is in where it came from the broker's store once, or where
    the factory is known to publish it retained.
    """

    interfaces: tuple[str, ...]
    _topics: dict[str, RetainedTopic] = field(default_factory=dict)

    def note(self, arrival: Arrival) -> None:
        """Take note of a message."""
        known = self._topics.get(arrival.topic)
        if not arrival.payload:
            self._topics.pop(arrival.topic, None)
            return
        place = parse(arrival.topic, self.interfaces)
        of_catalogue = place is not None and place.row.kept
        if not (arrival.retained or of_catalogue or known is not None):
            return
        if known is None and len(self._topics) >= MAX_TOPICS:
            return
        by_broker = arrival.retained or (known is not None and known.known_by == "broker")
        self._topics[arrival.topic] = RetainedTopic.model_construct(
            topic=arrival.topic,
            received_at=arrival.received_at,
            size=len(arrival.payload),
            command=place is not None and place.kind in COMMAND_KINDS,
            known_by="broker" if by_broker else "catalogue",
        )

    def items(self) -> Iterable[RetainedTopic]:
        """The topics, commands first, then by name."""
        return sorted(self._topics.values(), key=lambda one: (not one.command, one.topic))
