"""Users: their table, their passwords, and the first administrator."""

from dataclasses import dataclass
from typing import Any

import structlog
from kaiser_common.runtime.database import DatabasePool
from psycopg import AsyncConnection

from kaiser_gateway.domain.tokens import Role
from kaiser_gateway.store import access_log
from kaiser_gateway.store.access_log import LogEntry
from kaiser_gateway.store.passwords import Passwords

log = structlog.get_logger()

MOST_USERS = 10_000
"""All of them are held in memory as `Standings`."""

_NEW_GENERATION = "nextval('gateway.generations')"


@dataclass(frozen=True, slots=True)
class Account:
    """A user as signed in. A generation is used once: a new one with each new password, role, or use of the name."""

    username: str
    role: Role
    generation: int


class TooManyUsers(Exception):
    """The table holds as many users as may be."""


class Users:
    """The users of this installation. A change and its entry in the log are one transaction."""

    def __init__(self, pool: DatabasePool, passwords: Passwords) -> None:
        self._pool = pool
        self._passwords = passwords
        self.ready = False
        """True once the tables are there and the first administrator is set."""

    async def sign_in(self, username: str, password: str) -> Account | None:
        """The user if the password is right. An unknown name takes as long as a wrong password. Raises Busy."""
        async with self._pool.connection() as connection:
            found = await _read(connection, username)
        checked = await self._passwords.check(found[0] if found else None, password)
        if found is None or not checked.right:
            return None
        if checked.rehash is not None:
            async with self._pool.connection() as connection:
                await connection.execute(
                    "UPDATE gateway.users SET password_hash = %s WHERE username = %s AND password_hash = %s",
                    (checked.rehash, username, found[0]),
                )
        return found[1]

    async def all(self) -> list[Account]:
        """Every user, by name; at most MOST_USERS."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT username, role, generation FROM gateway.users ORDER BY username LIMIT %s", (MOST_USERS,)
            )
            return [Account(*row) for row in await cursor.fetchall()]

    async def put(self, username: str, role: Role, password: str | None, entry: LogEntry) -> bool:
        """Create a user or change one; False for a new one without a password. Raises TooManyUsers or Busy."""
        password_hash = None if password is None else await self._passwords.hash(password)
        async with self._pool.connection() as connection:
            if password_hash is None:
                cursor = await connection.execute(
                    "UPDATE gateway.users SET role = %(role)s, generation ="
                    f" CASE WHEN role = %(role)s THEN generation ELSE {_NEW_GENERATION} END"
                    " WHERE username = %(username)s",
                    {"role": role, "username": username},
                )
                if cursor.rowcount != 1:
                    return False
            else:
                await _refuse_more(connection, username)
                await _upsert(connection, username, password_hash, role)
            await _keep_or_end_families(connection, username, keep=password_hash is None)
            await access_log.note(connection, entry)
        return True

    async def delete(self, username: str, entry: LogEntry) -> bool:
        """Delete a user and the refresh tokens; False when there was none."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute("DELETE FROM gateway.users WHERE username = %s", (username,))
            if cursor.rowcount != 1:
                return False
            await access_log.note(connection, entry)
        return True

    async def ensure_admin(self, username: str, password: str) -> None:
        """Create the first administrator, or give that one the password that is set now."""
        async with self._pool.connection() as connection:
            found = await _read(connection, username)
        if found is not None and (await self._passwords.check(found[0], password)).right:
            return
        password_hash = await self._passwords.hash(password)
        async with self._pool.connection() as connection:
            await _upsert(connection, username, password_hash, "admin")
            await access_log.note(connection, LogEntry("system", "set_user", username, "", "role admin, password set"))
        log.info("administrator_set", user=username)


async def _upsert(connection: AsyncConnection[Any], username: str, password_hash: str, role: Role) -> None:
    await connection.execute(
        "INSERT INTO gateway.users (username, password_hash, role) VALUES (%s, %s, %s)"
        " ON CONFLICT (username) DO UPDATE SET password_hash = excluded.password_hash, role = excluded.role,"
        f" generation = {_NEW_GENERATION}",
        (username, password_hash, role),
    )


async def _keep_or_end_families(connection: AsyncConnection[Any], username: str, *, keep: bool) -> None:
    """With a new role refresh tokens go on, for tokens with that role; with a new password they end."""
    if keep:
        await connection.execute(
            "UPDATE gateway.families f SET generation = u.generation FROM gateway.users u"
            " WHERE u.username = f.username AND f.username = %s",
            (username,),
        )
    else:
        await connection.execute("DELETE FROM gateway.families WHERE username = %s", (username,))


async def _refuse_more(connection: AsyncConnection[Any], username: str) -> None:
    cursor = await connection.execute("SELECT count(*) FROM gateway.users WHERE username <> %s", (username,))
    row = await cursor.fetchone()
    if row is not None and row[0] >= MOST_USERS:
        raise TooManyUsers(f"there are {MOST_USERS} users already")


async def _read(connection: AsyncConnection[Any], username: str) -> tuple[str, Account] | None:
    cursor = await connection.execute(
        "SELECT password_hash, username, role, generation FROM gateway.users WHERE username = %s", (username,)
    )
    row = await cursor.fetchone()
    return None if row is None else (row[0], Account(*row[1:]))
