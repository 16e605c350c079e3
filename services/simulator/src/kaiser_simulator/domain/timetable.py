"""The times at which mocks have something to do: one heap for all mocks; pure."""

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)

_SLACK = 1024


class Timetable(Generic[KeyT]):
    """One due time a key. A changed entry stays in the heap until it comes up or more than half of the heap is such."""

    def __init__(self) -> None:
        self._due: dict[KeyT, int] = {}
        self._heap: list[tuple[int, int, KeyT]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, key: KeyT) -> bool:
        return key in self._due

    def get(self, key: KeyT) -> int | None:
        """When a key is due, None where it is not listed."""
        return self._due.get(key)

    def set(self, key: KeyT, due: int) -> None:
        """List a key, or move it."""
        if self._due.get(key) == due:
            return
        self._due[key] = due
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, key))
        if len(self._heap) > 2 * len(self._due) + _SLACK:
            self._heap = [(at, number, each) for number, (each, at) in enumerate(self._due.items())]
            heapq.heapify(self._heap)
            self._count = len(self._heap)

    def remove(self, key: KeyT) -> None:
        """Take a key out; nothing happens when it is not listed."""
        self._due.pop(key, None)

    def next(self) -> int | None:
        """When the next key is due, None when nothing is listed."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: int) -> Iterator[tuple[KeyT, int]]:
        """Take out what is due by now, the earliest first; what is added during the iteration comes too if it is
        due."""
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                yield key, due
