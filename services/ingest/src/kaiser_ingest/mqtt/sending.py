"""PUBLISH packets of ours on their way to the broker, and its PUBACKs.

paho spends 45 µs and a system call on each message that it publishes and on its PUBACK; this spends 6 µs, and all
packets of a turn of the loop are one write. A stop of everything has a thousand of them.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kaiser_ingest.mqtt.packets import publish_packet

MAX_OUTGOING = 500
"""Most messages of ours that wait for the broker's PUBACK, unless the broker allows fewer."""
_MOST_TOPIC_BYTES = 65_535


class ConnectionLost(Exception):
    """The connection ended before the answer came."""


@dataclass(frozen=True, slots=True)
class MqttPublication:
    """A message of ours for the broker."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    expiry_s: int | None = None
    """Seconds after which an MQTT 5 broker forgets what it could not deliver; MQTT 3.1.1 has no such thing."""


class MqttSender:
    """Sends messages in order. At most `window` of QoS 1 are unacknowledged, further ones wait here: as many as callers
    send without waiting for the answers."""

    def __init__(self, new_id: Callable[[], int], write: Callable[[bytes], None], *, mqtt5: bool) -> None:
        """new_id: a packet id of this connection, of which there are 65,535 in turn. write: sends bytes in order."""
        self._new_id = new_id
        self._write = write
        self._mqtt5 = mqtt5
        self._unacknowledged: dict[int, asyncio.Future[int]] = {}
        self._waiting: deque[tuple[MqttPublication, asyncio.Future[int]]] = deque()
        self._unwritten: list[bytes] = []
        self.window = MAX_OUTGOING

    @property
    def expects_answer(self) -> bool:
        """Whether the broker has a message of ours that it has not acknowledged."""
        return bool(self._unacknowledged)

    def send(self, message: MqttPublication) -> "asyncio.Future[int]":
        """Send a message; the future gives the PUBACK's reason code, of QoS 0 success. ValueError: a topic that no
        broker takes."""
        if not message.topic or "+" in message.topic or "#" in message.topic:
            raise ValueError(f"no topic to publish on: {message.topic[:128]!r}")
        if len(message.topic.encode()) > _MOST_TOPIC_BYTES:
            raise ValueError(f"the topic has over {_MOST_TOPIC_BYTES} bytes: {message.topic[:128]!r}")
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if message.qos and (self._waiting or len(self._unacknowledged) >= self.window):
            self._waiting.append((message, answer))
        else:
            self._put(message, answer)
        return answer

    def acknowledged(self, pubacks: Iterable[tuple[int, int]]) -> None:
        """Take PUBACKs, each a packet id and a reason code, and send what waited for their places."""
        for packet_id, code in pubacks:
            answer = self._unacknowledged.pop(packet_id, None)
            if answer is not None and not answer.done():
                answer.set_result(code)
        while self._waiting and len(self._unacknowledged) < self.window:
            message, answer = self._waiting.popleft()
            if not answer.done():  # nobody waits for it any more
                self._put(message, answer)

    def end(self, reason: str) -> None:
        """The connection has ended: no answer comes any more."""
        for answer in (*self._unacknowledged.values(), *(answer for _, answer in self._waiting)):
            if not answer.done():
                answer.set_exception(ConnectionLost(reason))
                answer.exception()  # seen by those that wait for it; the others do not care
        self._unacknowledged.clear()
        self._waiting.clear()
        self._unwritten.clear()

    def _put(self, message: MqttPublication, answer: "asyncio.Future[int]") -> None:
        packet_id = 0
        if message.qos:
            packet_id = self._new_id()
            while packet_id in self._unacknowledged:
                packet_id = self._new_id()
            self._unacknowledged[packet_id] = answer
        else:
            answer.set_result(0)
        packet = publish_packet(
            message.topic.encode(),
            message.payload,
            packet_id,
            message.qos,
            retain=message.retain,
            expiry_s=message.expiry_s,
            mqtt5=self._mqtt5,
        )
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unwritten.append(packet)

    def _flush(self) -> None:
        packets, self._unwritten = self._unwritten, []
        if packets:
            self._write(b"".join(packets))
