"""Reads every event once and offers it to the clients that want it."""

import asyncio
import time

import structlog
from kaiser_common.bus import Bus
from kaiser_common.consumer import OrderedReader
from kaiser_common.metrics import STAGE_SECONDS
from kaiser_common.subjects import EVENTS

from kaiser_gateway import metrics
from kaiser_gateway.client import Client
from kaiser_gateway.filters import Filters, Index
from kaiser_gateway.frames import Event

log = structlog.get_logger()

_SWEEP_S = 1.0


class Hub:
    """The connected clients and the one reader that feeds them. After a restart clients resume by their last seq."""

    def __init__(self, bus: Bus, stalled_s: float) -> None:
        self._bus = bus
        self._stalled_s = stalled_s
        self._index: Index[Client] = Index()
        self._clients: dict[str, Client] = {}
        self._seconds = STAGE_SECONDS.labels("bus_to_ws")
        self.last_seq = 0
        self.draining = False

    def __len__(self) -> int:
        return len(self._clients)

    def behind(self, last_seq: int) -> int:
        """How many events up to `last_seq` have not been read yet."""
        return max(0, last_seq - self.last_seq) if self.last_seq else 0

    def add(self, client: Client) -> None:
        """Take a client in; an older connection with the same id is closed (4009)."""
        older = self._clients.pop(client.client_id, None)
        if older is not None:
            self._index.remove(older)
            older.close(4009, "replaced by a newer connection")
        self._clients[client.client_id] = client
        self._index.put(client, client.filters)
        metrics.CLIENTS.set(len(self._clients))

    def remove(self, client: Client) -> None:
        """Forget a client."""
        self._index.remove(client)
        if self._clients.get(client.client_id) is client:
            del self._clients[client.client_id]
        metrics.CLIENTS.set(len(self._clients))

    def set_filters(self, client: Client, filters: Filters | None) -> None:
        """What a client wants from now on; None is nothing."""
        client.filters = filters
        self._index.put(client, filters)

    async def run(self, stopping: asyncio.Event) -> None:
        """Feed the clients until told to stop, then close them (1001). NATS away: clients stay, events come later."""
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(), name="events")
            sweeping = tasks.create_task(self._sweep(), name="sweep")
            await stopping.wait()
            self.draining = True
            for client in list(self._clients.values()):
                client.close(1001, "the server is going away")
            reading.cancel()
            sweeping.cancel()

    async def _read(self) -> None:
        reader = OrderedReader(self._bus, EVENTS.name, EVENTS.subjects)
        async for batch in reader:
            now = time.monotonic()
            for delivery in batch:
                event = Event.of(delivery)
                self.last_seq = event.seq
                metrics.EVENTS.labels(event.type).inc()
                for client in self._index.of(event.type, event.esp_id):
                    client.offer(event, now)
            if batch:
                self._seconds.observe(max(0.0, time.time() - batch[0].timestamp_ns / 1e9))
                await asyncio.sleep(0)  # let the clients' senders run between batches

    async def _sweep(self) -> None:
        """Each second: close who takes nothing or whose token is over, tell of conflation."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = time.monotonic()
            for client in list(self._clients.values()):
                client.sweep(now, self._stalled_s)
