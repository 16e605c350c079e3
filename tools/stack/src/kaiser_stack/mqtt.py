"""Checks that an MQTT broker answers, with an MQTT 3.1.1 CONNECT."""

import secrets
import socket

from kaiser_stack.errors import NotReadyError

_CONNACK = 0x20
_DISCONNECT = b"\xe0\x00"


def probe(host: str, port: int) -> None:
    """NotReadyError until the broker answers a CONNECT, be it with a refusal."""
    try:
        with socket.create_connection((host, port), timeout=1.0) as connection:
            connection.settimeout(2.0)
            connection.sendall(_connect(f"kaiser-probe-{secrets.token_hex(4)}"))
            answer = connection.recv(4)
            connection.sendall(_DISCONNECT)
    except OSError as error:
        raise NotReadyError(f"MQTT broker at {host}:{port}: {error}") from error
    if not answer or answer[0] != _CONNACK:
        raise NotReadyError(f"MQTT broker at {host}:{port} answered {answer!r} to a CONNECT")


def _connect(client_id: str) -> bytes:
    identity = client_id.encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x0a" + len(identity).to_bytes(2) + identity
    return bytes([0x10, len(body)]) + body
