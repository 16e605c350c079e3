"""Writes a KV bucket from this service's table, which is authoritative; other services read it through a Mirror."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import APIError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from kaiser_common.bus.connection import Bus
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.contract.subjects import Bucket

log = structlog.get_logger()

_READ_WITHIN_S = 10.0
_WRONG_LAST_SEQUENCE = 10071


@dataclass(frozen=True, slots=True)
class Kept:
    """A key's value, and the revision that a compare-and-set asks for."""

    value: bytes
    revision: int


class BucketWriter:
    """Puts and deletes. Write the table first: killed between the two, `rebuild` at the next start mends the bucket.
    If it is deleted and declared again while the service runs, `is_another` is true, and the owner rebuilds it."""

    def __init__(self, bus: Bus, bucket: Bucket, kv: KeyValue) -> None:
        self._bus = bus
        self._bucket = bucket
        self._kv = kv
        self._rebuilt_of: datetime | None = None
        """When the bucket that was last rebuilt was created."""

    @classmethod
    async def open(cls, bus: Bus, bucket: Bucket) -> "BucketWriter":
        """Bind to a declared bucket. Raises nats errors when NATS is away or the bucket is missing."""
        return cls(bus, bucket, await bus.jetstream.key_value(bucket.name))

    async def put(self, key: str, value: bytes) -> int:
        """Write a value, which every watcher sees; its revision."""
        return await self._kv.put(key, value)

    async def replace(self, key: str, value: bytes, revision: int) -> int | None:
        """Put a value in the place of that revision, 0 for a key that is not there; None if there is another by now."""
        try:
            if revision == 0:
                return await self._kv.create(key, value)
            return await self._kv.update(key, value, last=revision)
        except KeyWrongLastSequenceError:
            return None

    async def delete_revision(self, key: str, revision: int) -> bool:
        """Delete a key if it still has that revision, which is above 0: nats-py takes 0 for "any"."""
        if revision < 1:
            return False
        try:
            await self._kv.delete(key, last=revision)
        except APIError as error:
            if error.err_code == _WRONG_LAST_SEQUENCE:
                return False
            raise
        return True

    async def made_at(self) -> datetime | None:
        """When the bucket was made; a recreated one counts its revisions from 1."""
        status = await self._kv.status()
        return status.stream_info.created

    async def is_another(self) -> bool:
        """Whether the bucket is not the one that was last rebuilt, as after it was deleted and declared again.

        Raises nats errors when NATS is away or the bucket is missing.
        """
        return await self.made_at() != self._rebuilt_of

    async def delete(self, key: str) -> None:
        """Delete a key, which every watcher sees."""
        await self._kv.delete(key)

    async def rebuild(self, wanted: Mapping[str, bytes]) -> int:
        """Make the bucket say just this; the number of keys that had to change.

        Raises nats errors when NATS is away, or does not send the bucket within 10 s.
        """
        made_at = await self.made_at()  # before the read: a bucket recreated during it differs afterwards
        kept = await read_bucket(self._bus, self._bucket)
        changed = 0
        for key in kept.keys() - wanted.keys():
            await self._kv.delete(key)
            changed += 1
        for key, value in wanted.items():
            if key not in kept or kept[key].value != value:
                await self._kv.put(key, value)
                changed += 1
        self._rebuilt_of = made_at
        log.info("bucket_checked", bucket=self._bucket.name, keys=len(wanted), changed=changed)
        return changed


async def read_bucket(bus: Bus, bucket: Bucket) -> dict[str, Kept]:
    """Read all keys and values of a bucket once. Raises nats errors if they do not arrive within 10 s."""
    prefix = f"$KV.{bucket.name}."
    reader = OrderedReader(bus, f"KV_{bucket.name}", [f"{prefix}>"], last_per_subject=True)
    kept: dict[str, Kept] = {}
    restarts = reader.restarts
    try:
        async with asyncio.timeout(_READ_WITHIN_S):
            async for batch in reader:
                if reader.restarts != restarts:
                    restarts, kept = reader.restarts, {}
                for delivery in batch:
                    if delivery.headers.get("KV-Operation") not in ("DEL", "PURGE"):
                        key = delivery.subject.removeprefix(prefix)
                        kept[key] = Kept(delivery.body, delivery.stream_sequence)
                if not batch or batch[-1].pending == 0:
                    break
    except TimeoutError as error:
        raise NatsTimeoutError from error
    return kept
