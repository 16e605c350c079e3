"""Which addresses a channel may reach: public ones, and the networks that the administrator has listed.

Apprise and its plugins connect by several libraries, and follow redirects. Python's audit event `socket.connect` names
each address to which they connect, after the host name was resolved. Checking it there covers every answer of a name
server and every redirect. Only the threads of channels are checked. Python cannot remove an audit hook: it stays until
the process ends.
"""

import sys
import threading
from ipaddress import ip_address
from typing import Any

from kaiser_common.contract.addresses import Network, may_reach

_OF_PLUGINS = ("paho-mqtt", "apprise-")
"""The beginning of the names of threads that plugins start on their own."""
_EVENTS = frozenset({"socket.connect", "socket.sendto"})


class Unreachable(OSError):
    """A channel may not reach an address; libraries take it as a network that is not there."""


class Reach(threading.local):
    """threads: the beginning of the names of the threads that it holds for. refused: the address that this thread was
    kept from reaching; None: none since `begin`."""

    refused: str | None = None

    def __init__(self, threads: str) -> None:
        super().__init__()
        self.threads = threads

    def begin(self) -> None:
        """Forget what was refused."""
        self.refused = None


def guarded(networks: tuple[Network, ...]) -> Reach:
    """Keep the threads of channels from all that is not public and not in these networks; called once in a process for
    the same ones, since it stays."""
    reach = Reach(f"channel of {', '.join(map(str, networks)) or 'the internet'} ")
    names = (reach.threads, *_OF_PLUGINS)

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _EVENTS and threading.current_thread().name.startswith(names):
            where = arguments[1]
            if not _is_allowed(where, networks):
                reach.refused = str(where[0] if isinstance(where, tuple) else where)
                raise Unreachable(f"a channel may not reach {reach.refused}")

    sys.addaudithook(look)
    return reach


def _is_allowed(where: Any, networks: tuple[Network, ...]) -> bool:
    """where: (address, port, …) of a socket of IP; anything else, such as a local socket's path, is refused."""
    if not isinstance(where, tuple) or not where:
        return False
    try:
        address = ip_address(str(where[0]).partition("%")[0])
    except ValueError:
        return False
    return may_reach(address, networks)
