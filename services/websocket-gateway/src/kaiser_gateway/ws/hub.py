"""Reads every event once and offers it to the clients that want it."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.metrics import STAGE_SECONDS
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.contract.pack import place_of, seq_of
from kaiser_common.contract.subjects import EVENTS
from kaiser_common.runtime.tracing import Tracer

from kaiser_gateway import metrics
from kaiser_gateway.domain.filters import Filters, Index
from kaiser_gateway.domain.frames import events_of, last_seq_of, type_of
from kaiser_gateway.domain.tokens import Identity
from kaiser_gateway.store.standing import Ended
from kaiser_gateway.ws.client import Client

log = structlog.get_logger()

_SWEEP_S = 1.0
_DRAIN_S = 2.0
_OFFERS_AT_ONCE = 200
"""So many clients at most are offered something between two turns of the others: about 2 ms, with the writes."""
_UNSENT_KEPT = 10_000
_MOST_UNREAD = 256
"""Messages that wait for the hub at most; packs of the largest size are 128 MB."""


class Hub:
    """The connected clients and the one reader that feeds them. After a restart clients resume by their last seq."""

    def __init__(
        self,
        bus: Bus,
        stalled_s: float,
        tracer: Tracer | None = None,
        ended: Callable[[Identity], Ended | None] = lambda _: None,
    ) -> None:
        self._bus = bus
        self._ended = ended
        self._tracer = tracer
        self._stalled_s = stalled_s
        self._index: Index[Client] = Index()
        self._clients: dict[tuple[str, str], Client] = {}
        self._unsent: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._seconds = STAGE_SECONDS.labels("bus_to_ws")
        self._read_of = lru_cache(maxsize=64)(metrics.EVENTS.labels)
        self.last_seq = 0
        self.draining = False
        self.follows = asyncio.Event()
        """Set once no event is missed any more: each one that is stored from now on comes, whatever restarts follow."""

    def __len__(self) -> int:
        return len(self._clients)

    def clients_of(self, user: str, except_for: str = "") -> int:
        """How many sockets a user has, not counting the one with a certain client_id, which a new one replaces."""
        return sum(name == user and client_id != except_for for name, client_id in self._clients)

    def behind(self, last_seq: int) -> int:
        """How many messages up to this stream sequence have not been read yet."""
        return max(0, last_seq - place_of(self.last_seq)[0]) if self.last_seq else 0

    def add(self, client: Client) -> None:
        """Take a client in; an older connection of the same user with the same id is closed (4009)."""
        older = self._clients.pop(client.key, None)
        if older is not None:
            self._forget(older)
            older.close(4009, "replaced by a newer connection")
        self._clients[client.key] = client
        self._index.put(client, client.filters)
        metrics.CLIENTS.set(len(self._clients))

    def remove(self, client: Client) -> None:
        """Forget a client, but for what it was not sent."""
        if self._clients.get(client.key) is client:
            del self._clients[client.key]
            self._forget(client)
        metrics.CLIENTS.set(len(self._clients))

    def hold_for_replay(self, client: Client) -> int | None:
        """Hold live events back from a client; the lowest seq that waited for it, also when it was cut off before.

        Over its rate a client gets events out of order: its highest seq says nothing of those that still waited.
        """
        waited = [self._unsent.pop(client.key, None), client.pause()]
        return min((seq for seq in waited if seq is not None), default=None)

    def _forget(self, client: Client) -> None:
        self._index.remove(client)
        oldest = client.unsent_since()
        if oldest is None:
            return
        self._unsent[client.key] = oldest
        self._unsent.move_to_end(client.key)
        if len(self._unsent) > _UNSENT_KEPT:
            self._unsent.popitem(last=False)

    def set_filters(self, client: Client, filters: Filters | None) -> None:
        """Set the filters of a client; None means no events."""
        client.filters = filters
        self._index.put(client, filters)

    async def run(self, stopping: asyncio.Event) -> None:
        """Send events to the clients until stopped, then close them (1001). NATS unavailable: clients stay connected
        and get the events later."""
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(), name="events")
            sweeping = tasks.create_task(self._sweep(), name="sweep")
            await stopping.wait()
            self.draining = True
            reading.cancel()
            await self._drain()
            sweeping.cancel()

    async def _drain(self) -> None:
        """Close every client (1001) once it has what waits for it, at the latest after 2 s."""
        clients = list(self._clients.values())
        for client in clients:
            client.finish(time.monotonic(), 1001, "the server is going away")
        if clients:
            await asyncio.wait([client.closed for client in clients], timeout=_DRAIN_S)
        for client in clients:
            client.close(1001, "the server is going away")

    async def _read(self) -> None:
        reader = OrderedReader(self._bus, EVENTS.name, EVENTS.subjects, max_messages=_MOST_UNREAD)
        async for batch in reader:
            self.follows.set()
            for delivery in batch:
                if seq_of(delivery.stream_sequence) <= self.last_seq:
                    self._begin_anew()
                self.last_seq = last_seq_of(delivery)
                self._read_of(type_of(delivery)).inc(delivery.count)
                if self._index:
                    await self.offer(delivery)
            if batch:
                self._seconds.observe(max(0.0, time.time() - batch[0].timestamp_ns / 1e9))
                if self._tracer is not None:
                    self._tracer.note("offer to clients", batch)
                await asyncio.sleep(0)  # let the clients' senders run between batches

    async def offer(self, delivery: Delivery) -> None:
        """Offer the events of a message to the clients that may want them; a client that left meanwhile gets none."""
        now = time.monotonic()
        offered = 0
        for event in events_of(delivery, self._index.wants):
            for client in list(self._index.of(event.type, event.esp_id)):
                if offered >= _OFFERS_AT_ONCE:
                    await asyncio.sleep(0)  # thousands of clients, or a pack for many, must not hold the senders up
                    offered, now = 0, time.monotonic()
                if client in self._index:
                    client.offer(event, now)
                    offered += 1

    def _begin_anew(self) -> None:
        log.warning("events_recreated", last_seq=self.last_seq)
        self._unsent.clear()
        for client in self._clients.values():
            client.stream_recreated()

    async def _sweep(self) -> None:
        """Each second: close clients that take nothing or whose token has ended, report conflation."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = time.monotonic()
            for client in list(self._clients.values()):
                client.sweep(now, self._stalled_s)
                ended = self._ended(client.identity)
                if ended is not None:
                    client.close(ended.code, ended.reason)
