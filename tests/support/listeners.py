"""Many devices that listen for stops, fifty per connection, in one event loop; each notes when it receives one.

With one connection per device, the test would measure this event loop instead of Kaiser: reading a thousand sockets
takes it 0.1 s for one broadcast.
"""

import asyncio
import struct
import time
from collections.abc import Sequence

_PUBLISH, _SUBACK = 0x30, 0x90
_TO_A_CONNECTION = 50
_BROADCAST = "kaiser/broadcast/emergency"


class Listener(asyncio.Protocol):
    """A connection of MQTT 3.1.1 with the subscriptions of its devices at QoS 1.

    own_at: when (s, monotonic) each device first heard its own emergency since `forget`; all_at: when all heard the
    broadcast. 0 before.
    """

    def __init__(self, esp_ids: Sequence[str]) -> None:
        self._esp_ids = esp_ids
        self.forget()
        self.subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = b""
        self._transport: asyncio.WriteTransport

    def forget(self) -> None:
        """Note anew."""
        self.own_at = dict.fromkeys(self._esp_ids, 0.0)
        self.all_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        hello = b"\x00\x04MQTT\x04\x02\x00\x3c" + _text(f"devices-{next(iter(self.own_at))}")
        own = [f"kaiser/god/esp/{esp_id}/actuator/emergency" for esp_id in self.own_at]
        filters = b"".join(_text(each) + b"\x01" for each in (*own, _BROADCAST))
        transport.write(_packet(0x10, hello) + _packet(0x82, b"\x00\x01" + filters))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        data, at = self._left + data, 0
        answers = b""
        while (body := _body(data, at)) is not None:
            kind, (start, end) = data[at] & 0xF0, body
            if kind == _PUBLISH:
                answers += self._heard(data[at], data[start:end], now)
            elif kind == _SUBACK and not self.subscribed.done():
                self.subscribed.set_result(None)
            at = end
        self._left = data[at:]
        if answers:
            self._transport.write(answers)

    def _heard(self, first: int, body: bytes, now: float) -> bytes:
        """Note a message; its PUBACK."""
        length = struct.unpack(">H", body[:2])[0]
        topic = body[2 : 2 + length].decode()
        esp_id = topic.split("/")[3] if topic != _BROADCAST else ""
        if not esp_id:
            self.all_at = self.all_at or now
        else:
            self.own_at[esp_id] = self.own_at[esp_id] or now
        return b"\x40\x02" + body[2 + length : 4 + length] if first & 6 else b""

    def close(self) -> None:
        """End the connection."""
        self._transport.abort()


async def listen(host: str, port: int, esp_ids: Sequence[str]) -> list[Listener]:
    """Connect every device and wait until it is subscribed."""
    loop = asyncio.get_running_loop()
    found: list[Listener] = []
    for start in range(0, len(esp_ids), _TO_A_CONNECTION):
        part = esp_ids[start : start + _TO_A_CONNECTION]
        _, listener = await loop.create_connection(lambda part=part: Listener(part), host, port)  # type: ignore[misc]
        await asyncio.wait_for(listener.subscribed, 60)
        found.append(listener)
    return found


def _text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def _packet(first: int, body: bytes) -> bytes:
    size, length = len(body), b""
    while True:
        size, digit = size >> 7, size & 0x7F
        length += bytes([digit | (0x80 if size else 0)])
        if not size:
            return bytes([first]) + length + body


def _body(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the body of the packet at `at` begins and ends; None while it is not whole."""
    length = shift = 0
    for place in range(at + 1, len(data)):
        length |= (data[place] & 0x7F) << shift
        shift += 7
        if data[place] < 0x80:
            return (place + 1, place + 1 + length) if place + 1 + length <= len(data) else None
    return None
