"""Whether a token's user still exists with the role and generation of the token: looked up every 2 s, kept while the
database is away."""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass

import structlog
from kaiser_common.bus.turns import TURN_WITHIN_S, turn_of
from kaiser_common.runtime.database import UNAVAILABLE

from kaiser_gateway.domain.tokens import Identity, TokenRefused
from kaiser_gateway.store.sessions import Sessions
from kaiser_gateway.store.users import Account, Users

log = structlog.get_logger()

_EVERY_S = 2.0
_FRESH_S = 5.0
_AT_ONCE_S = 1.0
_NOT_NOW: tuple[type[Exception], ...] = (TimeoutError, *UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a token is no longer valid: the close code of its sockets and a sentence."""

    code: int
    reason: str


_SIGNED_OUT = Ended(4001, "this session has ended: sign in again")


class Standings:
    """The generation of every user. Without a database the last that is known serves; before any, tokens are believed.

    A token from before generations (or made with our key elsewhere) carries none and is refused once users are known.
    """

    def __init__(self, users: Users, sessions: Sessions, waits_s: float = TURN_WITHIN_S) -> None:
        self._users = users
        self._sessions = sessions
        self._ended: Collection[str] = ()
        self._known: dict[str, Account] | None = None
        self._at = 0.0
        self._looked_for = 0
        self._reading = asyncio.Lock()
        self._waits_s = waits_s

    def ended(self, identity: Identity) -> Ended | None:
        """None while the token counts. A user of the OpenID Connect issuer is the issuer's to end, but a session of the
        console that was signed out of has ended here too."""
        if identity.external:
            return _SIGNED_OUT if identity.family and identity.family in self._ended else None
        if self._known is None:
            return None
        account = self._known.get(identity.user)
        if account is None:
            return Ended(4001, f"there is no longer a user {identity.user}")
        if identity.family in self._ended:
            return _SIGNED_OUT
        if account.generation == identity.generation:
            return None
        if account.role != identity.role:
            return Ended(4003, "the user's role has changed: sign in again")
        return Ended(4001, "the user's password or role has changed: sign in again")

    async def require_fresh(self, identity: Identity) -> None:
        """For administrators' routes: at most 5 s old. Raises TokenRefused, what a database that is away raises, or
        RpcError 503 where others have read for 3 s."""
        if not identity.external and time.monotonic() - self._at > _FRESH_S:
            async with turn_of(self._reading, "the users are being read", self._waits_s):
                await self._read()
        self.require(identity)

    async def require_current(self, identity: Identity) -> None:
        """Raises TokenRefused for a token that is no longer valid.

        A token of a later generation than all that are known is of a user who was made or changed since the last look,
        maybe at another gateway. Then the users are read at once: once for each generation, and for a second at most.
        """
        if self._is_later(identity):
            try:
                async with asyncio.timeout(_AT_ONCE_S), self._reading:
                    if self._is_later(identity):
                        await self._read()
                        self._looked_for = max(self._looked_for, identity.generation or 0)
            except _NOT_NOW as error:
                log.debug("users_not_read", error=str(error) or type(error).__name__)
        self.require(identity)

    def _is_later(self, identity: Identity) -> bool:
        if identity.external or identity.generation is None or self._known is None:
            return False
        known = max((each.generation for each in self._known.values()), default=0)
        return identity.generation > max(known, self._looked_for)

    def require(self, identity: Identity) -> None:
        """Raises TokenRefused for a token that is no longer valid."""
        ended = self.ended(identity)
        if ended is not None:
            raise TokenRefused(ended.reason)

    async def read(self) -> None:
        """Read the users and the sessions that ended. Raises what a database that is away raises.

        One at a time: the answer to a question asked before a change must not come in behind the one asked after it,
        or a user who was just made is refused.
        """
        async with self._reading:
            await self._read()

    async def _read(self) -> None:
        accounts, self._ended = await self._users.all(), await self._sessions.ended()
        self._known = {account.username: account for account in accounts}
        self._at = time.monotonic()

    async def follow(self) -> None:
        """Read every 2 s until cancelled."""
        while True:
            try:
                await self.read()
            except UNAVAILABLE as error:
                log.debug("users_not_read", error=str(error))
            await asyncio.sleep(_EVERY_S)
