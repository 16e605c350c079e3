"""Which topics of the factory the broker retains, as far as ingest can know; pure.

The broker sends every retained message again on each connection, so nothing has to be remembered beyond one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from kaiser_common.contract.schemas.api.messages import RetainedTopic
from kaiser_factory_dialect.catalogue import COMMAND_KINDS
from kaiser_factory_dialect.intake import MAX_TOPICS
from kaiser_factory_dialect.reading import Arrival
from kaiser_factory_dialect.topics import parse


class _Kept(NamedTuple):
    """A topic's retained message: when it was received (ms), its bytes, and what is known of it."""

    received_at: int
    size: int
    command: bool
    by_broker: bool


@dataclass(slots=True)
class RetainedMessages:
    """The retained messages of one connection, at most 5,000; an empty message takes a topic out.

    What comes live says nothing of its RETAIN flag: a topic is in where it came from the broker's store once, or where
    the factory is known to publish it retained.
    """

    interfaces: tuple[str, ...]
    _topics: dict[str, _Kept] = field(default_factory=dict)

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
        self._topics[arrival.topic] = _Kept(
            arrival.received_at,
            len(arrival.payload),
            place is not None and place.kind in COMMAND_KINDS,
            arrival.retained or (known is not None and known.by_broker),
        )

    def items(self) -> Iterable[RetainedTopic]:
        """The topics, commands first, then by name."""
        for topic, kept in sorted(self._topics.items(), key=lambda one: (not one[1].command, one[0])):
            yield RetainedTopic.model_construct(
                topic=topic,
                received_at=kept.received_at,
                size=kept.size,
                command=kept.command,
                known_by="broker" if kept.by_broker else "catalogue",
            )
