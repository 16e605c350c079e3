"""The places of connections: a client with a valid token is never shut out by clients without one; pure.

Nothing distinguishes two clients of one address (behind a NAT or a proxy) until one of them presents a token. So every
connection is let in, and to make room the oldest connection without a token ends: a client that sends its request
right after it connects is served before its turn comes, however many others connect. A connection that has presented a
valid token counts for its user.
"""

from collections import OrderedDict
from collections.abc import Callable

GRACE_S = 0.25
"""How long a connection has to present a token: all that one step of the event loop accepts are read in the next."""
_MOST_WITHOUT_TOKEN, _SURPLUS = 2000, 2048
"""Connections without a token of all addresses together, and so many more during the grace: as many as the kernel holds
ready to be accepted."""
_SHARE = 4
"""A quarter of the files that the process may open for each of the two."""


class Place:
    """The place of one connection. source: its address; None for a trusted proxy, which has no limit of its own. end:
    closes the connection."""

    __slots__ = ("_places", "end", "entered_at", "has_left", "source", "user")

    def __init__(self, places: "Places", source: str | None, end: Callable[[], None], entered_at: float) -> None:
        self._places = places
        self.source = source
        self.end = end
        self.entered_at = entered_at
        self.user: str | None = None
        self.has_left = False

    def prove(self, user: str, *, lasting: bool = False) -> None:
        """The connection has presented a valid token of a user. lasting: it is a socket, which has its own limit."""
        self._places.prove(self, user, lasting=lasting)

    def doubt(self, now: float) -> None:
        """The connection has presented a token that is not valid."""
        self._places.doubt(self, now)

    def leave(self) -> None:
        """The connection has ended."""
        self._places.leave(self)


_Queue = OrderedDict[Place, None]


class Places:
    """Counts connections by address until they present a valid token, and by user from then on."""

    def __init__(self, most: int, files: int) -> None:
        """most: of an address, and of a user. files: how many the process may open."""
        self._most_of_all = min(_MOST_WITHOUT_TOKEN, files // _SHARE)
        self._surplus = min(_SURPLUS, files // _SHARE)
        self._most = most
        self._of_addresses: dict[str, _Queue] = {}
        self._of_users: dict[str, _Queue] = {}
        self._without_token: _Queue = OrderedDict()

    def enter(self, source: str | None, end: Callable[[], None], now: float) -> Place:
        """A new connection; older ones may end for it."""
        place = Place(self, source, end, now)
        self._wait(place)
        self.trim(source, now)
        return place

    def is_over(self, source: str | None) -> bool:
        """Whether there are more connections than may stay: `trim` is due when the grace is over."""
        return len(self._without_token) > self._most_of_all or self.count(source) > self._most

    def trim(self, source: str | None, now: float) -> None:
        """End the oldest connections without a token that are too many, once their grace is over."""
        if source is not None:
            self._trim(self._of_addresses.get(source), self._most, now)
        self._trim(self._without_token, self._most_of_all, now)

    def prove(self, place: Place, user: str, *, lasting: bool = False) -> None:
        """Count a connection for its user. If the user has too many, the one that has presented its token longest ago
        ends."""
        if place.has_left:
            return
        self._forget(place)
        place.user = user
        if lasting:
            return
        queue = self._of_users.setdefault(user, OrderedDict())
        queue[place] = None
        while len(queue) > self._most:
            self._end(next(iter(queue)))

    def doubt(self, place: Place, now: float) -> None:
        """Count a connection for its address again."""
        if place.has_left or place.user is None:
            return
        self._forget(place)
        place.user, place.entered_at = None, now
        self._wait(place)

    def leave(self, place: Place) -> None:
        """Count a connection out."""
        place.has_left = True
        self._forget(place)

    def count(self, source: str | None) -> int:
        """Connections without a token of an address."""
        return len(self._of_addresses.get(source, ())) if source is not None else 0

    def _wait(self, place: Place) -> None:
        if place.source is not None:
            self._of_addresses.setdefault(place.source, OrderedDict())[place] = None
        self._without_token[place] = None

    def _trim(self, queue: _Queue | None, most: int, now: float) -> None:
        while queue and len(queue) > most:
            oldest = next(iter(queue))
            if now - oldest.entered_at < GRACE_S and len(queue) <= most + self._surplus:
                return
            self._end(oldest)

    def _end(self, place: Place) -> None:
        self.leave(place)
        place.end()

    def _forget(self, place: Place) -> None:
        if place.user is not None:
            _remove(self._of_users, place.user, place)
            return
        self._without_token.pop(place, None)
        if place.source is not None:
            _remove(self._of_addresses, place.source, place)


def _remove(queues: dict[str, _Queue], key: str, place: Place) -> None:
    queue = queues.get(key)
    if queue is None:
        return
    queue.pop(place, None)
    if not queue:
        del queues[key]
