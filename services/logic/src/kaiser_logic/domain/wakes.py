"""When each rule must be evaluated even if no reading arrives; pure."""

import heapq


class Wakes:
    """One time (ms) a rule; a new one replaces the old."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def set(self, rule_id: str, at_ms: int | None) -> None:
        """Wake a rule at a time, or (None) not at all."""
        if at_ms is None:
            self._at.pop(rule_id, None)
        elif self._at.get(rule_id) != at_ms:
            self._at[rule_id] = at_ms
            heapq.heappush(self._heap, (at_ms, rule_id))

    @property
    def next(self) -> int | None:
        """The earliest time."""
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # replaced since
        return self._heap[0][0] if self._heap else None

    def due(self, now_ms: int, at_most: int) -> list[str]:
        """Take the rules whose time has come, the earliest first, at most `at_most`."""
        found: list[str] = []
        while len(found) < at_most and (at_ms := self.next) is not None and at_ms <= now_ms:
            _, rule_id = heapq.heappop(self._heap)
            del self._at[rule_id]
            found.append(rule_id)
        return found
