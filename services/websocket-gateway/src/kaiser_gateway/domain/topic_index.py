"""The last message of each topic of one environment, and how many of each are kept; pure.

The messages themselves are in TOPICS: this is what a viewer gets first, without a question to NATS.
"""

from collections.abc import Iterator, Mapping

from kaiser_common.contract.schemas.factory import FactoryEnvironment

from kaiser_gateway.domain.kept import TopicMessage

MOST_TOPICS = 10_000
"""So many are followed; ingest keeps 5,000 of the factory and 5,000 of devices."""


class TopicIndex:
    """Fed with the last message of each topic, then with every message, in order."""

    def __init__(self, environment: FactoryEnvironment, per_topic: int, most_topics: int = MOST_TOPICS) -> None:
        self.environment = environment
        self.per_topic = per_topic
        self.complete = True
        self.last_seq = 0
        self._most = most_topics
        self._last: dict[str, TopicMessage] = {}
        self._held: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._last)

    def __iter__(self) -> Iterator[TopicMessage]:
        return iter(list(self._last.values()))

    def take(self, message: TopicMessage) -> None:
        """Note a message. One of a topic too many is not followed."""
        self.last_seq = max(self.last_seq, message.seq)
        if message.topic not in self._last and len(self._last) >= self._most:
            self.complete = False
            return
        self._last[message.topic] = message.shown()
        self._held[message.topic] = min(self.per_topic, self._held.get(message.topic, 0) + 1)

    def held(self, topic: str) -> int:
        """How many messages of a topic are kept."""
        return self._held.get(topic, 0)

    def count(self, held: Mapping[str, int], until_seq: int) -> None:
        """Correct the counts by those of the stream as it was at a sequence; topics that it no longer has are
        forgotten."""
        for topic, last in list(self._last.items()):
            if topic in held:
                self._held[topic] = min(self.per_topic, held[topic])
            elif last.seq <= until_seq:
                del self._last[topic]
                self._held.pop(topic, None)
