"""Clients without a token never shut out those with one: the places of connections, and a real client's floods."""

import asyncio
import contextlib
import json
import threading
from http.client import HTTPConnection

import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_gateway.domain.places import GRACE_S, Place, Places
from waiting import until

STOP = "/api/v1/actuators/emergency_stop"
FILES = 1_000_000


class Door:
    """Connections as they come; which of them were ended to make room."""

    def __init__(self, most: int = 3, files: int = FILES) -> None:
        self.places = Places(most, files)
        self.ended: list[str] = []
        self.now = 0.0

    def enter(self, name: str, source: str | None = "192.0.2.1") -> Place:
        return self.places.enter(source, lambda: self.ended.append(name), self.now)

    def trim(self, source: str = "192.0.2.1") -> None:
        self.places.trim(source, self.now)


def test_the_oldest_connection_without_a_token_makes_room_once_its_grace_is_over():
    door = Door()
    for number in range(5):
        door.enter(f"c{number}")
    assert door.ended == [], "each has the time to show a token"
    assert door.places.is_over("192.0.2.1")
    door.now = GRACE_S
    door.trim()
    assert door.ended == ["c0", "c1"]
    assert not door.places.is_over("192.0.2.1")
    door.enter("c5")
    assert door.ended == ["c0", "c1", "c2"]


def test_a_connection_that_has_shown_a_token_makes_room_for_nobody_without_one():
    door = Door()
    door.enter("ada").prove("ada")
    for number in range(10_000):
        door.now += 0.01
        door.enter(f"c{number}")
    assert "ada" not in door.ended
    assert len(door.ended) > 9_900


def test_a_token_that_is_no_longer_valid_keeps_no_place():
    door = Door(1)
    place = door.enter("ada")
    place.prove("ada")
    place.doubt(door.now)
    door.now = GRACE_S
    door.enter("c1")
    assert door.ended == ["ada"]


def test_a_user_with_too_many_loses_the_one_that_was_silent_longest_and_no_other_users():
    door = Door()
    door.enter("bea").prove("bea")
    places = [door.enter(f"ada{number}") for number in range(4)]
    for place in places[:3]:
        place.prove("ada")
    places[0].prove("ada")
    places[3].prove("ada")
    assert door.ended == ["ada1"]
    door.enter("socket").prove("ada", lasting=True)
    assert door.ended == ["ada1"], "sockets have a limit of their own"


def test_many_addresses_together_have_a_bound_and_a_proxy_has_no_other():
    door = Door(500, files=4000)
    for number in range(1200):
        door.enter(f"c{number}", None if number % 2 else f"192.0.2.{number % 200}")
    door.now = GRACE_S
    door.trim()
    assert len(door.ended) == 200
    assert door.ended[0] == "c0"


def test_within_the_grace_there_is_a_bound_too():
    door = Door(3, files=400)
    for number in range(500):
        door.enter(f"c{number}")
    assert len(door.ended) >= 500 - 3 - 100


@given(st.lists(st.sampled_from(("enter", "prove", "doubt", "leave", "wait")), max_size=60), st.data())
def test_whatever_comes_what_has_left_is_counted_nowhere(steps: list, data):
    door, open_places = Door(), []
    for number, step in enumerate(steps):
        if step == "enter":
            open_places.append(door.enter(f"c{number}"))
        elif step == "wait":
            door.now += GRACE_S
            door.trim()
        elif open_places:
            place = data.draw(st.sampled_from(open_places))
            if step == "prove":
                place.prove("ada")
            elif step == "doubt":
                place.doubt(door.now)
            else:
                place.leave()
        without = [each for each in open_places if not each.has_left and each.user is None]
        assert door.places.count("192.0.2.1") == len(without)
    for place in open_places:
        place.leave()
    assert door.places.count("192.0.2.1") == 0
    assert not door.places.is_over("192.0.2.1")


FLOODS = {
    "silent": b"",
    "half a header": b"POST /api/v1/auth/token HTTP/1.1\r\nHost: x\r\nX-A: ",
    "body that does not come": b"POST /api/v1/auth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nu",
    "stop with a wrong token": (
        b"POST " + STOP.encode() + b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x.y.z\r\nContent-Length: 2\r\n\r\n{}"
    ),
    "socket with a wrong token": (
        b"GET /api/v1/ws/realtime/c?token=x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ),
}


class Flood(threading.Thread):
    """Opens connections from this address as fast as it can and holds up to 800 of them; counts them."""

    def __init__(self, port: int, sent: bytes) -> None:
        super().__init__(daemon=True)
        self.opened = 0
        self._port, self._sent = port, sent
        self._ended = threading.Event()

    def run(self) -> None:
        asyncio.run(self._flood())

    async def _flood(self) -> None:
        await asyncio.gather(*(self._one() for _ in range(800)))

    async def _one(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                self.opened += 1
                writer.write(self._sent)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(5):
                        while not self._ended.is_set() and await reader.read(4096):
                            continue
                writer.close()
            await asyncio.sleep(0)

    def end(self) -> None:
        self._ended.set()
        self.join(60)


def pressed(port: int, token: str) -> int:
    """Press a stop on a connection of its own; the status. The token is sent as soon as it is open, so that a slow
    machine does not spend the grace on that."""
    request = json.dumps({"esp_id": "ESP_A"}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=60)) as http:
        http.request("POST", STOP, request, headers)
        return http.getresponse().status


@pytest.fixture(scope="module")
def at_its_limits(start_gateway):
    """A gateway with the limits that it has by default."""
    return start_gateway(KAISER_HTTP_PER_ADDRESS="500")


@pytest.mark.timeout(900)  # ten presses, each of which may take a minute on a busy machine
@pytest.mark.parametrize("name", FLOODS)
async def test_a_stop_is_taken_whatever_somebody_without_a_token_does_from_the_same_address(
    at_its_limits, module_bus, name
):
    """Each press is a connection of its own, asked for once."""
    gateway = at_its_limits
    client = await nats.connect(module_bus)

    async def answer(message) -> None:
        await message.respond(b'{"items":[]}')

    await client.subscribe("rpc.actuator.emergency_stop", cb=answer)
    await client.flush()
    flood = Flood(gateway.port, FLOODS[name])
    flood.start()
    try:
        await until(lambda: flood.opened >= 800, "the flood is at its height")
        token = gateway.token("operator")
        statuses = [await asyncio.to_thread(pressed, gateway.port, token) for _ in range(10)]
        assert statuses == [200] * 10, f"{flood.opened} connections were opened meanwhile"
    finally:
        flood.end()
        await client.close()
