"""The batches that are stored in part and not acknowledged yet, in the order of receipt."""

from collections import deque
from collections.abc import Iterator

from kaiser_ingest.consumers.sorting import Batch
from kaiser_ingest.domain.incoming import Incoming


class HeldBatches:
    """A queue of batches that knows how many messages they have. In memory alone: what a killed process held was not
    acknowledged, so the broker delivers it again."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self.messages_held = 0

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)

    @property
    def packs(self) -> int:
        """Packs of readings, which are stored."""
        return sum(batch.packs for batch in self._batches)

    def add(self, batch: Batch) -> None:
        """Put a batch behind the others."""
        self._batches.append(batch)
        self.messages_held += len(batch.messages)

    def pop(self) -> Batch:
        """Take the first batch out."""
        batch = self._batches.popleft()
        self.messages_held -= len(batch.messages)
        return batch

    def messages(self) -> Iterator[Incoming]:
        """The messages of the batches, in the order of receipt."""
        return (message for batch in self._batches for message in batch.messages)
