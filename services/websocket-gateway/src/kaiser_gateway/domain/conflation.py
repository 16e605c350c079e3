"""The queue of one client: rate, conflation, priorities and a bound in bytes; pure."""

from collections import deque
from typing import Any, Protocol

from kaiser_gateway.domain.frames import PRIORITY
from kaiser_gateway.domain.limits import TokenBucket

_SHARE = 64
"""Bytes that an event costs a client beside its frame, which is shared."""
_NO_LIMIT = 1e9


class Offered(Protocol):
    """An event, or a message, with its frame. key: of what only the newest need wait, None: each is independent."""

    @property
    def type(self) -> str: ...
    @property
    def seq(self) -> int: ...
    @property
    def frame(self) -> bytes: ...
    def key(self) -> tuple[Any, ...] | None: ...


class Overfull(Exception):
    """More alerts wait than a client may hold: it must be closed, they must not be dropped."""


class Outlet:
    """Events for one client; `offer` adds one, `take` returns the next. Within the rate events are sent in order. Above
    it, only the newest event of each sensor (actuator, device) waits, and alerts and system events are sent first; when
    the bytes are used up, the oldest waiting event is dropped and counted as conflated.
    """

    def __init__(self, rate: float, max_bytes: int, now: float) -> None:
        self._bucket = TokenBucket.full(rate, now)
        self._max_bytes = max_bytes
        self._bytes = 0
        self._first: deque[Offered] = deque()
        self._ready: deque[Offered] = deque()
        self._waiting: dict[object, Offered] = {}
        self._conflated = 0

    def __len__(self) -> int:
        return len(self._first) + len(self._ready) + len(self._waiting)

    def may_pass(self, event: Offered, now: float) -> bool:
        """Whether an event may be sent now instead of being put in: nothing waits, and the rate allows it."""
        return not len(self) and (event.type in PRIORITY or not self._bucket.wait_s(now))

    def passed(self, event: Offered, now: float) -> None:
        """Count an event that was sent so."""
        if event.type not in PRIORITY:
            self._bucket.take(now)

    def offer(self, event: Offered, now: float) -> None:
        """Put an event in. Raises Overfull."""
        self._bytes += _cost(event)
        if event.type in PRIORITY:
            self._first.append(event)
        elif not self._waiting and self._bytes < self._max_bytes // 2 and self._bucket.take(now):
            self._ready.append(event)
        else:
            self._wait(event)
        if self._bytes > self._max_bytes:
            self._shed()

    def take(self, now: float) -> Offered | None:
        """The next event, None when nothing may go now."""
        if self._first:
            event = self._first.popleft()
        elif self._ready:
            event = self._ready.popleft()
        elif self._waiting and self._bucket.take(now):
            event = self._waiting.pop(next(iter(self._waiting)))
        else:
            return None
        self._bytes -= _cost(event)
        return event

    def wait_s(self, now: float) -> float | None:
        """Time until `take` may give something; None: only after an offer."""
        if self._first or self._ready:
            return 0.0
        return self._bucket.wait_s(now) if self._waiting else None

    def conflated(self) -> int:
        """The number of events that were replaced by newer ones, or dropped, since the last call."""
        count, self._conflated = self._conflated, 0
        return count

    def oldest(self) -> int | None:
        """The lowest seq that waits; None when nothing does."""
        return min(
            (event.seq for group in (self._first, self._ready, self._waiting.values()) for event in group), default=None
        )

    def clear(self) -> None:
        """Drop the waiting events: they will be replayed."""
        self._first.clear()
        self._ready.clear()
        self._waiting.clear()
        self._bytes = 0

    def lift_limit(self, now: float) -> None:
        """Let everything that waits go as fast as it is taken."""
        self._bucket = TokenBucket.full(_NO_LIMIT, now)

    def _wait(self, event: Offered) -> None:
        key = event.key() or event.seq
        older = self._waiting.get(key)
        if older is not None:
            # The newest keeps the place of the oldest, so that a busy sensor does not push itself back without end.
            self._bytes -= _cost(older)
            self._conflated += 1
        self._waiting[key] = event

    def _shed(self) -> None:
        while self._bytes > self._max_bytes and self._waiting:
            event = self._waiting.pop(next(iter(self._waiting)))
            self._bytes -= _cost(event)
            self._conflated += 1
        if self._bytes > self._max_bytes:
            raise Overfull(f"{len(self._first)} alerts and system events wait")


def _cost(event: Offered) -> int:
    return len(event.frame) + _SHARE
