"""Limits of attempts to sign in; the time is an argument."""

from collections import OrderedDict
from collections.abc import Iterable

from kaiser_gateway.domain.limits import Limiter

MOST_KNOWN = 10_000

Place = tuple[str, str]
"""A user's name, and an address as it is counted (`limits.source_of`)."""


class KnownPlaces:
    """Users with the addresses at which they have signed in: at most 10,000 pairs, of which the one that was used
    longest ago makes room."""

    def __init__(self) -> None:
        self._places: OrderedDict[Place, None] = OrderedDict()

    def __contains__(self, place: Place) -> bool:
        return place in self._places

    def add(self, place: Place) -> None:
        """The user has just signed in there."""
        self._places[place] = None
        self._places.move_to_end(place)
        if len(self._places) > MOST_KNOWN:
            self._places.popitem(last=False)

    def add_earlier(self, places: Iterable[Place]) -> None:
        """Places of earlier sign-ins, the newest first; as many as there is room for."""
        for place in places:
            if place not in self._places and len(self._places) < MOST_KNOWN:
                self._places[place] = None
                self._places.move_to_end(place, last=False)


class SignInLimits:
    """Three limits of failed tries a minute: for a name from an address, for an address, for a name.

    The last two are not asked for a name from an address where it is known: neither a spray from the same address nor
    guesses from elsewhere hold up a user who signed in there before. A name also has as many right tries a minute as
    the last limit says, because each takes time of two threads and a row of the log.
    """

    def __init__(self, pair: int, address: int, name: int, known: KnownPlaces) -> None:
        self._pair = Limiter(pair / 60, pair)
        self._address = Limiter(address / 60, address)
        self._name = Limiter(name / 60, name)
        self._right = Limiter(name / 60, name)
        self._known = known

    def wait_s(self, username: str, address: str, now: float) -> float:
        """0 when a try is allowed (and counted), else the time until one will be. A try that one limit refuses counts
        for none."""
        counted = self._counted(username, address)
        wait_s = max(limiter.left_s(key, now) for limiter, key in (*counted, (self._right, username)))
        if wait_s > 0:
            return wait_s
        for limiter, key in counted:
            limiter.wait_s(key, now)
        return 0.0

    def was_not_checked(self, username: str, address: str) -> None:
        """The try that was counted last is given back: its password was not looked at."""
        for limiter, key in self._counted(username, address):
            limiter.give_back(key)

    def was_right(self, username: str, address: str, now: float) -> None:
        """The try that was counted last was right: it is given back, and the name is known there from now on."""
        self._right.wait_s(username, now)
        self.was_not_checked(username, address)
        self._known.add((username, address))

    def _counted(self, username: str, address: str) -> list[tuple[Limiter, str]]:
        """The limits that count a try, each with its key."""
        pair = (self._pair, f"{address} {username}")
        if (username, address) in self._known:
            return [pair]
        return [pair, (self._address, address), (self._name, username)]


class ExternalLimits:
    """Limits of sign-ins at the issuer: failed ones a minute from an address, and renewals and sign-outs a minute of a
    sign-in.

    A try is counted before it is made and given back once it is right, so a factory behind one address signs in as one
    person does. A name has only so many right tries a minute that are given back: each costs the issuer a request and
    the database a row of the log.
    """

    def __init__(self, address: int, name: int) -> None:
        self._tries = Limiter(address / 60, address)
        self._right = Limiter(name / 60, name)

    def wait_s(self, who: str, now: float) -> float:
        """0 when a try is allowed (and counted), else the time until one will be. who: an address, or a sign-in."""
        return self._tries.wait_s(who, now)

    def was_begun(self, address: str) -> None:
        """A sign-in that was only begun does not count as a try."""
        self._tries.give_back(address)

    def was_right(self, username: str, address: str, now: float) -> None:
        """The try that was counted last was right."""
        if self._right.wait_s(username, now) == 0:
            self._tries.give_back(address)
