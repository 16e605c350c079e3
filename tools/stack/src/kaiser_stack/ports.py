"""Finds free ports on this machine."""

import random
import socket
from collections.abc import Mapping

from kaiser_stack.errors import SetupError

LOOPBACK = "127.0.0.1"

_RANGE = (15_000, 32_000)
_TRIES = 200


def free_port() -> int:
    """A port that is free at this moment.

    It lies below the range from which systems take ports for outgoing connections, one of which could have it a moment
    later.
    """
    for _ in range(_TRIES):
        port = random.randint(*_RANGE)
        if is_free(port):
            return port
    raise SetupError(f"no free port between {_RANGE[0]} and {_RANGE[1]}: set the ports that you want")


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def require_free(wanted: Mapping[str, int]) -> None:
    """SetupError with a line for each port of `wanted` that is taken, naming the setting that moves it."""
    lines = [
        f"port {port} ({setting}) is in use by another program: stop it, or set {setting} to a free port, "
        f"such as {setting}={free_port()}"
        for setting, port in wanted.items()
        if not is_free(port)
    ]
    if lines:
        raise SetupError("\n".join(lines))


def next_free(first: int, taken: set[int]) -> int:
    """The first free port from `first` on that is not in `taken`."""
    port = first
    while port in taken or not is_free(port):
        port += 1
        if port > 65535:
            raise SetupError(f"no free port from {first} on: set KAISER_HTTP_PORT to a lower port")
    return port
