"""Ports for the servers that tests start.

Each test process has a range of its own, whatever runs of pytest are under way on a machine, and goes through it in a
circle. So no process takes a port that another is about to use, or one that a server killed a moment ago will need
again. A process holds its range by listening on the range's first port; however it ends, the range is free again.
"""

import random
import socket
from functools import cache

_FIRST, _LAST = 15_000, 32_000
"""Below the range from which systems take ports for outgoing connections."""
_RANGES = 32
"""More than test processes at once: a run has six workers. Beyond that, a process shares a range of another."""
_SIZE = (_LAST - _FIRST) // _RANGES


class OwnPorts:
    """The range of one process, begun anywhere in it: a process that ended may have left servers."""

    def __init__(self) -> None:
        starts = range(_FIRST, _FIRST + _RANGES * _SIZE, _SIZE)
        found = next(((held, at) for at in starts if (held := _listen(at))), None)
        held, at = found or (None, random.choice(starts))
        self._held = held
        self._first, self._room = at + 1, _SIZE - 1
        self._next = random.randrange(self._room)

    def take(self, room: int = 1) -> int:
        """The first of `room` ports in a row that nobody listens on."""
        for _ in range(self._room):
            at = self._next
            self._next = at + room if at + room < self._room else 0
            ports = range(self._first + at, self._first + at + room)
            if at + room <= self._room and all(map(_is_free, ports)):
                return ports[0]
        raise AssertionError(f"{room} ports in a row are not free from {self._first} to {self._first + self._room}")


def _listen(port: int) -> socket.socket | None:
    """A socket that listens on a port, unless another does."""
    held = socket.socket()
    try:
        # A connection that a server of an earlier process left in TIME_WAIT does not matter.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
        held.listen(1)
    except OSError:
        held.close()
        return None
    return held


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
    """Those of this process."""
    return OwnPorts()
