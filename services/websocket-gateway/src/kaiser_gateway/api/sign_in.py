"""Sign-in: a password or a refresh token for an access token."""

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Form, HTTPException, Request
from pydantic import BaseModel, Field

from kaiser_gateway import metrics
from kaiser_gateway.auth import too_many
from kaiser_gateway.limits import Limiter
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.tokens import NotAllowed, Role, Signer, TokenRefused
from kaiser_gateway.users import Users


class TokenAnswer(BaseModel):
    """An access token for the Authorization header, a refresh token for a new one. expires_in in s."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int
    role: Role


class RefreshRequest(BaseModel):
    """The refresh token of the last sign-in."""

    refresh_token: str = Field(max_length=4096, examples=["eyJhbGciOi…"])


def router(users: Users, signer: Signer, settings: GatewaySettings) -> APIRouter:
    """POST /api/v1/auth/token and /api/v1/auth/refresh."""
    routes = APIRouter(prefix="/api/v1/auth", tags=["sign-in"])
    limiter = Limiter(settings.login_per_minute / 60, settings.login_per_minute)

    def tokens(user: str, role: Role) -> TokenAnswer:
        now = time.time()
        return TokenAnswer(
            access_token=signer.sign(user, role, "access", now, settings.token_minutes * 60),
            refresh_token=signer.sign(user, role, "refresh", now, settings.refresh_days * 86_400),
            expires_in=settings.token_minutes * 60,
            role=role,
        )

    @routes.post("/token")
    async def token(
        request: Request,
        username: Annotated[str, Form(max_length=100, examples=["admin"])],
        password: Annotated[str, Form(max_length=1000, examples=["correct horse"])],
    ) -> TokenAnswer:
        """Sign in. 401 for a wrong name or password, 429 after too many failed attempts."""
        who = f"{username} {request.client.host if request.client else ''}"
        wait_s = limiter.wait_s(who, time.monotonic())
        if wait_s > 0:
            metrics.SIGN_INS.labels("limited").inc()
            raise too_many(wait_s)
        role = await users.role_of(username, password) if "\0" not in username else None
        metrics.SIGN_INS.labels("ok" if role else "refused").inc()
        if role is None:
            raise HTTPException(401, "wrong name or password", {"WWW-Authenticate": "Bearer"})
        limiter.give_back(who)
        return tokens(username, role)

    @routes.post("/refresh")
    async def refresh(body: RefreshRequest) -> TokenAnswer:
        """A new pair of tokens, with the role that the user has now. 401 for any other token, or one that is over."""
        try:
            identity = signer.read(body.refresh_token, "refresh", time.time())
        except (TokenRefused, NotAllowed) as error:
            raise HTTPException(401, str(error)) from error
        role = await users.current_role(identity.user)
        if role is None:
            raise HTTPException(401, f"there is no user {identity.user}")
        return tokens(identity.user, role)

    return routes
