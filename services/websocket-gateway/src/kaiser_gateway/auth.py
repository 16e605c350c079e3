"""Who calls: the Bearer token of a request, its role, and how often it may ask."""

import hashlib
import math
import time
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from kaiser_common.rpc import Caller

from kaiser_gateway import oidc
from kaiser_gateway.issuer import Issuer, IssuerUnreachable
from kaiser_gateway.limits import Limiter
from kaiser_gateway.tokens import Identity, NotAllowed, Role, Signer, TokenRefused

_BEARER = HTTPBearer(auto_error=False, description="The access_token of POST /api/v1/auth/token")


@dataclass(frozen=True, slots=True)
class Guard:
    """Checks tokens and limits how often each may be used."""

    signer: Signer
    limiter: Limiter
    issuer: Issuer | None = None

    async def verify(self, token: str) -> Identity:
        """Who an access token speaks for. Raises TokenRefused, NotAllowed or IssuerUnreachable.

        Who says to have made it decides which key must verify it: ours (HS256), or the issuer's (RSA, EC, EdDSA).
        """
        if not token:
            raise TokenRefused("a token is missing")
        if self.issuer is not None and oidc.issuer_of(token) == self.issuer.terms.issuer:
            return await self.issuer.verify(token)
        return self.signer.read(token, "access", time.time())

    def knows(self) -> Any:
        """A dependency that gives the Identity of a request, None without a valid token: for what everybody may ask."""

        async def identity(
            credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
        ) -> Identity | None:
            try:
                return await self.verify(credentials.credentials if credentials else "")
            except (TokenRefused, NotAllowed, IssuerUnreachable):
                return None

        return Depends(identity)

    def needs(self, role: Role, *, limited: bool = True) -> Any:
        """A dependency that gives the Caller of a request and demands a role: 401, 403 or 429 otherwise.

        Not limited: for what must never wait, an emergency stop.
        """

        async def caller(
            request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
        ) -> Caller:
            try:
                identity = await self.verify(credentials.credentials if credentials else "")
            except TokenRefused as error:
                raise HTTPException(401, str(error), {"WWW-Authenticate": "Bearer"}) from error
            except NotAllowed as error:
                raise HTTPException(403, str(error)) from error
            except IssuerUnreachable as error:
                raise HTTPException(503, str(error), {"Retry-After": "5"}) from error
            wait_s = self.limiter.wait_s(_name_of(credentials), time.monotonic())
            if limited and wait_s > 0:
                raise too_many(wait_s)
            if not identity.may(role):
                raise HTTPException(403, f"this needs the role {role}, {identity.user} is {identity.role}")
            return Caller(user=identity.user, role=identity.role, request_id=request.state.request_id)

        return Depends(caller)


def _name_of(credentials: HTTPAuthorizationCredentials | None) -> str:
    """A name for a token that tells nothing of it."""
    token = credentials.credentials if credentials else ""
    return hashlib.blake2b(token.encode(), digest_size=16).hexdigest()


def too_many(wait_s: float) -> HTTPException:
    """429 that says when to come back."""
    return HTTPException(429, "too many requests", {"Retry-After": str(math.ceil(wait_s))})
