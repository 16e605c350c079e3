"""Kaiser's own users; these requests need the role admin."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from kaiser_client.call import Call

UserRole = Literal["viewer", "operator", "admin"]


class NamedUser(BaseModel):
    """A user and the role."""

    model_config = ConfigDict(frozen=True)

    username: str
    role: UserRole


class NamedUsers(BaseModel):
    """Every user, by name."""

    model_config = ConfigDict(frozen=True)

    items: list[NamedUser]
    next_cursor: str | None = None


class UserBody(BaseModel):
    """The role of a user, and a new password where one is given."""

    model_config = ConfigDict(frozen=True)

    role: UserRole
    password: str | None = None


def list_users() -> Call[NamedUsers]:
    """Every user."""
    return Call("GET", "/api/v1/auth/users", NamedUsers)


def put_user(username: str, role: UserRole, password: str | None = None) -> Call[NamedUser]:
    """Create a user, or change role or password."""
    body = UserBody(role=role, password=password)
    return Call("PUT", "/api/v1/auth/users/{username}", NamedUser, {"username": username}, body=body)


def delete_user(username: str) -> Call[None]:
    """Delete a user."""
    return Call("DELETE", "/api/v1/auth/users/{username}", type(None), {"username": username})
