"""Users: their table, their passwords, and the first administrator."""

from dataclasses import dataclass, replace
from typing import Any

import structlog
from kaiser_common.contract.rpc import Role
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.statements import execute, fetch_all, fetch_one
from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row, tuple_row
from sqlalchemy import case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from kaiser_gateway.domain.signing_in import KnownPlaces
from kaiser_gateway.store import access_log
from kaiser_gateway.store.access_log import LogEntry
from kaiser_gateway.store.passwords import Passwords
from kaiser_gateway.store.tables import families, generations, users

log = structlog.get_logger()

MOST_USERS = 10_000
"""All of them are held in memory as `Standings`."""

_NEW_GENERATION = generations.next_value()
_c = users.c


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
        self.known = KnownPlaces()

    async def sign_in(self, username: str, password: str, address: str) -> Account | None:
        """The user if the password is right. An unknown name takes as long as a wrong password. Raises Busy; less often
        for a user known at the address (`limits.source_of`)."""
        with self._passwords.place(known=(username, address) in self.known):
            async with self._pool.connection() as connection:
                found = await _read(connection, username)
            checked = await self._passwords.check(found[0] if found else None, password)
        if found is None or not checked.right:
            return None
        if checked.rehash is not None:
            async with self._pool.connection() as connection:
                checked_just_now = update(users).where(_c.username == username, _c.password_hash == found[0])
                await execute(connection, checked_just_now.values(password_hash=checked.rehash))
        return found[1]

    async def all(self) -> list[Account]:
        """Every user, by name; at most MOST_USERS."""
        statement = select(_c.username, _c.role, _c.generation).order_by(_c.username).limit(MOST_USERS)
        async with self._pool.connection() as connection:
            return await fetch_all(connection, class_row(Account), statement)

    async def put(self, username: str, role: Role, password: str | None, entry: LogEntry) -> bool:
        """Create a user or change one; False for a new one without a password. Raises TooManyUsers or Busy."""
        password_hash = None if password is None else await self._hash(password)
        async with self._pool.connection() as connection:
            before = await _role(connection, username)
            if password_hash is None:
                generation = case((_c.role == role, _c.generation), else_=_NEW_GENERATION)
                changed = update(users).where(_c.username == username).values(role=role, generation=generation)
                cursor = await execute(connection, changed)
                if cursor.rowcount != 1:
                    return False
            else:
                await _refuse_more(connection, username)
                await _upsert(connection, username, password_hash, role)
            await _keep_or_end_families(connection, username, keep=password_hash is None)
            await access_log.note(connection, replace(entry, before=before, after={"role": role}))
        return True

    async def change_password(self, username: str, current: str, new: str, entry: LogEntry) -> Account | None:
        """The user with a new password and generation; None where the current one is wrong. Raises Busy."""
        with self._passwords.place():
            async with self._pool.connection() as connection:
                found = await _read(connection, username)
            if found is None or not (await self._passwords.check(found[0], current)).right:
                return None
            password_hash = await self._passwords.hash(new)
        changed = (
            update(users)
            .where(_c.username == username, _c.generation == found[1].generation)
            .values(password_hash=password_hash, generation=_NEW_GENERATION)
            .returning(_c.username, _c.role, _c.generation)
        )
        async with self._pool.connection() as connection:
            account = await fetch_one(connection, class_row(Account), changed)
            if account is not None:
                await _keep_or_end_families(connection, username, keep=False)
                await access_log.note(connection, entry)
        return account

    async def delete(self, username: str, entry: LogEntry) -> bool:
        """Delete a user and the refresh tokens; False when there was none."""
        async with self._pool.connection() as connection:
            before = await _role(connection, username)
            if before is None:
                return False
            await execute(connection, delete(users).where(_c.username == username))
            await access_log.note(connection, replace(entry, before=before))
        return True

    async def ensure_admin(self, username: str, password: str) -> None:
        """Create the first administrator, or give that one the password that is set now. It needs no place: the start
        does it before anybody can sign in."""
        async with self._pool.connection() as connection:
            found = await _read(connection, username)
        if found is not None and (await self._passwords.check(found[0], password)).right:
            return
        password_hash = await self._passwords.hash(password)
        async with self._pool.connection() as connection:
            await _upsert(connection, username, password_hash, "admin")
            await access_log.note(connection, LogEntry("system", "set_user", username, "", "role admin, password set"))
        log.info("administrator_set", user=username)

    async def _hash(self, password: str) -> str:
        with self._passwords.place():
            return await self._passwords.hash(password)


async def _upsert(connection: AsyncConnection[Any], username: str, password_hash: str, role: Role) -> None:
    add = insert(users).values(username=username, password_hash=password_hash, role=role)
    changed = {
        "password_hash": add.excluded.password_hash,
        "role": add.excluded.role,
        "generation": _NEW_GENERATION,
    }
    await execute(connection, add.on_conflict_do_update(index_elements=[_c.username], set_=changed))


async def _keep_or_end_families(connection: AsyncConnection[Any], username: str, *, keep: bool) -> None:
    """With a new role refresh tokens go on, for tokens with that role; with a new password they end."""
    of_user = families.c.username == username
    if keep:
        changed = update(families).where(of_user, _c.username == families.c.username)
        await execute(connection, changed.values(generation=_c.generation))
    else:
        await execute(connection, delete(families).where(of_user))


async def _refuse_more(connection: AsyncConnection[Any], username: str) -> None:
    statement = select(func.count()).select_from(users).where(_c.username != username)
    others = await fetch_one(connection, scalar_row, statement)
    if others is not None and others >= MOST_USERS:
        raise TooManyUsers(f"there are {MOST_USERS} users already")


async def _role(connection: AsyncConnection[Any], username: str) -> dict[str, Any] | None:
    """The role of a user, as the audit records it; the row is locked until the commit. None: no such user."""
    statement = select(_c.role).where(_c.username == username).with_for_update()
    role = await fetch_one(connection, scalar_row, statement)
    return None if role is None else {"role": role}


async def _read(connection: AsyncConnection[Any], username: str) -> tuple[str, Account] | None:
    statement = select(_c.password_hash, _c.username, _c.role, _c.generation).where(_c.username == username)
    row = await fetch_one(connection, tuple_row, statement)
    return None if row is None else (row[0], Account(*row[1:]))
