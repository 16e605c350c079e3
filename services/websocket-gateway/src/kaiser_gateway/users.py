"""Users: their table, their passwords, and the first administrator."""

import asyncio
from typing import Any

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from kaiser_common.database import DatabasePool
from psycopg import AsyncConnection

from kaiser_gateway.tokens import Role

log = structlog.get_logger()

_HASHER = PasswordHasher()
_NOBODY = _HASHER.hash("nobody has this password")


class Users:
    """Checks passwords; hashing runs in a thread, as it takes tens of milliseconds on purpose."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool

    async def role_of(self, username: str, password: str) -> Role | None:
        """The user's role if the password is right. An unknown name takes as long as a wrong password."""
        async with self._pool.connection() as connection:
            found = await _read(connection, username)
        password_hash, role = found if found is not None else (_NOBODY, None)
        right = await asyncio.to_thread(_verify, password_hash, password)
        return role if right else None

    async def current_role(self, username: str) -> Role | None:
        """The role that the user has now; None when the user is gone."""
        async with self._pool.connection() as connection:
            found = await _read(connection, username)
        return found[1] if found is not None else None

    async def all(self) -> list[tuple[str, Role]]:
        """Every user with the role, by name."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute("SELECT username, role FROM gateway.users ORDER BY username")
            return await cursor.fetchall()

    async def put(self, username: str, role: Role, password: str | None) -> bool:
        """Make a user or change one; False for a new one without a password."""
        password_hash = None if password is None else await asyncio.to_thread(_HASHER.hash, password)
        async with self._pool.connection() as connection:
            if password_hash is None:
                cursor = await connection.execute(
                    "UPDATE gateway.users SET role = %s WHERE username = %s", (role, username)
                )
                return cursor.rowcount == 1
            await connection.execute(
                "INSERT INTO gateway.users (username, password_hash, role) VALUES (%s, %s, %s)"
                " ON CONFLICT (username) DO UPDATE SET password_hash = excluded.password_hash, role = excluded.role",
                (username, password_hash, role),
            )
        return True

    async def delete(self, username: str) -> bool:
        """Take a user out; False when there was none."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute("DELETE FROM gateway.users WHERE username = %s", (username,))
            return cursor.rowcount == 1

    async def ensure_admin(self, username: str, password: str) -> None:
        """Make the first administrator, or give that one the password that is set now."""
        async with self._pool.connection() as connection:
            found = await _read(connection, username)
        if found is not None and await asyncio.to_thread(_verify, found[0], password):
            return
        password_hash = await asyncio.to_thread(_HASHER.hash, password)
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO gateway.users (username, password_hash, role) VALUES (%s, %s, 'admin')"
                " ON CONFLICT (username) DO UPDATE SET password_hash = excluded.password_hash, role = 'admin'",
                (username, password_hash),
            )
        log.info("administrator_set", user=username)


async def _read(connection: AsyncConnection[Any], username: str) -> tuple[str, Role] | None:
    cursor = await connection.execute("SELECT password_hash, role FROM gateway.users WHERE username = %s", (username,))
    return await cursor.fetchone()


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except VerificationError:
        return False
