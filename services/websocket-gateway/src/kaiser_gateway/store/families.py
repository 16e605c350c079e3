"""Refresh tokens: each may be used once; a second use ends the whole family of the sign-in."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.statements import execute, fetch_one
from psycopg.rows import tuple_row
from sqlalchemy import ColumnElement, delete, func, insert, literal, or_, select, update

from kaiser_gateway.store.sessions import end_families
from kaiser_gateway.store.tables import families, users
from kaiser_gateway.store.users import Account

_MOST_PER_USER = 50


@dataclass(frozen=True, slots=True)
class Link:
    """One refresh token: its family (one sign-in) and its own id in it."""

    family: str
    token_id: str


@dataclass(frozen=True, slots=True)
class SignInClient:
    """The client that signs in: its address, and the program by its own account."""

    address: str = ""
    agent: str = ""


class Reused(Exception):
    """The token was used before, signed out, or its user changed; the family is ended."""


class Families:
    """The newest token of each family. A user has at most 50; the one that ends first makes room."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool

    async def begin(self, account: Account, lifetime_s: float, client: SignInClient) -> Link:
        """The first token of a sign-in."""
        link = Link(secrets.token_urlsafe(12), secrets.token_urlsafe(12))
        c = families.c
        newest = select(c.family).where(c.username == account.username).order_by(c.expires_at.desc())
        surplus = c.family.in_(newest.offset(_MOST_PER_USER - 1))
        async with self._pool.connection() as connection:
            over = or_(c.expires_at < func.now(), surplus)
            await execute(connection, delete(families).where(c.username == account.username, over))
            await execute(
                connection,
                insert(families).values(
                    family=link.family,
                    username=account.username,
                    generation=account.generation,
                    token_id=link.token_id,
                    expires_at=_in(lifetime_s),
                    address=client.address,
                    agent=client.agent,
                ),
            )
        return link

    async def rotate(self, link: Link, username: str, lifetime_s: float) -> tuple[Link, Account]:
        """The next token of the family, and its user as of now. Raises Reused; of two concurrent calls one is
        refused."""
        following = Link(link.family, secrets.token_urlsafe(12))
        c = families.c
        rotated = (
            update(families)
            .where(c.family == link.family, c.token_id == link.token_id, c.username == username)
            .where(users.c.username == c.username, users.c.generation == c.generation, c.expires_at > func.now())
            .values(token_id=following.token_id, expires_at=_in(lifetime_s), used_at=func.now())
            .returning(users.c.username, users.c.role, users.c.generation)
        )
        async with self._pool.connection() as connection:
            row = await fetch_one(connection, tuple_row, rotated)
            if row is None:
                await end_families(connection, c.family == link.family)
        if row is None:
            raise Reused("the refresh token was used before or its sign-in has ended: sign in again")
        return following, Account(*row)

    async def end(self, link: Link) -> None:
        """Sign out: no token of the family is taken any more; access tokens end within 2 s."""
        async with self._pool.connection() as connection:
            await end_families(connection, families.c.family == link.family)


def _in(seconds: float) -> ColumnElement[datetime]:
    return func.now() + literal(timedelta(seconds=seconds))
