"""Authentication of a request: its Bearer token, the role, and the rate limit."""

import math
import sys
import time
from dataclasses import dataclass, field
from typing import Annotated, Any

import structlog
from fastapi import Depends, HTTPException, Request
from fastapi.security import OAuth2PasswordBearer
from kaiser_common.bus.rpc import Caller
from kaiser_common.contract.rpc import Role

from kaiser_gateway.domain import oidc
from kaiser_gateway.domain.limits import Limiter
from kaiser_gateway.domain.tokens import ISSUER, Identity, NotAllowed, Signer, TokenRefused
from kaiser_gateway.http.issuer import Issuer, IssuerUnreachable
from kaiser_gateway.http.problems import PASSWORD
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store.standing import Standings

log = structlog.get_logger()

_SAY_EVERY_S = 60.0
_SHORTEST_KEY = 32

_BEARER = OAuth2PasswordBearer("/api/v1/auth/token", scheme_name=PASSWORD, auto_error=False)


@dataclass(frozen=True, slots=True)
class Guard:
    """Checks tokens and limits how often each user may ask."""

    signer: Signer
    limiter: Limiter
    issuer: Issuer | None = None
    standings: Standings | None = None
    _lines: Limiter = field(default_factory=lambda: Limiter(1 / _SAY_EVERY_S, 1, keys=1))

    async def aclose(self) -> None:
        """End what is under way beside the requests."""
        if self.issuer is not None:
            await self.issuer.aclose()

    async def verify(self, token: str) -> Identity:
        """The user of an access token. Raises TokenRefused, NotAllowed or IssuerUnreachable.

        The issuer that it names decides which key must verify it: ours (HS256), or the issuer's (RSA, EC, EdDSA).
        """
        if not token:
            raise TokenRefused("a token is missing")
        issuer = oidc.issuer_of(token)
        if self.issuer is not None and self.issuer.terms.is_issuer(issuer):
            return await self.issuer.verify(token)
        if issuer not in ("", ISSUER):
            self._say_foreign(issuer)
            raise TokenRefused(f"tokens of the issuer {issuer[:200]!r} are not accepted here")
        identity = self.signer.read(token, "access", time.time())
        if self.standings is not None:
            await self.standings.require_current(identity)
        return identity

    def _say_foreign(self, issuer: str) -> None:
        """One line a minute, however many tokens come."""
        if self._lines.wait_s("foreign", time.monotonic()) == 0:
            configured = self.issuer.terms.issuer if self.issuer is not None else ""
            log.warning("token_of_another_issuer", issuer=issuer[:200], configured=configured, set="KAISER_OIDC_ISSUER")

    def knows(self) -> Any:
        """A dependency that gives the Identity of a request, None without a valid token: for what everybody may ask."""

        async def identity(
            token: Annotated[str | None, Depends(_BEARER)],
        ) -> Identity | None:
            try:
                return await self.verify(token or "")
            except (TokenRefused, NotAllowed, IssuerUnreachable):
                return None

        return Depends(identity)

    def needs(self, role: Role, *, limited: bool = True) -> Any:
        """A dependency that gives the Caller of a request and demands a role: 401, 403 or 429 otherwise.

        Not limited: for what must never wait, an emergency stop.
        """

        async def caller(request: Request, token: Annotated[str | None, Depends(_BEARER)]) -> Caller:
            try:
                identity = await self.verify(token or "")
                if role == "admin" and self.standings is not None:
                    await self.standings.require_fresh(identity)
            except TokenRefused as error:
                raise HTTPException(401, str(error), {"WWW-Authenticate": "Bearer"}) from error
            except NotAllowed as error:
                raise HTTPException(403, str(error)) from error
            except IssuerUnreachable as error:
                raise HTTPException(503, str(error), {"Retry-After": "5"}) from error
            wait_s = self.limiter.wait_s(f"{identity.external} {identity.user}", time.monotonic())
            if limited and wait_s > 0:
                raise too_many(wait_s)
            if not identity.may(role):
                raise HTTPException(403, f"this requires the role {role}; {identity.user} has the role {identity.role}")
            address = request.client.host if request.client else ""
            return Caller(user=identity.user, role=identity.role, request_id=request.state.request_id, address=address)

        return Depends(caller)


def guard_of(settings: GatewaySettings, key: str, standings: Standings) -> Guard:
    """The guard of the API. key: signs the gateway's own tokens."""
    terms = settings.oidc_terms()
    return Guard(
        Signer(key),
        Limiter(settings.request_per_second, settings.request_per_second * 2),
        Issuer(terms) if terms else None,
        standings,
    )


def signing_key(settings: GatewaySettings) -> str:
    """The key that signs tokens. Without one, or with an issuer but no audience, the process ends with status 2."""
    key = settings.signing_key()
    if len(key) < _SHORTEST_KEY:
        log.error(
            "setting_missing", set="KAISER_TOKEN_SECRET or KAISER_TOKEN_SECRET_FILE", needs="32 characters or more"
        )
        sys.exit(2)
    if settings.oidc_issuer and not settings.oidc_audience:
        log.error("setting_missing", set="KAISER_OIDC_AUDIENCE", needs="the audience of the issuer's tokens")
        sys.exit(2)
    if settings.oidc_client_id and not settings.oidc_issuer:
        log.error("setting_missing", set="KAISER_OIDC_ISSUER", needs="the issuer of KAISER_OIDC_CLIENT_ID")
        sys.exit(2)
    return key


def too_many(wait_s: float, what: str = "requests") -> HTTPException:
    """429 that says of what there were too many, and when to come back. What waits behind it on its connection is not
    answered: a client that goes on has to connect again, and an address may do that so often."""
    seconds = math.ceil(wait_s)
    headers = {"Retry-After": str(seconds), "Connection": "close"}
    return HTTPException(429, f"too many {what}: try again in {seconds} s", headers)
