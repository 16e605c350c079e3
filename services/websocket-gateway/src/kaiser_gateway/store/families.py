"""Refresh tokens: each may be used once; a second use ends the whole family of the sign-in."""

import secrets
from dataclasses import dataclass

from kaiser_common.runtime.database import DatabasePool

from kaiser_gateway.store.users import Account

_MOST_PER_USER = 50


@dataclass(frozen=True, slots=True)
class Link:
    """One refresh token: its family (one sign-in) and its own id in it."""

    family: str
    token_id: str


class Reused(Exception):
    """The token was used before, signed out, or its user changed; the family is ended."""


class Families:
    """The newest token of each family. A user has at most 50; the one that ends first makes room."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool

    async def begin(self, account: Account, lifetime_s: float) -> Link:
        """The first token of a sign-in."""
        link = Link(secrets.token_urlsafe(12), secrets.token_urlsafe(12))
        async with self._pool.connection() as connection:
            await connection.execute(
                "DELETE FROM gateway.families WHERE username = %s AND (expires_at < now() OR family IN (SELECT family"
                " FROM gateway.families WHERE username = %s ORDER BY expires_at DESC OFFSET %s))",
                (account.username, account.username, _MOST_PER_USER - 1),
            )
            await connection.execute(
                "INSERT INTO gateway.families (family, username, generation, token_id, expires_at)"
                " VALUES (%s, %s, %s, %s, now() + make_interval(secs => %s))",
                (link.family, account.username, account.generation, link.token_id, lifetime_s),
            )
        return link

    async def rotate(self, link: Link, username: str, lifetime_s: float) -> tuple[Link, Account]:
        """The next token of the family, and its user as of now. Raises Reused; two at once: one of them is refused."""
        following = Link(link.family, secrets.token_urlsafe(12))
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "UPDATE gateway.families f SET token_id = %s, expires_at = now() + make_interval(secs => %s)"
                " FROM gateway.users u WHERE f.family = %s AND f.token_id = %s AND f.username = %s"
                " AND u.username = f.username AND u.generation = f.generation AND f.expires_at > now()"
                " RETURNING u.username, u.role, u.generation",
                (following.token_id, lifetime_s, link.family, link.token_id, username),
            )
            row = await cursor.fetchone()
            if row is None:
                await connection.execute("DELETE FROM gateway.families WHERE family = %s", (link.family,))
        if row is None:
            raise Reused("the refresh token was used before or its sign-in has ended: sign in again")
        return following, Account(*row)

    async def end(self, link: Link) -> None:
        """Sign out: no token of the family is taken any more."""
        async with self._pool.connection() as connection:
            await connection.execute("DELETE FROM gateway.families WHERE family = %s", (link.family,))
