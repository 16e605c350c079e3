"""Passwords: hashed and checked by argon2id on two dedicated threads, so that no other work delays them."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MEMORY_KIB = 19_456
"""19 MiB with two passes. Source: OWASP Password Storage Cheat Sheet, argon2id."""

_THREADS = 2
_PLACES = 16
_OF_UNKNOWN = 12
"""The other places are kept for users known at their address, so that no flood from elsewhere takes them."""
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
    """Two threads of 19 MiB each. Work with a password takes a place first, of which there are 16; users who are not
    known at their address have 12 of them."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="password")
        self._taken = 0
        self._nobody = _HASHER.hash("nobody has this password")

    @contextmanager
    def place(self, *, known: bool = True) -> Iterator[None]:
        """Have a place while the block runs, in which passwords are checked and hashed one after the other. Raises
        Busy. known: the user has signed in at this address before, or has a token."""
        if self._taken >= (_PLACES if known else _OF_UNKNOWN):
            raise Busy("too many passwords are being checked")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def check(self, password_hash: str | None, password: str) -> Checked:
        """Compare with a stored hash; None (an unknown name) takes as long and is never right."""
        checked = await self._run(lambda: _check(password_hash or self._nobody, password))
        return checked if password_hash is not None else Checked(right=False)

    async def hash(self, password: str) -> str:
        """The hash to store."""
        return await self._run(lambda: _HASHER.hash(password))

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        """End the threads; what waits is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _check(password_hash: str, password: str) -> Checked:
    try:
        _HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return Checked(right=False)
    return Checked(right=True, rehash=_HASHER.hash(password) if _HASHER.check_needs_rehash(password_hash) else None)
