"""Sign-in, refresh and sign-out."""

import time
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.runtime.database import UNAVAILABLE, DatabasePool
from pydantic import BaseModel, ConfigDict, Field

from kaiser_gateway import metrics
from kaiser_gateway.api.sessions import client_of
from kaiser_gateway.api.token_answer import TokenAnswer, to_answer
from kaiser_gateway.domain.limits import Limiter, source_of
from kaiser_gateway.domain.signing_in import SignInLimits
from kaiser_gateway.domain.tokens import Identity, NotAllowed, Signer, TokenRefused
from kaiser_gateway.http.auth import too_many
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store.access_log import LogEntry, note_soon
from kaiser_gateway.store.families import Families, Link, Reused
from kaiser_gateway.store.passwords import Busy
from kaiser_gateway.store.users import Account, Users

_RENEWALS_A_MINUTE = 30
"""Of one sign-in, and so often its sign-out: each costs the database a transaction, and a refusal a row of the log."""


class RefreshRequest(BaseModel):
    """The refresh token of the last sign-in or refresh; each can be used once."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: str = Field(max_length=4096, examples=["eyJhbGciOi…"])


def router(users: Users, pool: DatabasePool, signer: Signer, settings: GatewaySettings) -> APIRouter:
    """POST /api/v1/auth/token, /api/v1/auth/refresh and /api/v1/auth/logout."""
    routes = APIRouter(prefix="/api/v1/auth", tags=["sign-in"])
    limits = SignInLimits(settings.login_per_minute, settings.login_per_address, settings.login_per_name, users.known)
    renewals = Limiter(_RENEWALS_A_MINUTE / 60, _RENEWALS_A_MINUTE)
    families = Families(pool)
    refresh_s = settings.refresh_days * 86_400

    def identity_of(refresh_token: str) -> Identity:
        try:
            identity = signer.read(refresh_token, "refresh", time.time())
        except (TokenRefused, NotAllowed) as error:
            raise HTTPException(401, str(error)) from error
        if not identity.family or "\0" in identity.user + identity.family + identity.token_id:
            raise HTTPException(401, "the refresh token is of an earlier version: sign in again")
        return identity

    @routes.post("/token")
    async def sign_in(
        request: Request,
        username: Annotated[str, Form(max_length=100, examples=["admin"])],
        password: Annotated[str, Form(max_length=1000, examples=["correct horse"])],
    ) -> TokenAnswer:
        """Sign in. 401 for a wrong name or password, 429 after too many failed tries, 503 without the database."""
        _require_ready(users)
        address = _address(request)
        source = source_of(address)
        account = await _account_of(users, limits, username, password, source)
        metrics.SIGN_INS.labels("ok" if account else "refused").inc()
        if account is None:
            await note_soon(pool, LogEntry(_text(username), "sign_in_refused", _text(username), address))
            raise RpcError(401, Code.LOGIN_REFUSED, "wrong name or password")
        limits.was_right(username, source, time.monotonic())
        link = await families.begin(account, refresh_s, client_of(request))
        await note_soon(pool, LogEntry(account.username, "sign_in", account.username, address, f"role {account.role}"))
        return to_answer(account, link, signer, settings)

    @routes.post("/refresh")
    async def refresh_sign_in(request: Request, body: RefreshRequest) -> TokenAnswer:
        """A new pair of tokens, with the role that the user has now. A refresh token used a second time gets 401
        and ends its sign-in, because one of its two users stole it. 429 after 30 in a minute."""
        _require_ready(users)
        identity = identity_of(body.refresh_token)
        _count(renewals, "renewal", identity)
        try:
            link, account = await families.rotate(Link(identity.family, identity.token_id), identity.user, refresh_s)
        except Reused as error:
            await note_soon(pool, LogEntry(identity.user, "refresh_refused", identity.user, _address(request)))
            raise HTTPException(401, str(error)) from error
        return to_answer(account, link, signer, settings)

    @routes.post("/logout", status_code=204)
    async def sign_out(request: Request, body: RefreshRequest) -> None:
        """Sign out: every token of this sign-in ends, access tokens within 2 s."""
        _require_ready(users)
        identity = identity_of(body.refresh_token)
        _count(renewals, "sign-out", identity)
        await families.end(Link(identity.family, identity.token_id))
        await note_soon(pool, LogEntry(identity.user, "sign_out", identity.user, _address(request)))

    return routes


async def _account_of(users: Users, limits: SignInLimits, username: str, password: str, source: str) -> Account | None:
    """The user, None for a wrong name or password. 429: too many tries; one that is not checked counts for nothing."""
    wait_s = limits.wait_s(username, source, time.monotonic())
    if wait_s > 0:
        metrics.SIGN_INS.labels("limited").inc()
        raise too_many(wait_s, "failed sign-ins")
    if "\0" in username:
        return None
    try:
        return await users.sign_in(username, password, source)
    except UNAVAILABLE:
        limits.was_not_checked(username, source)
        raise
    except Busy as error:
        limits.was_not_checked(username, source)
        metrics.SIGN_INS.labels("limited").inc()
        raise too_many(1.0, "sign-ins at the same time") from error


def _count(limiter: Limiter, what: str, identity: Identity) -> None:
    """Count a renewal or a sign-out of a sign-in; neither holds up the other. 429: there were too many."""
    wait_s = limiter.wait_s(f"{what} {identity.family}", time.monotonic())
    if wait_s > 0:
        metrics.SIGN_INS.labels("limited").inc()
        raise too_many(wait_s, f"{what}s of this sign-in")


def _require_ready(users: Users) -> None:
    if not users.ready:
        raise HTTPException(
            503, "sign-in needs the database, which is not available: try again later", {"Retry-After": "5"}
        )


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _text(username: str) -> str:
    return username.replace("\0", "")[:100]
