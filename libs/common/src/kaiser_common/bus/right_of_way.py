"""Right of way in one event loop: while urgent work runs, other work pauses, for at most 0.2 s at a time.

An event loop runs steps in turn: with a thousand requests open, an emergency stop would wait for one step of each of
them before every step of its own. Work that gives way checks before each step whether it may go on; a check that says
no costs microseconds, and the step is taken later.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")

HOLDS_S = 0.2
"""So long urgent work holds up the other work at most, and then not for as long again: a flood of stops leaves the
others half of the time."""


class RightOfWay:
    """Build it in the running event loop that shares it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._urgent = 0
        self._open = asyncio.Event()
        self._open.set()
        self._closed_at = 0.0
        self._may_close_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Urgent work while the block runs: other work waits, for at most 0.2 s."""
        self._urgent += 1
        if self._open.is_set() and self._clock() >= self._may_close_at:
            self._closed_at = self._clock()
            self._open.clear()
            self._timer = asyncio.get_running_loop().call_later(HOLDS_S, self._let_go)
        try:
            yield
        finally:
            self._urgent -= 1
            if self._urgent == 0:
                self._let_go()

    def giving_way(self, work: Coroutine[Any, Any, ResultT]) -> Awaitable[ResultT]:
        """The same work, in the same task, that waits before a step while urgent work is under way. A cancellation or
        an error goes on at once."""
        return _GivingWay(self, work)

    @property
    def is_open(self) -> bool:
        """Whether other work may take a step."""
        return self._open.is_set()

    async def until_open(self) -> None:
        """Wait while urgent work is under way."""
        await self._open.wait()  # set by `_let_go` within 0.2 s

    async def let_others(self) -> None:
        """Give other tasks a turn between two parts of work that never waits, then wait as `until_open` does."""
        await asyncio.sleep(0)
        await self.until_open()

    def _let_go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._open.is_set():
            now = self._clock()
            self._may_close_at = now + (now - self._closed_at)
            self._open.set()


class _GivingWay(Awaitable[ResultT]):
    """Steps a coroutine as its task does, with a look at the way before each step."""

    def __init__(self, way: RightOfWay, work: Coroutine[Any, Any, ResultT]) -> None:
        self._way = way
        self._work = work

    def __await__(self) -> Generator[Any, Any, ResultT]:
        error: BaseException | None = None
        while True:
            while error is None and not self._way.is_open:
                try:
                    yield from self._way.until_open().__await__()
                except BaseException as raised:  # noqa: BLE001 - a cancellation is the work's
                    error = raised
            try:
                waited = self._work.send(None) if error is None else self._work.throw(error)
            except StopIteration as end:
                result: ResultT = end.value
                return result
            error = None
            try:
                yield waited
            except BaseException as raised:  # noqa: BLE001 - whatever the task throws into it is the work's
                error = raised
