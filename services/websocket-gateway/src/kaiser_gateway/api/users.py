"""The gateway's own users, managed by an administrator, and the log of sign-ins."""

from typing import Annotated

import structlog
from fastapi import APIRouter, HTTPException, Path, Query, Request
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code
from kaiser_common.contract.rpc import Role
from kaiser_common.runtime.database import DatabasePool
from pydantic import BaseModel, ConfigDict, Field

from kaiser_gateway.http.auth import Guard, too_many
from kaiser_gateway.store import access_log
from kaiser_gateway.store.access_log import LogEntry
from kaiser_gateway.store.passwords import Busy
from kaiser_gateway.store.standing import Standings
from kaiser_gateway.store.users import TooManyUsers, Users

log = structlog.get_logger()

Username = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.@-]{1,64}$", examples=["grace"])]


class User(BaseModel):
    """A user."""

    username: str
    role: Role


class UsersPage(BaseModel):
    """Every user, by name."""

    items: list[User]
    next_cursor: str | None = None


class AccessEntry(BaseModel):
    """A sign-in, or a change of a user. at in ms; address is the client's."""

    id: int
    at: int
    actor: str
    action: str
    target: str
    address: str
    detail: str


class AccessPage(BaseModel):
    """Entries, newest first."""

    items: list[AccessEntry]
    next_cursor: str | None = None


class PutUser(BaseModel):
    """The role of a user; without a password an existing user keeps the current one."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"role": "operator", "password": "a long sentence is best"}]},
    )

    role: Role
    password: str | None = Field(default=None, min_length=8, max_length=1000)


def router(users: Users, pool: DatabasePool, guard: Guard, standings: Standings) -> APIRouter:
    """/api/v1/auth/users and /api/v1/auth/log."""
    routes = APIRouter(prefix="/api/v1/auth", tags=["sign-in"])
    admin = guard.needs("admin")

    @routes.get("/users")
    async def list_users(caller: Caller = admin) -> UsersPage:
        """Every user and the role."""
        return UsersPage(items=[User(username=one.username, role=one.role) for one in await users.all()])

    @routes.put("/users/{username}")
    async def put_user(request: Request, username: Username, body: PutUser, caller: Caller = admin) -> User:
        """Create a user, or change role or password: existing tokens become invalid within 2 s, sockets are closed."""
        if username == caller.user and body.role != "admin":
            raise HTTPException(409, "you cannot remove your own administrator role")
        password = ", password set" if body.password is not None else ""
        entry = LogEntry(caller.user, "set_user", username, _address(request), f"role {body.role}{password}")
        try:
            found = await users.put(username, body.role, body.password, entry)
        except TooManyUsers as error:
            raise HTTPException(409, str(error)) from error
        except Busy as error:
            raise too_many(1.0) from error
        if not found:
            raise HTTPException(422, f"there is no user {username} yet: give a password to create it")
        await standings.read()
        log.info("user_set", user=username, role=body.role, by=caller.user, password_set=body.password is not None)
        return User(username=username, role=body.role)

    @routes.delete("/users/{username}", status_code=204)
    async def delete_user(request: Request, username: Username, caller: Caller = admin) -> None:
        """Delete a user: existing tokens become invalid within 2 s, sockets are closed."""
        if username == caller.user:
            raise HTTPException(409, "you cannot delete your own account")
        if not await users.delete(username, LogEntry(caller.user, "delete_user", username, _address(request))):
            raise RpcError(404, Code.NOT_FOUND, f"there is no user {username}", "username")
        await standings.read()
        log.info("user_deleted", user=username, by=caller.user)

    @routes.get("/log")
    async def list_access_log(
        cursor: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        caller: Caller = admin,
    ) -> AccessPage:
        """Sign-ins granted and refused, sign-outs, and changes of users, newest first; kept for a year."""
        found = await access_log.page(pool, cursor, limit)
        items = [
            AccessEntry(
                id=number,
                at=at,
                actor=entry.actor,
                action=entry.action,
                target=entry.target,
                address=entry.address,
                detail=entry.detail,
            )
            for number, at, entry in found
        ]
        return AccessPage(items=items, next_cursor=str(items[-1].id) if len(items) == limit else None)

    return routes


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
