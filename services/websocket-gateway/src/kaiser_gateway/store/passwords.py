"""Passwords: hashed and checked by argon2id on two dedicated threads, so that no other work delays them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MEMORY_KIB = 19_456
"""19 MiB with two passes. Source: OWASP Password Storage Cheat Sheet, argon2id."""

_THREADS = 2
_MOST_WAITING = 16
_HASHER = PasswordHasher(time_cost=2, memory_cost=MEMORY_KIB, parallelism=1)

ResultT = TypeVar("ResultT")


class Busy(Exception):
    """So many passwords wait to be checked that this one cannot."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether a password was right; `rehash` is its hash under the present costs where the stored one is older."""

    right: bool
    rehash: str | None = None


class Passwords:
    """Two threads of 19 MiB each; 16 checks may wait, further ones raise Busy."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="password")
        self._waiting = 0
        self._nobody = _HASHER.hash("nobody has this password")

    async def check(self, password_hash: str | None, password: str) -> Checked:
        """Compare with a stored hash; None (an unknown name) takes as long and is never right. Raises Busy."""
        checked = await self._run(lambda: _check(password_hash or self._nobody, password))
        return checked if password_hash is not None else Checked(right=False)

    async def hash(self, password: str) -> str:
        """The hash to store. Raises Busy."""
        return await self._run(lambda: _HASHER.hash(password))

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        if self._waiting >= _MOST_WAITING:
            raise Busy("too many passwords are being checked")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads; what waits is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _check(password_hash: str, password: str) -> Checked:
    try:
        _HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return Checked(right=False)
    return Checked(right=True, rehash=_HASHER.hash(password) if _HASHER.check_needs_rehash(password_hash) else None)
