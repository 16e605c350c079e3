"""Messages of ours: the bytes that paho would write, in order, within the window of what is unacknowledged."""

import asyncio
from itertools import count
from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_ingest.mqtt.packets import MalformedPacket, PacketSplitter, publish_packet
from kaiser_ingest.mqtt.sending import ConnectionLost, MqttPublication, MqttSender
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

NOW = 1_767_225_600_000


def by_paho(message: MqttPublication, packet_id: int, *, mqtt5: bool) -> bytes:
    """The packet as paho encodes it."""
    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5 if mqtt5 else paho.MQTTv311, reconnect_on_failure=False
    )
    written: list[bytes] = []
    client._sock = object()  # type: ignore[assignment]
    client._packet_queue = lambda _command, packet, *_: written.append(bytes(packet))  # type: ignore[method-assign,assignment,return-value,func-returns-value,misc]
    properties = None
    if mqtt5 and message.expiry_s is not None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = message.expiry_s
    client._send_publish(
        packet_id, message.topic.encode(), message.payload, message.qos, message.retain, properties=properties
    )
    client._sock = None
    return written[0]


MESSAGES = st.builds(
    MqttPublication,
    st.text(st.characters(exclude_characters="+#", exclude_categories=("Cs",)), min_size=1, max_size=200),
    st.one_of(st.binary(max_size=300), st.integers(0, 300_000).map(bytes)),
    st.integers(0, 1),
    st.booleans(),
    st.one_of(st.none(), st.integers(0, 2**32 - 1)),
)


@given(MESSAGES, st.integers(1, 65_535), st.booleans())
def test_a_packet_has_the_bytes_that_paho_writes(message: MqttPublication, packet_id: int, mqtt5: bool) -> None:
    packet = publish_packet(
        message.topic.encode(),
        message.payload,
        packet_id,
        message.qos,
        retain=message.retain,
        expiry_s=message.expiry_s,
        mqtt5=mqtt5,
    )
    assert packet == by_paho(message, packet_id, mqtt5=mqtt5)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\x40\x02\x00\x07", [(7, 0)]),
        (b"\x40\x03\x01\x00\x10", [(256, 0x10)]),
        (b"\x40\x04\x00\x07\x97\x00", [(7, 0x97)]),
        (b"\x40\x02\x00\x01\x40\x02\x00\x02", [(1, 0), (2, 0)]),
    ],
)
def test_a_puback_is_its_packet_id_and_reason_code(data: bytes, found: list[tuple[int, int]]) -> None:
    for cut in range(1, len(data) + 1):
        splitter = PacketSplitter(True, 1)
        for start in range(0, len(data), cut):
            assert splitter.feed(data[start : start + cut], NOW) == []
        assert splitter.pubacks == found
        assert not splitter.control


def test_a_puback_without_a_packet_id_is_malformed() -> None:
    with pytest.raises(MalformedPacket):
        PacketSplitter(True, 1).feed(b"\x40\x01\x00", NOW)


class Wire:
    """The bytes that were written, a write an entry."""

    def __init__(self, ids: Any = None) -> None:
        self.writes: list[bytes] = []
        self.sender = MqttSender(lambda: next(numbers), self.writes.append, mqtt5=True)
        numbers = ids or count(1)

    async def written(self) -> list[list[str]]:
        """The payloads of each write since the last look."""
        await asyncio.sleep(0)
        writes, self.writes[:] = [*self.writes], []
        splitter = PacketSplitter(True, 1)
        return [[each.payload.decode() for each in splitter.feed(write, NOW)] for write in writes]


def message(number: int, **fields: Any) -> MqttPublication:
    return MqttPublication("t", f"{number}".encode(), **fields)


async def test_what_is_sent_in_one_turn_is_one_write_in_order() -> None:
    wire = Wire()
    answers = [wire.sender.send(message(number)) for number in range(3)]
    assert await wire.written() == [["0", "1", "2"]]
    wire.sender.acknowledged([(2, 0x87), (1, 0)])
    assert [answer.done() and answer.result() for answer in answers] == [0, 0x87, False]


async def test_what_is_over_the_window_waits_in_order_for_pubacks() -> None:
    wire = Wire()
    wire.sender.window = 2
    answers = [wire.sender.send(message(number)) for number in range(5)]
    assert await wire.written() == [["0", "1"]]
    wire.sender.acknowledged([(1, 0)])
    assert await wire.written() == [["2"]]
    answers[3].cancel()
    wire.sender.acknowledged([(2, 0), (3, 0)])
    assert await wire.written() == [["4"]], "nobody waits for the fourth any more"
    wire.sender.acknowledged([(4, 0), (4, 0), (99, 0)])
    assert [each.result() for each in answers if not each.cancelled()] == [0] * 4


async def test_a_message_of_qos_0_waits_for_no_place() -> None:
    wire = Wire()
    wire.sender.window = 1
    wire.sender.send(message(0))
    wire.sender.send(message(1))
    assert wire.sender.send(message(2, qos=0)).result() == 0
    assert await wire.written() == [["0", "2"]]


async def test_a_packet_id_that_is_in_use_is_not_given_again() -> None:
    wire = Wire(iter([1, 2, 1, 2, 3]))
    answers = [wire.sender.send(message(number)) for number in range(3)]
    wire.sender.acknowledged([(3, 0)])
    assert [answer.done() for answer in answers] == [False, False, True]


async def test_once_the_connection_has_ended_each_answer_says_so() -> None:
    wire = Wire()
    wire.sender.window = 1
    answers = [wire.sender.send(message(number)) for number in range(2)]
    wire.sender.end("gone")
    assert await wire.written() == []
    for answer in answers:
        with pytest.raises(ConnectionLost, match="gone"):
            answer.result()


@pytest.mark.parametrize("topic", ["", "a/+", "a/#", "a" * 65_536])
async def test_a_topic_that_no_broker_takes_is_an_error(topic: str) -> None:
    with pytest.raises(ValueError, match="topic"):
        Wire().sender.send(MqttPublication(topic, b""))
