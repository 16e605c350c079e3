"""A lease names the one replica that may do a piece of work: a key in NATS KV that expires unless it is renewed."""

import asyncio
import time
from dataclasses import dataclass

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from kaiser_common.bus import metrics
from kaiser_common.bus.connection import Bus
from kaiser_common.contract.subjects import LEASE_BUCKET, Bucket

log = structlog.get_logger()

MARGIN_S = 1.0
"""The holder gives up this long before the lease can expire: time to end what only a holder may do."""
_ASK_EVERY_S = 0.5


@dataclass(slots=True)
class Grant:
    """A lease that is held: its revision, and until when (monotonic) the holder may rely on it."""

    revision: int
    valid_until: float


class Lease:
    """Takes, renews and releases the lease. Killed while it holds it: a standby takes it after the TTL."""

    def __init__(self, bus: Bus, key: str, ttl_s: float | None = None, *, bucket: Bucket = LEASE_BUCKET) -> None:
        """`ttl_s` must be the bucket's, which it is by default."""
        self._bus = bus
        self._key = key
        self._ttl_s = ttl_s or bucket.ttl_s or 5.0
        self._name = bucket.name
        self._owner = bus.message_id().encode()
        self._bucket: KeyValue | None = None
        self._grant: Grant | None = None
        self.held_by_another = False
        self.lost = ""
        """Why it was lost; empty while it is held."""

    @property
    def valid_until(self) -> float:
        """Until when (monotonic) the holder may rely on it; 0 while it is not held."""
        return self._grant.valid_until if self._grant is not None else 0.0

    async def acquire(self) -> Grant:
        """Wait until this process holds the lease, asking twice a second."""
        while True:
            started = time.monotonic()
            try:
                async with asyncio.timeout(self._ttl_s / 3):
                    revision = await (await self._open()).create(self._key, self._owner)
            except KeyWrongLastSequenceError:
                if not self.held_by_another:
                    log.info("standing_by", lease=self._key)
                self.held_by_another = True
            except (NatsError, OSError, TimeoutError) as error:
                self._bucket = None
                self.held_by_another = False
                log.warning("lease_unreachable", lease=self._key, reason=str(error) or type(error).__name__)
            else:
                grant = Grant(revision, self._valid_until(started))
                if time.monotonic() < grant.valid_until:
                    self._grant, self.held_by_another, self.lost = grant, False, ""
                    metrics.LEASE_HELD.set(1)
                    log.info("lease_taken", lease=self._key)
                    return grant
            await asyncio.sleep(_ASK_EVERY_S)

    async def keep(self, grant: Grant) -> str:
        """Renew three times in a TTL; returns the reason once the lease cannot be relied on any more."""
        reason = ""
        while True:
            left = grant.valid_until - time.monotonic()
            if left <= 0:
                break
            await asyncio.sleep(min(self._ttl_s / 3, left))
            started = time.monotonic()
            left = grant.valid_until - started
            if left <= 0:
                break
            try:
                async with asyncio.timeout(min(self._ttl_s / 3, left)):
                    grant.revision = await self._renew(grant.revision)
            except _Taken:
                reason = "another process took it"
                break
            except (NatsError, OSError, TimeoutError) as error:
                reason = f"it could not be renewed: {str(error) or type(error).__name__}"
                await asyncio.sleep(0.1)
            else:
                grant.valid_until = self._valid_until(started)
        self.let_go()
        metrics.LEASE_LOST.inc()
        self.lost = reason or "it ran out"
        return self.lost

    def let_go(self) -> None:
        """Say that the lease is not held any more."""
        self._grant = None
        metrics.LEASE_HELD.set(0)

    async def release(self, grant: Grant) -> None:
        """Delete the lease if it is still ours, so that a standby need not wait for its end."""
        self.let_go()
        try:
            async with asyncio.timeout(1.0):
                await (await self._open()).delete(self._key, last=grant.revision)
        except (NatsError, OSError, TimeoutError) as error:
            log.warning("lease_not_released", lease=self._key, reason=str(error) or type(error).__name__)
        else:
            log.info("lease_released", lease=self._key)

    async def _renew(self, revision: int) -> int:
        bucket = await self._open()
        try:
            return await bucket.update(self._key, self._owner, last=revision)
        except KeyWrongLastSequenceError:
            return await self._revision_of_ours(bucket)

    async def _revision_of_ours(self, bucket: KeyValue) -> int:
        """A renewal whose answer was lost has moved the revision on; then the value is still ours."""
        try:
            entry = await bucket.get(self._key)
        except KeyNotFoundError as error:
            raise _Taken from error
        if entry.value != self._owner or entry.revision is None:
            raise _Taken
        return await bucket.update(self._key, self._owner, last=entry.revision)

    def _valid_until(self, asked_at: float) -> float:
        return asked_at + self._ttl_s - MARGIN_S

    async def _open(self) -> KeyValue:
        if self._bucket is None:
            self._bucket = await self._bus.jetstream.key_value(self._name)
        return self._bucket


class _Taken(Exception):
    """The lease is another process's, or gone."""
