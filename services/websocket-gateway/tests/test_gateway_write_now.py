"""Events that are written the moment they are offered, and those that wait for the sender instead."""

import asyncio
from dataclasses import dataclass, field

import pytest
from kaiser_gateway.domain.conflation import Outlet
from kaiser_gateway.domain.frames import Event
from kaiser_gateway.domain.tokens import Identity
from kaiser_gateway.ws.client import Client
from websockets.frames import Frame
from websockets.protocol import Protocol, Side, State


@dataclass
class Socket:
    """Takes frames at once while it is `writable`, and others once it is `open`."""

    writable: bool = True
    at_once: list[bytes] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    both: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, text: bytes, packet: bytes) -> bool:
        if self.writable:
            assert text in packet
            self.at_once.append(text)
        return self.writable

    async def send(self, frame: bytes) -> None:
        await self.open.wait()
        self.sent.append(frame)
        if len(self.sent) == 2:
            self.both.set()


def event(seq: int, kind: str = "sensor_data") -> Event:
    return Event(kind, "ESP_A", seq, 1.0, b'{"esp_id":"ESP_A","gpio":%d,"sensor_type":"x","address":""}' % seq)


def client(socket: Socket, rate: float = 100.0) -> Client:
    identity = Identity(user="a", role="viewer", expires_at=4e9)
    return Client("c", identity, Outlet(rate, 1_000_000, 0.0), socket.send, socket.write)


@pytest.fixture
def socket() -> Socket:
    return Socket()


async def test_an_event_is_written_the_moment_it_is_offered(socket):
    one = client(socket)
    events = [event(1), event(2, "alarm")]
    for each in events:
        one.offer(each, 0.0)
    assert socket.at_once == [each.frame for each in events]
    assert one.unsent_since() is None


async def test_no_event_overtakes_one_that_waits_for_the_socket(socket):
    one = client(socket)
    events = [event(seq) for seq in range(1, 5)]
    socket.writable = False
    one.offer(events[0], 0.0)
    sending = asyncio.create_task(one.send_events())
    await asyncio.sleep(0)  # it has taken the first, and waits for the socket
    socket.writable = True
    one.offer(events[1], 0.0)
    socket.open.set()
    await asyncio.wait_for(socket.both.wait(), 10)
    one.offer(events[2], 0.0)
    sending.cancel()
    assert socket.sent == [events[0].frame, events[1].frame]
    assert socket.at_once == [events[2].frame]


async def test_above_the_rate_an_event_waits(socket):
    one = client(socket, rate=2.0)
    for seq in range(1, 5):
        one.offer(event(seq), 0.0)
    assert socket.at_once == [event(1).frame, event(2).frame]
    assert one.unsent_since() == 3


async def test_nothing_is_written_behind_the_end(socket):
    one = client(socket)
    one.close(4001, "the token has expired")
    one.offer(event(1), 0.0)
    assert socket.at_once == []


def test_the_packet_of_an_event_is_a_whole_text_frame_for_any_client():
    protocol = Protocol(Side.CLIENT, state=State.OPEN)
    one = event(7)
    protocol.receive_data(one.packet)
    [received] = protocol.events_received()
    assert isinstance(received, Frame)
    assert received.data == one.frame
