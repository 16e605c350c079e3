"""The packet splitter: the same messages come out, however the bytes are cut."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_ingest.domain.incoming import Incoming
from kaiser_ingest.mqtt.packets import MAX_KEPT_BYTES, MalformedPacket, PacketSplitter

NOW = 1_767_225_700_000


def length(value: int) -> bytes:
    out = bytearray()
    while True:
        value, byte = value >> 7, value & 0x7F
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def publish(
    topic: bytes, payload: bytes, packet_id: int = 0, *, mqtt5: bool = True, flags: int = 0, properties: bytes = b""
) -> bytes:
    qos = 1 if packet_id else 0
    body = struct.pack(">H", len(topic)) + topic
    if qos:
        body += struct.pack(">H", packet_id)
    if mqtt5:
        body += length(len(properties)) + properties
    body += payload
    return bytes([0x30 | qos << 1 | flags]) + length(len(body)) + body


def incoming(topic: bytes, payload: bytes, packet_id: int, **fields: Any) -> Incoming:
    return Incoming(topic, payload, packet_id, 1 if packet_id else 0, False, False, 7, NOW)._replace(**fields)


@given(
    messages=st.lists(
        st.tuples(st.binary(max_size=40), st.binary(max_size=300), st.integers(0, 65_535), st.binary(max_size=140)),
        max_size=8,
    ),
    mqtt5=st.booleans(),
    cut=st.integers(1, 50),
)
def test_messages_come_out_as_they_were_sent_however_the_bytes_are_cut(
    messages: list[tuple[bytes, bytes, int, bytes]], mqtt5: bool, cut: int
) -> None:
    stream = b"\xd0\x00".join(
        publish(topic, payload, packet_id, mqtt5=mqtt5, properties=properties if mqtt5 else b"")
        for topic, payload, packet_id, properties in messages
    )
    splitter = PacketSplitter(mqtt5, 7)
    found = [each for start in range(0, len(stream), cut) for each in splitter.feed(stream[start : start + cut], NOW)]
    assert found == [incoming(topic, payload, packet_id) for topic, payload, packet_id, _ in messages]
    assert bytes(splitter.control) == b"\xd0\x00" * max(0, len(messages) - 1)


def test_the_flags_of_a_message_are_kept() -> None:
    splitter = PacketSplitter(True, 7)
    assert splitter.feed(publish(b"t", b"p", 9, flags=0x09), NOW) == [
        incoming(b"t", b"p", 9, retained=True, duplicate=True)
    ]


def test_of_an_oversized_message_only_the_beginning_is_kept_and_the_next_one_is_whole() -> None:
    splitter = PacketSplitter(True, 7)
    stream = publish(b"t", b"x" * 1_000_000, 5) + publish(b"u", b"y", 6)
    found, most_held = [], 0
    for start in range(0, len(stream), 10_000):
        found += splitter.feed(stream[start : start + 10_000], NOW)
        most_held = max(most_held, len(splitter._rest))
    assert [(each.topic, each.packet_id) for each in found] == [(b"t", 5), (b"u", 6)]
    assert 16 * 1024 < len(found[0].payload) <= MAX_KEPT_BYTES + 10_000
    assert most_held <= MAX_KEPT_BYTES + 10_000


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\xff\xff\xff\xff\xff",
        b"\x30\x01\x00",
        b"\x30\x03\x00\x09a",
        b"\x32\x03\x00\x01a",
        b"\x32\x05\x00\x01a\x00\x01",
        b"\x30\x04\x00\x01a\x7f",
        b"\x30\x05\x00\x01a\xff\xff",
    ],
)
def test_bytes_that_are_no_mqtt_are_told(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        PacketSplitter(True, 7).feed(data, NOW)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_malformed_packet(data: bytes) -> None:
    splitter = PacketSplitter(True, 7)
    try:
        splitter.feed(data, NOW)
    except MalformedPacket:
        return
    assert len(splitter._rest) <= len(data)
