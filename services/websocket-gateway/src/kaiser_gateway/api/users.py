"""The gateway's own users, by an administrator."""

from typing import Annotated

import structlog
from fastapi import APIRouter, HTTPException, Path
from kaiser_common.rpc import Caller
from pydantic import BaseModel, Field

from kaiser_gateway.auth import Guard
from kaiser_gateway.tokens import Role
from kaiser_gateway.users import Users

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


class PutUser(BaseModel):
    """What a user may do; without a password a user who is there keeps the one that is set."""

    model_config = {"json_schema_extra": {"examples": [{"role": "operator", "password": "a long sentence is best"}]}}

    role: Role
    password: str | None = Field(default=None, min_length=8, max_length=1000)


def router(users: Users, guard: Guard) -> APIRouter:
    """/api/v1/auth/users."""
    routes = APIRouter(prefix="/api/v1/auth/users", tags=["sign-in"])
    admin = guard.needs("admin")

    @routes.get("")
    async def list_users(caller: Caller = admin) -> UsersPage:
        """Who may sign in with a password; users of the OpenID Connect issuer are not here."""
        return UsersPage(items=[User(username=name, role=role) for name, role in await users.all()])

    @routes.put("/{username}")
    async def put(username: Username, body: PutUser, caller: Caller = admin) -> User:
        """Make a user, or change role or password. Tokens that are out keep their role until they are over."""
        if username == caller.user and body.role != "admin":
            raise HTTPException(409, "nobody takes the administrator's role from themselves")
        if not await users.put(username, body.role, body.password):
            raise HTTPException(422, f"there is no user {username} yet: a password is needed")
        log.info("user_set", user=username, role=body.role, by=caller.user, password_set=body.password is not None)
        return User(username=username, role=body.role)

    @routes.delete("/{username}", status_code=204)
    async def delete(username: Username, caller: Caller = admin) -> None:
        """Take a user out: no sign-in and no refresh any more; a token that is out ends within its hour."""
        if username == caller.user:
            raise HTTPException(409, "nobody takes themselves out")
        if not await users.delete(username):
            raise HTTPException(404, f"there is no user {username}")
        log.info("user_deleted", user=username, by=caller.user)

    return routes
