"""Events that are written the moment they are offered, and those that wait for the sender instead."""

import asyncio
from dataclasses import dataclass, field

import pytest
from kaiser_common.bus.pull import Delivery
from kaiser_gateway.domain.conflation import Outlet
from kaiser_gateway.domain.frames import Event
from kaiser_gateway.domain.tokens import Identity
from kaiser_gateway.ws.client import Client
from kaiser_gateway.ws.hub import Hub
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


async def test_no_event_overtakes_one_whose_turn_comes_once_an_answer_is_sent(socket):
    written: list[bytes] = []
    done = asyncio.Event()

    def write(text: bytes, _: bytes) -> bool:
        written.append(text)
        if len(written) == 3:
            done.set()
        return True

    async def send(frame: bytes) -> None:
        await socket.open.wait()
        write(frame, b"")

    identity = Identity(user="a", role="viewer", expires_at=4e9)
    one = Client("c", identity, Outlet(100.0, 1_000_000, 0.0), send, write)
    answering = asyncio.create_task(one.answer(b"pong"))
    await asyncio.sleep(0)  # the answer holds the socket
    one.offer(event(5), 0.0)
    sending = asyncio.create_task(one.send_events())
    await asyncio.sleep(0)  # the sender waits for the answer
    socket.open.set()
    asyncio.get_running_loop().call_soon(one.offer, event(6), 0.0)  # in the turn after the answer's last
    async with asyncio.timeout(60):
        await answering
        await done.wait()
    sending.cancel()
    assert written == [b"pong", event(5).frame, event(6).frame]


class Counted(Client):
    """Counts what it is offered."""

    offered = 0

    def offer(self, _: Event, __: float) -> None:
        self.offered += 1


def counted(name: str) -> Counted:
    async def send(_: bytes) -> None: ...

    return Counted(name, Identity(user="a", role="viewer", expires_at=4e9), Outlet(1.0, 1000, 0.0), send)


ONE_EVENT = Delivery("event.actuator_status.ESP_A", "$JS.ACK.EVENTS.r.1.7.7.1.0", b'{"esp_id":"ESP_A"}', None)


async def test_others_have_turns_while_an_event_is_offered_to_thousands_of_clients():
    hub = Hub(None, 15.0)
    clients = [counted(f"c{number}") for number in range(1000)]
    for one in clients:
        hub.add(one)
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(another())
    await hub.offer(ONE_EVENT)
    beside.cancel()
    assert turns >= 4
    assert {one.offered for one in clients} == {1}


async def test_a_client_that_left_or_came_while_an_event_is_offered_gets_none_of_it():
    hub = Hub(None, 15.0)
    clients = [counted(f"c{number}") for number in range(1000)]
    for one in clients:
        hub.add(one)
    late = counted("late")

    async def change() -> None:
        hub.remove(clients[-1])
        hub.add(late)

    changing = asyncio.create_task(change())
    await hub.offer(ONE_EVENT)
    await changing
    assert [one.offered for one in (clients[0], clients[-2], clients[-1], late)] == [1, 1, 0, 0]


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
