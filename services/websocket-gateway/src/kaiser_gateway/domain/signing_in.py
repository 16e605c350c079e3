"""Limits of attempts to sign in; the time is an argument."""

from collections import OrderedDict

from kaiser_gateway.domain.limits import Limiter

_MOST_KNOWN = 10_000


class SignInLimits:
    """Three limits of failed tries a minute: for a name from an address, for an address, for a name.

    The last two are not asked for a name from an address where it has signed in since the gateway's start: neither a
    spray from the same address nor guesses from elsewhere hold up a user who signed in there before. A name also has as
    many right tries a minute as the last limit says, because each takes time of two threads and a row of the log.
    """

    def __init__(self, pair: int, address: int, name: int) -> None:
        self._pair = Limiter(pair / 60, pair)
        self._address = Limiter(address / 60, address)
        self._name = Limiter(name / 60, name)
        self._right = Limiter(name / 60, name)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def wait_s(self, username: str, address: str, now: float) -> float:
        """0 when a try is allowed (and counted), else the time until one will be."""
        if (wait_s := self._right.left_s(username, now)) > 0:
            return wait_s
        wait_s = self._pair.wait_s(f"{address} {username}", now)
        if wait_s > 0 or (username, address) in self._known:
            return wait_s
        wait_s = self._address.wait_s(address, now)
        return wait_s if wait_s > 0 else self._name.wait_s(username, now)

    def was_right(self, username: str, address: str, now: float) -> None:
        """The try that was counted last was right: it is given back, and the name is known there from now on."""
        self._right.wait_s(username, now)
        self._pair.give_back(f"{address} {username}")
        if (username, address) not in self._known:
            self._address.give_back(address)
            self._name.give_back(username)
        self._known[username, address] = None
        self._known.move_to_end((username, address))
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)


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
