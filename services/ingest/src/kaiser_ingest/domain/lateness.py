"""Finds messages for MQTT that are too late: expired, or behind a newer message of their topic that was sent; pure."""

from kaiser_common.contract.schemas.event import OutboxMessage

_TOPICS_REMEMBERED = 10_000


class NewestByTopic:
    """The newest message of each topic that went out, by its place in the stream; of the last 10,000 topics."""

    def __init__(self) -> None:
        self._sequences: dict[str, int] = {}

    def is_late(self, message: OutboxMessage, sequence: int) -> bool:
        """Note a message; True if it must not come after a newer one and would."""
        newest = self._sequences.pop(message.topic, 0)
        self._sequences[message.topic] = max(newest, sequence)
        if len(self._sequences) > _TOPICS_REMEMBERED:
            del self._sequences[next(iter(self._sequences))]
        return message.only_newest and sequence < newest


def is_expired(message: OutboxMessage, now_ms: int) -> bool:
    """True once the message has expired."""
    return message.expires_at is not None and message.expires_at <= now_ms


def expiry_of(message: OutboxMessage, now_ms: int) -> int | None:
    """Whole seconds that a broker may keep the message, at least one (MQTT 5 counts in seconds); None for no limit."""
    return None if message.expires_at is None else max(1, (message.expires_at - now_ms) // 1000)
