"""Finds messages for MQTT that are too late: expired, or behind a newer message of their topic that was sent; pure."""

from kaiser_common.contract.schemas.event import OutboxMessage

_TOPICS_REMEMBERED = 10_000
_BROKERS_SECOND_MS = 1_000
"""A broker counts whole seconds, from 1: Mosquitto 2.0.11 keeps a message for up to a second longer than its expiry."""


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


def is_expired(message: OutboxMessage, now_ms: int, *, moves: bool = False) -> bool:
    """True once the message has expired. moves: it would start an actuator, so a broker must not keep it for longer
    than it is valid: it counts as expired once less than a second is left."""
    if message.expires_at is None:
        return False
    left_ms = message.expires_at - now_ms
    return left_ms < _BROKERS_SECOND_MS if moves else left_ms <= 0


def expiry_of(message: OutboxMessage, now_ms: int) -> int | None:
    """The Message Expiry Interval in s, None for no limit. It is a second shorter than the time left, because a broker
    may keep a message for a second longer; at least 1, so with less than 2 s left that second may be too long."""
    if message.expires_at is None:
        return None
    return max(1, (message.expires_at - now_ms - _BROKERS_SECOND_MS) // 1000)
