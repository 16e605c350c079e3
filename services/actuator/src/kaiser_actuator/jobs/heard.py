"""Finds the time up to which device messages are processed, so that no command expires before its answer is read."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from kaiser_common.bus.consumer import ConsumerPosition

_NEVER = datetime.min.replace(tzinfo=UTC)


class HeardUpTo:
    """Follows the durable consumer, whichever replica reads it. Killed: a new one knows as soon as it has asked."""

    def __init__(self, position: Callable[[], Awaitable[ConsumerPosition | None]]) -> None:
        self._position = position
        self._up_to = _NEVER
        self._mark: tuple[datetime, int] | None = None

    async def up_to(self, now: datetime) -> datetime:
        """The time up to which every message in the stream is acknowledged, so committed. While messages wait, or NATS
        does not answer, it stands still."""
        position = await self._position()
        if position is None:
            return self._up_to
        if self._mark is None and position.pending == 0:
            self._mark = now, position.delivered
        if self._mark is not None and (position.unacknowledged == 0 or position.acknowledged >= self._mark[1]):
            self._up_to, self._mark = self._mark[0], None
        return self._up_to
