"""One WebSocket client: its filters, its queue, and the loop that sends."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from kaiser_common.bus.waiting import set_within

from kaiser_gateway import metrics
from kaiser_gateway.domain.conflation import Outlet, Overfull
from kaiser_gateway.domain.filters import Filters
from kaiser_gateway.domain.frames import Event, notice
from kaiser_gateway.domain.tokens import Identity

log = structlog.get_logger()

Send = Callable[[bytes], Awaitable[None]]
"""Sends one text frame; returns when the socket can take more."""
Write = Callable[[bytes, bytes], bool]
"""Writes a text, given also as a packet of WebSocket, immediately; False: the socket takes no more now."""

_WARN_BEFORE_S = 60.0
_BURST = 64


class Client:
    """Bounded: events in the outlet by bytes, answers by the loop that reads one message at a time."""

    def __init__(
        self, client_id: str, identity: Identity, outlet: Outlet, send: Send, write: Write = lambda *_: False
    ) -> None:
        self.client_id = client_id
        self.filters: Filters | None = Filters()
        self.paused = False
        """True while kept events are replayed: what comes live is in the stream and is replayed too."""
        self.skipped_to = 0
        """The newest seq that came live in the pause: the replay goes on until it has sent that one."""
        self.replayed_to = 0
        """The seq that a replay has reached: up to it nothing is to be sent again."""
        self.identity = identity
        self._outlet = outlet
        self._send = send
        self._write = write
        self._wake = asyncio.Event()
        self._sending_since: float | None = None
        self._warned = False
        self._last_words: tuple[int, str] | None = None
        self._notices: list[bytes] = []
        self._lock = asyncio.Lock()
        self.closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        """Done once the client is to be closed, with code and reason."""

    def wants(self, event: Event) -> bool:
        """Whether the filters in force admit an event."""
        return self.filters is not None and self.filters.admits(event)

    @property
    def key(self) -> tuple[str, str]:
        """The client's identity across connections: the same client_id of another user is another client."""
        return self.identity.user, self.client_id

    def unsent_since(self) -> int | None:
        """The lowest seq that waits to be sent; None when all was."""
        return self._outlet.oldest()

    def pause(self) -> int | None:
        """Hold back live events for a replay and drop the waiting ones: their lowest seq, None if none waited."""
        oldest = self._outlet.oldest()
        self._outlet.clear()
        self.paused = True
        return oldest

    def stream_recreated(self) -> None:
        """Sequence numbers start again: earlier ones mean nothing."""
        self.replayed_to = self.skipped_to = 0

    def finish(self, now: float, code: int, reason: str) -> None:
        """Send what waits, whatever the rate, then have the connection closed."""
        self._outlet.lift_limit(now)
        self._last_words = (code, reason)
        self._wake.set()

    def offer(self, event: Event, now: float) -> None:
        """Write an event if the filters admit it, or put it in the outlet where the socket or the rate makes it wait.
        Too many alerts waiting: closed (4008)."""
        if event.seq <= self.replayed_to or not self.wants(event):
            return
        if self.paused:
            self.skipped_to = event.seq
            return
        if self._is_idle and self._outlet.may_pass(event, now) and self._write(event.frame, event.packet):
            self._outlet.passed(event, now)
            metrics.FRAMES.inc()
            return
        try:
            self._outlet.offer(event, now)
        except Overfull as error:
            self.close(4008, str(error))
        self._wake.set()

    @property
    def _is_idle(self) -> bool:
        """Whether the sender has nothing under way that an event would overtake, and nothing ends the connection."""
        return not (self._lock.locked() or self._notices or self._last_words or self.closed.done())

    def close(self, code: int, reason: str) -> None:
        """Have the connection closed."""
        if not self.closed.done():
            metrics.CLOSED.labels(str(code)).inc()
            self.closed.set_result((code, reason))

    def sweep(self, now: float, stalled_s: float) -> None:
        """Once a second: a socket that takes nothing, an ending token, a summary of conflation."""
        if self._sending_since is not None and now - self._sending_since > stalled_s:
            self.close(4008, f"the client read nothing for {stalled_s:g} s")
            return
        left_s = self.identity.expires_at - time.time()
        if left_s <= 0:
            self.close(4001, "the token has expired")
        elif left_s <= _WARN_BEFORE_S and not self._warned:
            self._warned = True
            self._note(
                notice("token_expiring", f"the token expires in {left_s:.0f} s", time.time(), left_s=round(left_s))
            )
        count = self._outlet.conflated()
        if count:
            metrics.CONFLATED.inc(count)
            self._note(
                notice("events_conflated", f"{count} events were replaced by newer ones", time.time(), count=count)
            )

    async def answer(self, frame: bytes) -> None:
        """Send a frame immediately, before the waiting ones."""
        async with self._lock:
            await self._send_timed(frame)

    async def _send_timed(self, frame: bytes) -> None:
        self._sending_since = time.monotonic()
        await self._send(frame)
        self._sending_since = None

    async def _send_next(self) -> bool:
        """Send the next event that may go; False: none may. It is taken once the socket is free: an event that was
        taken and still waited for an answer would be overtaken by one that is written at once."""
        async with self._lock:
            event = self._outlet.take(time.monotonic())
            if event is None:
                return False
            await self._send_timed(event.frame)
        return True

    async def send_events(self) -> None:
        """Send what may go, until cancelled."""
        while True:
            now = time.monotonic()
            if self._notices:
                pending, self._notices = self._notices, []
                for frame in pending:
                    await self.answer(frame)
            sent = 0
            while sent < _BURST and len(self._outlet) and await self._send_next():
                sent += 1
            metrics.FRAMES.inc(sent)
            if self._last_words is not None and not len(self._outlet) and not self._notices:
                self.close(*self._last_words)
                return
            await self._until_more(now)

    async def _until_more(self, now: float) -> None:
        wait_s = self._outlet.wait_s(now)
        if wait_s is not None and wait_s <= 0:
            await asyncio.sleep(0)
            return
        self._wake.clear()
        await set_within(self._wake, wait_s if wait_s is not None else 30.0)

    def _note(self, frame: bytes) -> None:
        if len(self._notices) < _BURST:
            self._notices.append(frame)
        self._wake.set()
