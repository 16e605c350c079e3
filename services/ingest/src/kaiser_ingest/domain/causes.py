"""Counts rejected messages by their cause; pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

from kaiser_common.contract.schemas.api.rejected import CauseItem
from kaiser_common.contract.schemas.event import RejectedMessage

_MOST_CHARACTERS = 500
"""Of the text of a cause's newest message."""


@dataclass(slots=True)
class _Count:
    code: int
    field: str
    esp_id: str | None
    serial: str | None
    topic: str | None
    count: int
    message: str
    newest_seq: int
    newest_at: int
    oldest_at: int


class CauseCounts:
    """The causes of the messages that were added, each with its number and its newest message."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, str, str | None, str | None, str | None], _Count] = {}
        self.looked_at = 0

    def add(self, seq: int, message: RejectedMessage) -> None:
        """Count a message. They may come in any order."""
        self.looked_at += 1
        esp_id, serial = message.esp_id, message.serial
        topic = None if esp_id or serial else message.topic
        key = (message.code, message.field or "", esp_id, serial, topic)
        found = self._counts.get(key)
        if found is None:
            at = message.received_at
            self._counts[key] = _Count(*key, 1, message.message[:_MOST_CHARACTERS], seq, at, at)
            return
        found.count += 1
        found.oldest_at = min(found.oldest_at, message.received_at)
        if seq > found.newest_seq:
            found.message, found.newest_seq, found.newest_at = (
                message.message[:_MOST_CHARACTERS],
                seq,
                message.received_at,
            )

    def most_frequent(self, limit: int) -> tuple[list[CauseItem], int]:
        """The causes with the most messages, of equal ones the newest first, and how many are left out."""
        ordered: Iterable[_Count] = sorted(self._counts.values(), key=attrgetter("count", "newest_seq"), reverse=True)
        items = [CauseItem.model_validate(each, from_attributes=True) for each in list(ordered)[:limit]]
        return items, len(self._counts) - len(items)
