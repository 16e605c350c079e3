"""An emergency stop passes the limits of connections and bodies that others have used up; pure, without a server."""

import asyncio
from types import SimpleNamespace

import pytest
from kaiser_common.bus.right_of_way import RightOfWay
from kaiser_gateway.domain.tokens import Identity
from kaiser_gateway.http.admission import IDENTITY
from kaiser_gateway.http.connections import Connections
from kaiser_gateway.http.edge import Edge
from kaiser_gateway.http.limited_http import limited_http
from kaiser_gateway.http.requests import STOP, StopsFirst
from uvicorn import Config
from uvicorn.server import ServerState

STOPS = f"POST {STOP} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Length: 2\r\n\r\n{{}}".encode()
WITHOUT_TOKEN = STOPS.replace(b"Authorization: Bearer t\r\n", b"")
LISTS = b"GET /api/v1/actuators HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n"
MIB = 1024 * 1024


class Wire(asyncio.Transport):
    """A connection from one address; what the server writes."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 4711), "sockname": ("192.0.2.9", 8000)})
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Nothing."""

    def resume_reading(self) -> None:
        """Nothing."""


async def answered(scope, receive, send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


class Server:
    def __init__(self, connections: Connections) -> None:
        self.http = limited_http(connections)
        self.config = Config(answered, log_config=None, lifespan="off")
        self.config.load()
        self.state = ServerState()

    def connect(self):
        protocol = self.http(config=self.config, server_state=self.state, app_state={})
        wire = Wire()
        protocol.connection_made(wire)
        return protocol, wire

    async def say(self, protocol, wire: Wire, data: bytes = b"") -> bytes:
        """The first line of what is answered to these bytes."""
        before = len(wire.written)
        if data:
            protocol.data_received(data)
        async with asyncio.timeout(60):
            while len(wire.written) == before:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        return wire.written[before:].partition(b"\r\n")[0]


@pytest.mark.parametrize(
    ("data", "status"), [(STOPS, b"HTTP/1.1 200 OK"), (LISTS, b"HTTP/1.1 200 OK"), (WITHOUT_TOKEN, b"HTTP/1.1 429 T")]
)
async def test_an_address_that_begins_too_many_connections_is_answered_where_it_has_a_token(data, status, monkeypatch):
    monkeypatch.setattr("kaiser_gateway.http.connections.time", SimpleNamespace(monotonic=lambda: 0.0))
    server = Server(Connections(500, [], 10.0))
    wires = [server.connect() for _ in range(1500)]
    assert (await server.say(*wires[-1], data)).startswith(status)


async def test_a_connection_without_a_token_makes_room_for_a_newer_one_and_says_so():
    server = Server(Connections(1, [], 10.0))
    _, first = server.connect()
    second = server.connect()
    async with asyncio.timeout(60):
        while not first.closed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert first.written.startswith(b"HTTP/1.1 429 T")
    assert (await server.say(*second, STOPS)) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(("role", "urgent"), [("operator", True), ("admin", True), ("viewer", False), (None, False)])
async def test_only_an_operator_s_stop_has_the_right_of_way(role, urgent):
    """A request that says that it is a stop, without a token, holds up nobody."""
    seen = []

    async def app(scope, receive, send) -> None:
        seen.append(not first._way.is_open)

    first = StopsFirst(app, RightOfWay())
    identity = {} if role is None else {IDENTITY: Identity("bea", role, 0.0)}
    await first({"type": "http", "method": "POST", "path": STOP, "state": identity}, None, None)
    assert seen == [urgent]


async def test_a_small_body_passes_whatever_its_user_has_under_way():
    class Guard:
        async def verify(self, token):
            return SimpleNamespace(external=False, user="bea")

    edge, statuses = Edge(answered, Guard(), 60.0), []

    async def post(size: int, *, whole: bool) -> None:
        parts = [{"type": "http.request", "body": b" " * size, "more_body": not whole}]

        async def receive():
            return parts.pop() if parts else await asyncio.Event().wait()

        async def send(message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        headers = [(b"content-length", str(size + (not whole)).encode()), (b"authorization", b"Bearer t")]
        scope = {"type": "http", "method": "POST", "path": STOP, "headers": headers, "query_string": b"", "state": {}}
        async with asyncio.timeout(60):
            await edge({**scope, "server": ("x", 1), "client": ("192.0.2.1", 1), "scheme": "http"}, receive, send)

    unfinished = [asyncio.create_task(post(MIB - 1, whole=False)) for _ in range(17)]
    while statuses != [429]:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await post(2, whole=True)
    assert statuses == [429, 200]
    for task in unfinished:
        task.cancel()
