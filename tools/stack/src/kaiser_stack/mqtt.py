"""Checks that an MQTT broker answers, with an MQTT 3.1.1 CONNECT."""

import secrets
import socket

from kaiser_stack.errors import NotReadyError
from kaiser_stack.logins import Login

_CONNACK = 0x20
_DISCONNECT = b"\xe0\x00"


def probe(host: str, port: int, login: Login | None = None) -> None:
    """NotReadyError until the broker answers a CONNECT, with a refusal if it wants another login."""
    try:
        with socket.create_connection((host, port), timeout=1.0) as connection:
            connection.settimeout(2.0)
            connection.sendall(_connect(f"kaiser-probe-{secrets.token_hex(4)}", login))
            answer = connection.recv(4)
            connection.sendall(_DISCONNECT)
    except OSError as error:
        raise NotReadyError(f"MQTT broker at {host}:{port}: {error}") from error
    if not answer or answer[0] != _CONNACK:
        raise NotReadyError(f"MQTT broker at {host}:{port} answered {answer!r} to a CONNECT")


def _connect(client_id: str, login: Login | None) -> bytes:
    texts = [client_id, *((login.user, login.password) if login else ())]
    flags = 0xC2 if login else 0x02  # a clean session; user and password
    body = b"\x00\x04MQTT\x04" + bytes([flags]) + b"\x00\x0a"
    body += b"".join(len(text.encode()).to_bytes(2) + text.encode() for text in texts)
    return bytes([0x10, len(body)]) + body  # under 128 bytes, with the passwords that a stack makes
