"""Devices that publish at QoS 1: pipelined; after a lost connection, messages not yet acknowledged are sent again."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import mqtt_packets

_WINDOW = 500
"""Messages in flight on a connection. A device has a few; NATS closes one that has over 1,024 waiting for 5 s."""
_RECONNECT_S = 0.2
_CONNECT_WITHIN_S = 5.0
_PING_EVERY_S = 15.0
_TICK_S = 0.002


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Numbered:
    """A message of a run, by its number."""

    number: int
    topic: str
    payload: bytes


class Line:
    """One connection of a device. `offer` sends immediately; without a connection, or with a full window, it waits.

    What the broker has not acknowledged when the connection ends is sent again, marked as a repetition, before anything
    else: the behaviour that QoS 1 asks of a device.
    """

    def __init__(self, address: Address, client_id: str, on_acknowledged: Callable[[list[int]], None]) -> None:
        self._address = address
        self._client_id = client_id
        self._on_acknowledged = on_acknowledged
        self._waiting: deque[Numbered] = deque()
        self._in_flight: dict[int, tuple[int, bytes]] = {}
        self._next_id = 0
        self._link: _Link | None = None
        self.repeated = 0
        self.connections = 0

    @property
    def open(self) -> int:
        """How many messages are offered and not acknowledged."""
        return len(self._waiting) + len(self._in_flight)

    def offer(self, messages: Sequence[Numbered]) -> None:
        """Send these messages."""
        self._waiting.extend(messages)
        self._send()

    async def run(self) -> None:
        """Keep the connection, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(_CONNECT_WITHIN_S):
                    _, link = await loop.create_connection(
                        lambda: _Link(self._client_id, self._acknowledged, self._connected),
                        self._address.host,
                        self._address.port,
                    )
            except (OSError, TimeoutError):
                await asyncio.sleep(_RECONNECT_S)
                continue
            try:
                await self._until_closed(link)
            finally:
                self._link = None
                link.transport.abort()
            await asyncio.sleep(_RECONNECT_S)

    async def _until_closed(self, link: "_Link") -> None:
        try:
            async with asyncio.timeout(_CONNECT_WITHIN_S):
                await asyncio.wait([link.closed, link.accepted], return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            return
        while not link.closed.done():
            link.transport.write(mqtt_packets.PINGREQ)
            await asyncio.wait([link.closed], timeout=_PING_EVERY_S)

    def _connected(self, link: "_Link") -> None:
        self._link = link
        self.connections += 1
        if self._in_flight:
            self.repeated += len(self._in_flight)
            link.transport.write(b"".join(mqtt_packets.again(packet) for _, packet in self._in_flight.values()))
        self._send()

    def _acknowledged(self, packet_ids: list[int]) -> None:
        in_flight = self._in_flight
        numbers = [in_flight.pop(packet_id)[0] for packet_id in packet_ids if packet_id in in_flight]
        self._on_acknowledged(numbers)
        self._send()

    def _send(self) -> None:
        if self._link is None or not self._waiting:
            return
        packets = []
        while self._waiting and len(self._in_flight) < _WINDOW:
            message = self._waiting.popleft()
            packet_id = self._free_id()
            packet = mqtt_packets.publish(message.topic, message.payload, packet_id)
            self._in_flight[packet_id] = (message.number, packet)
            packets.append(packet)
        self._link.transport.write(b"".join(packets))

    def _free_id(self) -> int:
        while True:
            self._next_id = self._next_id % mqtt_packets.MAX_PACKET_ID + 1
            if self._next_id not in self._in_flight:
                return self._next_id


class _Link(asyncio.Protocol):
    """One TCP connection of a line."""

    transport: asyncio.Transport

    def __init__(
        self, client_id: str, on_acknowledged: Callable[[list[int]], None], on_accepted: Callable[["_Link"], None]
    ) -> None:
        self._client_id = client_id
        self._on_acknowledged = on_acknowledged
        self._on_accepted = on_accepted
        self._packets = mqtt_packets.Acknowledgements()
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.accepted: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(mqtt_packets.connect(self._client_id))

    def data_received(self, data: bytes) -> None:
        try:
            packet_ids = self._packets.feed(data)
        except mqtt_packets.Refused:
            self.transport.abort()
            return
        if self._packets.accepted and not self.accepted.done():
            self.accepted.set_result(None)
            self._on_accepted(self)
        if packet_ids:
            self._on_acknowledged(packet_ids)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


async def steady(rate: float, offer: Callable[[int], None], stop: asyncio.Event, first: int = 0) -> int:
    """Offer numbers `first`, `first`+1, … at `rate` a second until stopped, by the clock and not by what is accepted.

    Open loop: a stall of the receiver does not slow the sender down, so the time a message waits counts in full.
    """
    started = time.monotonic()
    number = first
    while not stop.is_set():
        due = first + int((time.monotonic() - started) * rate)
        while number <= due:
            offer(number)
            number += 1
        await asyncio.sleep(_TICK_S)
    return number
