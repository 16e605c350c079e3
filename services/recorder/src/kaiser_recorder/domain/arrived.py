"""Messages of TOPICS in the form of a recording, and how many are missing between them; pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kaiser_factory_dialect.kept_messages import StoredMessage, head_of
from kaiser_factory_dialect.recordings import Recorded
from kaiser_factory_dialect.subjects import topic_of

from kaiser_recorder.domain.selection import Selection


@dataclass(frozen=True, slots=True)
class TakenBatch:
    """A batch: what belongs to the recording, the sequence that follows it, and how many sequences it left out."""

    messages: Sequence[Recorded]
    next_sequence: int
    missing: int


def take(batch: Iterable[StoredMessage], env: str, selection: Selection, next_sequence: int | None) -> TakenBatch:
    """Take a batch of all of TOPICS that follows `next_sequence` (None: it is the first).

    A sequence that is left out is a message, of whatever topic, that TOPICS has dropped.
    """
    found: list[Recorded] = []
    missing = 0
    for one in batch:
        if next_sequence is not None:
            missing += max(0, one.stream_sequence - next_sequence)
        next_sequence = one.stream_sequence + 1
        of_env, topic = topic_of(one.subject)
        if of_env == env and selection.has(topic):
            found.append(to_recorded(one, topic))
    return TakenBatch(found, next_sequence or 1, missing)


def to_recorded(stored: StoredMessage, topic: str) -> Recorded:
    """A message as it came; its time is when ingest received it."""
    head = head_of(stored)
    return Recorded(topic, stored.body, head.received_ns // 1000, head.qos, head.retained)
