"""The share of rejected messages among those of the last five minutes; pure."""

from collections import deque
from typing import NamedTuple

WINDOW_S = 300.0
_MOST_LOOKS = 100
_FEW = 200


class RejectionShare(NamedTuple):
    """How many of how many messages were rejected. share: from 0 to 1, of 200 messages at least, so that a few
    rejections on a quiet line are no share."""

    rejected: int
    messages: int

    @property
    def share(self) -> float:
        return self.rejected / max(self.messages, _FEW)


class RejectionWindow:
    """Remembers counts that only grow, as they were at looks; at most 100 looks."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int, int]] = deque(maxlen=_MOST_LOOKS)

    def look(self, now_s: float, rejected: int, messages: int) -> RejectionShare:
        """The share since the oldest look of the last five minutes; counts are of the process so far."""
        while self._looks and self._looks[0][0] < now_s - WINDOW_S:
            self._looks.popleft()
        self._looks.append((now_s, rejected, messages))
        _, rejected_before, messages_before = self._looks[0]
        return RejectionShare(rejected - rejected_before, messages - messages_before)
