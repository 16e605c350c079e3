"""A user's own account: change the password, list the sessions, end one."""

import time
from typing import Annotated

import structlog
from fastapi import APIRouter, HTTPException, Path, Request
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.runtime.database import DatabasePool
from pydantic import BaseModel, ConfigDict, Field

from kaiser_gateway.api.paths import ShortText
from kaiser_gateway.api.token_answer import TokenAnswer, to_answer
from kaiser_gateway.domain.limits import Limiter
from kaiser_gateway.domain.tokens import Identity
from kaiser_gateway.http.auth import Guard, too_many
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store.access_log import LogEntry
from kaiser_gateway.store.families import Families, SignInClient
from kaiser_gateway.store.passwords import Busy
from kaiser_gateway.store.sessions import Sessions
from kaiser_gateway.store.standing import Standings
from kaiser_gateway.store.users import Users

log = structlog.get_logger()

_TRIES_A_MINUTE = 5


class SessionItem(BaseModel):
    """A sign-in that goes on. Times in ms; used_at: when it last got new tokens. current: the one of this request."""

    session: str
    username: str
    begun_at: int
    used_at: int
    expires_at: int
    address: str
    agent: str
    current: bool


class SessionsPage(BaseModel):
    """Every session of a user, the one used last in front."""

    items: list[SessionItem]
    next_cursor: str | None = None


class NewPassword(BaseModel):
    """The password of now, and the one that is to take its place."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"current": "correct horse", "new": "a long sentence is best"}]}
    )

    current: str = Field(max_length=1000)
    new: str = Field(min_length=8, max_length=1000)


def router(
    users: Users, sessions: Sessions, pool: DatabasePool, guard: Guard, standings: Standings, settings: GatewaySettings
) -> APIRouter:
    """/api/v1/auth/password and /api/v1/auth/sessions."""
    routes = APIRouter(prefix="/api/v1/auth", tags=["sign-in"])
    viewer = guard.needs("viewer")
    knows = guard.knows()
    families = Families(pool)
    tries = Limiter(_TRIES_A_MINUTE / 60, _TRIES_A_MINUTE)

    @routes.post("/password")
    async def change_password(
        request: Request, body: NewPassword, caller: Caller = viewer, identity: Identity | None = knows
    ) -> TokenAnswer:
        """Change the own password. Every session ends, and with it every token; the answer has those of a new session.
        403 for a wrong password, 409 for a user of the OpenID Connect issuer, 429 after five tries in a minute."""
        _require_own(identity)
        wait_s = tries.wait_s(caller.user, time.monotonic())
        if wait_s > 0:
            raise too_many(wait_s, "tries to change the password")
        entry = LogEntry(caller.user, "set_password", caller.user, _address(request))
        try:
            account = await users.change_password(caller.user, body.current, body.new, entry)
        except Busy as error:
            raise too_many(1.0) from error
        if account is None:
            raise RpcError(403, Code.LOGIN_REFUSED, "the current password is wrong", "current")
        await standings.read()
        link = await families.begin(account, settings.refresh_days * 86_400, client_of(request))
        log.info("password_changed", user=caller.user)
        return to_answer(account, link, guard.signer, settings)

    @routes.get("/sessions")
    async def list_sessions(
        username: ShortText = None,
        caller: Caller = viewer,
        identity: Identity | None = knows,
    ) -> SessionsPage:
        """The own sessions; an administrator's `username` asks for those of another user."""
        if username is not None and username != caller.user:
            _require_admin(caller)
        elif identity is not None and identity.external:
            return SessionsPage(items=[])
        found = await sessions.of(username or caller.user)
        current = identity.family if identity is not None else ""
        return SessionsPage(
            items=[
                SessionItem(
                    session=one.session,
                    username=one.username,
                    begun_at=one.begun_at,
                    used_at=one.used_at,
                    expires_at=one.expires_at,
                    address=one.address,
                    agent=one.agent,
                    current=one.session == current,
                )
                for one in found
            ]
        )

    @routes.delete("/sessions/{session}", status_code=204)
    async def delete_session(
        request: Request,
        session: Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["Zm9vYmFyYmF6"])],
        caller: Caller = viewer,
        identity: Identity | None = knows,
    ) -> None:
        """End an own session, or as an administrator any: its tokens end within 2 s. 404 if there is none."""
        is_admin = caller.role == "admin"
        if not is_admin:
            _require_own(identity)
        entry = LogEntry(caller.user, "end_session", session, _address(request))
        if not await sessions.end(session, None if is_admin else caller.user, entry):
            raise RpcError(404, Code.NOT_FOUND, "there is no such session", "session")
        await standings.read()

    return routes


def client_of(request: Request) -> SignInClient:
    """The client that signs in, as a session shows it."""
    return SignInClient(_address(request), request.headers.get("user-agent", "").replace("\0", "")[:200])


def _require_own(identity: Identity | None) -> None:
    if identity is None or identity.external:
        raise HTTPException(409, "this user is the OpenID Connect issuer's: passwords and sessions are kept there")


def _require_admin(caller: Caller) -> None:
    if caller.role != "admin":
        raise HTTPException(403, "the sessions of other users require the role admin")


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
