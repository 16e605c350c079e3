"""Ports for the servers that tests start.

Each of up to seven pytest workers has its own range and goes through it in a circle, so no worker takes a port that
another is about to use, or one that a server killed a moment ago will need again.
"""

import os
import random
import socket
from functools import cache

_FIRST, _LAST = 15_000, 32_000
"""Below the range from which systems take ports for outgoing connections."""
_RANGES = 8
_SIZE = (_LAST - _FIRST) // _RANGES


class OwnPorts:
    """The range of one worker; begins anywhere in it, as two runs of pytest may be under way on a machine."""

    def __init__(self, worker: str) -> None:
        number = int(worker.removeprefix("gw")) % (_RANGES - 1) if worker else _RANGES - 1
        self._first = _FIRST + number * _SIZE
        self._next = random.randrange(_SIZE)

    def take(self, room: int = 1) -> int:
        """The first of `room` ports in a row that nobody listens on."""
        for _ in range(_SIZE):
            at = self._next
            self._next = at + room if at + room < _SIZE else 0
            ports = range(self._first + at, self._first + at + room)
            if at + room <= _SIZE and all(map(_is_free, ports)):
                return ports[0]
        raise AssertionError(f"{room} ports in a row are not free from {self._first} to {self._first + _SIZE}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@cache
def own_ports() -> OwnPorts:
    """Those of this worker."""
    return OwnPorts(os.environ.get("PYTEST_XDIST_WORKER", ""))
