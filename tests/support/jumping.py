"""A loop for tests of what waits: no wait takes time."""

import asyncio
import selectors


class _Jumping(selectors.DefaultSelector):
    """A selector that does not wait: its clock goes on by the time that it was to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            self.now_s += timeout
            timeout = 0
        return super().select(timeout)


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer, so that no wait takes time."""

    def __init__(self) -> None:
        self._clock = _Jumping()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s
