"""The parser of NATS's protocol: what it makes of bytes, however the socket cuts them."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.parser import DirectParser
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

DIVERTED, OTHER = 7, 8
ACK = "$JS.ACK.SENSORS.sensor-live.1.5.6.1795000000123000000.9"

STREAM = (
    b'INFO {"server_id": "x"}\r\n'
    b"MSG a.b 7 2\r\nhi\r\n"
    b"PING\r\n"
    b"MSG a.b 7 " + ACK.encode() + b" 0\r\n\r\n"
    b"HMSG a.b 7 " + ACK.encode() + b" 12 14\r\nNATS/1.0\r\n\r\n{}\r\n"
    b"+OK\r\n"
    b"MSG other 8 reply.to 6\r\nMSG \r\n\r\n"
    b"HMSG gone 9 16 16\r\nNATS/1.0 404\r\n\r\n\r\n"
    b"PONG\r\n"
    b"-ERR 'Slow Consumer'\r\n"
    b"HMSG a.b 7 16 16\r\nNATS/1.0 100\r\n\r\n\r\n"
    b"MSG gr\xc3\xbcn 7 8\r\nPING\r\n\r\n\r\n"
)
HEARD = [
    ("info", {"server_id": "x"}),
    ("diverted", "a.b", "", b"hi", None),
    ("ping",),
    ("diverted", "a.b", ACK, b"", None),
    ("diverted", "a.b", ACK, b"{}", b"NATS/1.0\r\n\r\n"),
    ("message", OTHER, b"other", b"reply.to", b"MSG \r\n", None),
    ("message", 9, b"gone", b"", b"", b"NATS/1.0 404\r\n\r\n"),
    ("pong",),
    ("error", "'slow consumer'"),
    ("diverted", "a.b", "", b"", b"NATS/1.0 100\r\n\r\n"),
    ("diverted", "grün", "", b"PING\r\n\r\n", None),
]


class Client:
    """Notes what a parser calls; `on_ping` is what happens meanwhile."""

    def __init__(self) -> None:
        self.heard: list[tuple] = []
        self.on_ping = lambda: None
        self.stats = {"in_msgs": 0, "in_bytes": 0}

    def divert(self, *message) -> None:
        self.heard.append(("diverted", *message))

    async def _process_msg(self, sid, subject, reply, body, headers) -> None:
        self.heard.append(("message", sid, subject, reply, body, headers))

    async def _process_ping(self) -> None:
        self.heard.append(("ping",))
        self.on_ping()

    async def _process_pong(self) -> None:
        self.heard.append(("pong",))

    async def _process_err(self, error) -> None:
        self.heard.append(("error", error))

    async def _process_info(self, info) -> None:
        self.heard.append(("info", info))


def heard(*chunks: bytes) -> list[tuple]:
    client = Client()
    parser = DirectParser(client, {DIVERTED: client.divert})

    async def parse() -> None:
        for chunk in chunks:
            await parser.parse(chunk)

    asyncio.run(parse())
    return client.heard


def heard_by_nats_py(data: bytes) -> list[tuple]:
    client = Client()
    asyncio.run(Parser(client).parse(data))
    return client.heard


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def test_messages_of_diverted_subscriptions_go_to_their_callback_and_the_rest_to_nats_py():
    assert heard(STREAM) == HEARD


def test_each_cut_of_the_stream_gives_the_same():
    for place in range(len(STREAM)):
        assert heard(STREAM[:place], STREAM[place:]) == HEARD
    assert heard(*(STREAM[place : place + 1] for place in range(len(STREAM)))) == HEARD


PARTS = st.one_of(
    st.sampled_from([b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR 'Stale Connection'\r\n", b'INFO {"a": 1}\r\n']),
    st.builds(
        lambda sid, reply, body: b"MSG a.b %d %b%d\r\n%b\r\n" % (sid, reply, len(body), body),
        st.sampled_from([DIVERTED, OTHER]),
        st.sampled_from([b"", b"reply.to "]),
        st.binary(max_size=60),
    ),
    st.builds(
        lambda sid, reply, header, body: (
            b"HMSG a.b %d %b%d %d\r\n%b%b\r\n" % (sid, reply, len(header), len(header) + len(body), header, body)
        ),
        st.sampled_from([DIVERTED, OTHER]),
        st.sampled_from([b"", b"reply.to "]),
        st.sampled_from([b"NATS/1.0\r\n\r\n", b"NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n"]),
        st.binary(max_size=60),
    ),
)


@given(st.lists(PARTS, max_size=20), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_stream_in_any_parts_is_heard_as_nats_py_hears_it(parts, places):
    data = b"".join(parts)
    usual = [
        ("diverted", one[2].decode(), one[3].decode(), one[4], one[5])
        if one[0] == "message" and one[1] == DIVERTED
        else one
        for one in heard_by_nats_py(data)
    ]
    assert heard(*cut(data, places)) == usual


def test_a_message_of_a_megabyte_is_whole_and_what_follows_too():
    body = bytes(range(256)) * 4096
    data = b"MSG a.b 7 %d\r\n%b\r\nPING\r\n" % (len(body), body)
    chunks = [data[place : place + 32_768] for place in range(0, len(data), 32_768)]
    assert heard(*chunks) == [("diverted", "a.b", "", body, None), ("ping",)]


@pytest.mark.parametrize(
    "line",
    [
        b"MSG a.b 7\r\n",
        b"MSG a.b seven 2\r\nhi\r\n",
        b"MSG a.b 7 reply more 2\r\nhi\r\n",
        b"HMSG a.b 7 reply 2\r\nhi\r\n",
        b"HMSG a.b 7 9 2\r\nhi\r\n",
        b"MSG a.b 7 -2\r\n\r\n",
        b"HELLO\r\n",
        b"\r\n",
        b"X" * 5000 + b"\r\n",
    ],
)
def test_what_is_no_protocol_ends_the_connection(line):
    with pytest.raises(ProtocolError):
        heard(b"PING\r\n" + line)


async def test_a_new_connection_begins_with_nothing_of_the_old_one():
    client = Client()
    parser = DirectParser(client, {DIVERTED: client.divert})
    await parser.parse(b"MSG a.b 7 1000\r\nhalf of it")
    parser.reset()
    await parser.parse(b"MSG a.b 7 2\r\nhi\r\n")
    assert client.heard == [("diverted", "a.b", "", b"hi", None)]


async def test_what_is_left_of_an_old_connection_is_dropped_when_it_ends_meanwhile():
    client = Client()
    parser = DirectParser(client, {DIVERTED: client.divert})
    client.on_ping = parser.reset
    await parser.parse(b"PING\r\nMSG a.b 7 2\r\nold\r\nMSG a.b 7 9\r\nha")
    await parser.parse(b"MSG a.b 7 3\r\nnew\r\n")
    assert client.heard == [("ping",), ("diverted", "a.b", "", b"new", None)]


async def test_what_was_heard_is_counted():
    client = Client()
    await DirectParser(client, {DIVERTED: client.divert}).parse(b"MSG a.b 7 2\r\nhi\r\nMSG a.b 7 3\r\nyou\r\n")
    assert client.stats == {"in_msgs": 2, "in_bytes": 5}
