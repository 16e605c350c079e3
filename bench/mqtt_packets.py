"""The few MQTT 3.1.1 packets that a device needs to publish at QoS 1, as bytes; pure."""

import struct

PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"
MAX_PACKET_ID = 65_535

_CONNACK = 0x20
_PUBACK = 0x40
_DUP = 0x08


class Refused(Exception):
    """The broker did not accept the CONNECT."""


def connect(client_id: str, *, keepalive_s: int = 60, clean: bool = True) -> bytes:
    """A CONNECT."""
    body = _text("MQTT") + bytes([4, 2 if clean else 0]) + struct.pack(">H", keepalive_s) + _text(client_id)
    return b"\x10" + _length(len(body)) + body


def publish(topic: str, payload: bytes, packet_id: int) -> bytes:
    """A PUBLISH at QoS 1."""
    body = _text(topic) + struct.pack(">H", packet_id) + payload
    return b"\x32" + _length(len(body)) + body


def again(packet: bytes) -> bytes:
    """The same PUBLISH marked as sent before."""
    return bytes([packet[0] | _DUP]) + packet[1:]


class Acknowledgements:
    """Takes apart what a broker sends to a client that subscribes to nothing."""

    def __init__(self) -> None:
        self._rest = b""
        self.accepted = False

    def feed(self, data: bytes) -> list[int]:
        """The packet ids acknowledged by these bytes. Raises Refused."""
        buffer = self._rest + data
        position = 0
        packet_ids = []
        while len(buffer) - position >= 2:
            stop = position + 2 + buffer[position + 1]  # none of these packets is longer than 127 bytes
            if stop > len(buffer):
                break
            kind = buffer[position] & 0xF0
            if kind == _PUBACK:
                packet_ids.append((buffer[position + 2] << 8) | buffer[position + 3])
            elif kind == _CONNACK:
                if buffer[position + 3]:
                    raise Refused(f"CONNACK with return code {buffer[position + 3]}")
                self.accepted = True
            position = stop
        self._rest = buffer[position:]
        return packet_ids


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _length(number: int) -> bytes:
    """A variable byte integer."""
    encoded = bytearray()
    while True:
        number, low = divmod(number, 128)
        encoded.append(low | 128 if number else low)
        if not number:
            return bytes(encoded)
