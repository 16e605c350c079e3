"""Sign-in at an OpenID Connect issuer, for the console: the gateway redeems the code and gives tokens of its own."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, HTTPException, Request
from kaiser_common.bus.rpc import RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.runtime.database import DatabasePool
from pydantic import BaseModel, ConfigDict, Field

from kaiser_gateway import metrics
from kaiser_gateway.api.token_answer import TokenAnswer
from kaiser_gateway.domain import oidc_flow
from kaiser_gateway.domain.limits import source_of
from kaiser_gateway.domain.oidc_flow import MOST_SEALED, ExternalSession, Seals
from kaiser_gateway.domain.signing_in import ExternalLimits
from kaiser_gateway.domain.tokens import NotAllowed, Signer, TokenRefused
from kaiser_gateway.http.auth import Guard, too_many
from kaiser_gateway.http.issuer import IssuerUnreachable
from kaiser_gateway.http.oidc_client import IssuerGrant, OidcClient
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store.access_log import AT_THE_ISSUER, LogEntry, note_soon
from kaiser_gateway.store.sessions import Sessions

_NOT_SET_UP = "sign-in at an issuer is not set up: set KAISER_OIDC_ISSUER and KAISER_OIDC_CLIENT_ID"
_LONGEST_HINT = 4000
"""An ID token that is longer, as some with many groups are, is not kept: signing out then names the client alone."""
_SEALED = Field(max_length=MOST_SEALED, examples=["gAAAAAB…"])
_PAGE = Field(max_length=300, pattern=r"^https?://[^\s?#]+/$", examples=["https://kaiser.example.org/"])


class BeginSignIn(BaseModel):
    """redirect_uri: the console's page, to which the issuer leads back; the issuer must know it."""

    model_config = ConfigDict(extra="forbid")

    redirect_uri: str = _PAGE


class SignInBegun(BaseModel):
    """url: the issuer's page; flow: sealed, to be given back with the issuer's answer within ten minutes."""

    url: str
    flow: str


class FinishSignIn(BaseModel):
    """The parameters that the issuer added to the address of the console's page, and the flow from the begin."""

    model_config = ConfigDict(extra="forbid")

    flow: str = _SEALED
    state: str = Field(max_length=200, examples=["mJ0x…"])
    code: str = Field(min_length=1, max_length=4096, examples=["SplxlOBeZQQYbYS6WxSbIA"])
    iss: str | None = Field(default=None, max_length=2000, examples=["https://id.example.org"])


class RefreshExternal(BaseModel):
    """The refresh token of the last answer."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: str = _SEALED


class EndExternal(BaseModel):
    """redirect_uri: where the issuer leads after the sign-out there."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: str = _SEALED
    redirect_uri: str = _PAGE


class ExternalTokens(TokenAnswer):
    """The tokens of a user of the issuer."""

    username: str


class SignedOut(BaseModel):
    """url: the issuer's page that ends the sign-in there too; null where it has none."""

    url: str | None


def router(
    client: OidcClient | None, sessions: Sessions, pool: DatabasePool, guard: Guard, settings: GatewaySettings
) -> APIRouter:
    """/api/v1/auth/oidc/begin, finish, refresh and logout; 404 where no issuer is set up."""
    routes = APIRouter(prefix="/api/v1/auth/oidc", tags=["sign-in"])
    limits = ExternalLimits(settings.login_per_address, settings.login_per_name)
    seals = Seals(guard.signer.key)
    kept_s = settings.refresh_days * 86_400

    def needed(who: str) -> OidcClient:
        """The client. who: counted for the limit, an address before a sign-in, later the sign-in itself: others at the
        same address must not use up what a user has, and renewals not what a sign-out needs."""
        asked = _set_up(client)
        wait_s = limits.wait_s(who, time.monotonic())
        if wait_s > 0:
            metrics.SIGN_INS.labels("limited").inc()
            raise too_many(wait_s, "failed sign-ins")
        return asked

    @routes.post("/begin")
    async def begin_external_sign_in(request: Request, body: BeginSignIn) -> SignInBegun:
        """Begin a sign-in: where the person signs in, and the flow to keep meanwhile. 404 without an issuer, 503 while
        it does not answer."""
        source = source_of(_address(request))
        asked, flow = needed(source), oidc_flow.new_flow(body.redirect_uri)
        with _explained():
            url = await asked.sign_in_url(flow)
        limits.was_begun(source)
        return SignInBegun(url=url, flow=seals.seal("flow", flow, time.time()))

    @routes.post("/finish")
    async def finish_external_sign_in(request: Request, body: FinishSignIn) -> ExternalTokens:
        """Redeem the issuer's code. 401 for an answer that is not valid or not of this flow, 403 for a user without a
        role here, 429 after too many failed ones, 503 while the issuer does not answer."""
        address = _address(request)
        asked = needed(source_of(address))
        try:
            with _explained():
                flow = seals.open_flow(body.flow, time.time())
                oidc_flow.require_answer(flow, body.state, body.iss, settings.oidc_issuer)
                grant = await asked.redeem(body.code, flow)
        except RpcError as error:
            metrics.SIGN_INS.labels("refused").inc()
            await note_soon(
                pool, LogEntry("unknown", "sign_in_refused", "unknown", address, f"at the issuer: {error}"[:500])
            )
            raise
        metrics.SIGN_INS.labels("ok").inc()
        user = grant.identity.user
        limits.was_right(user, source_of(address), time.monotonic())
        await note_soon(pool, LogEntry(user, "sign_in", user, address, f"role {grant.identity.role}{AT_THE_ISSUER}"))
        return _answer(grant, secrets.token_urlsafe(12), guard.signer, seals, settings)

    @routes.post("/refresh")
    async def refresh_external_sign_in(body: RefreshExternal) -> ExternalTokens:
        """New tokens, with the role that the issuer gives the user now. 401 where it does not renew the sign-in, or
        somebody signed out of it."""
        session = _opened(client, seals, body.refresh_token, kept_s)
        asked = needed(f"sign-in {session.family}")
        if await sessions.is_ended(session.family):
            raise HTTPException(401, "this session has ended: sign in again")
        with _explained():
            grant = await asked.renew(session)
        return _answer(grant, session.family, guard.signer, seals, settings)

    @routes.post("/logout")
    async def end_external_sign_in(request: Request, body: EndExternal) -> SignedOut:
        """Sign out: access tokens end within 2 s, the refresh token is given up. url: where to sign out there."""
        session = _opened(client, seals, body.refresh_token, kept_s)
        asked = needed(f"sign-out {session.family}")
        await sessions.end_external(session.family)
        await note_soon(pool, LogEntry(session.user, "sign_out", session.user, _address(request)))
        return SignedOut(url=await asked.end(session, body.redirect_uri))

    return routes


def _set_up(client: OidcClient | None) -> OidcClient:
    if client is None:
        raise HTTPException(404, _NOT_SET_UP)
    return client


def _opened(client: OidcClient | None, seals: Seals, refresh_token: str, kept_s: int) -> ExternalSession:
    """The session of a refresh token. HTTPException: 404 without an issuer, 401 for a token that is not valid."""
    _set_up(client)
    try:
        return seals.open_session(refresh_token, time.time(), kept_s)
    except TokenRefused as error:
        raise HTTPException(401, str(error)) from error


def _answer(grant: IssuerGrant, family: str, signer: Signer, seals: Seals, settings: GatewaySettings) -> ExternalTokens:
    now, identity, token_s = time.time(), grant.identity, settings.token_minutes * 60
    hint = grant.id_token if len(grant.id_token) <= _LONGEST_HINT else ""
    session = ExternalSession(identity.user, family, grant.refresh_token, hint, grant.subject)
    with _explained():
        refresh_token = seals.seal_session(session, now)
    return ExternalTokens(
        access_token=signer.sign(identity.user, identity.role, "access", now, token_s, ext=1, fam=family),
        refresh_token=refresh_token,
        expires_in=token_s,
        role=identity.role,
        username=identity.user,
    )


@contextmanager
def _explained() -> Iterator[None]:
    """A refusal of the issuer is answered with its reason."""
    try:
        yield
    except TokenRefused as error:
        raise RpcError(401, Code.LOGIN_REFUSED, str(error)) from error
    except NotAllowed as error:
        raise RpcError(403, Code.LOGIN_REFUSED, str(error)) from error
    except IssuerUnreachable as error:
        raise HTTPException(503, str(error), {"Retry-After": "5"}) from error


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
