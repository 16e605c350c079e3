"""Writing a KV bucket of which this service's table is the truth; others read it through a Mirror."""

import asyncio
from collections.abc import Mapping

import structlog
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.kv import KeyValue

from kaiser_common.bus import Bus
from kaiser_common.consumer import OrderedReader
from kaiser_common.subjects import Bucket

log = structlog.get_logger()

_READ_WITHIN_S = 10.0


class BucketWriter:
    """Puts and deletes. Write the table first: killed between the two, `rebuild` at the next start mends the bucket."""

    def __init__(self, bus: Bus, bucket: Bucket, kv: KeyValue) -> None:
        self._bus = bus
        self._name = bucket.name
        self._kv = kv

    @classmethod
    async def open(cls, bus: Bus, bucket: Bucket) -> "BucketWriter":
        """Bind to a declared bucket. Raises nats errors when NATS is away or the bucket is missing."""
        return cls(bus, bucket, await bus.jetstream.key_value(bucket.name))

    async def put(self, key: str, value: bytes) -> None:
        """Tell everybody of a value."""
        await self._kv.put(key, value)

    async def delete(self, key: str) -> None:
        """Tell everybody that a key is gone."""
        await self._kv.delete(key)

    async def rebuild(self, wanted: Mapping[str, bytes]) -> int:
        """Make the bucket say just this; the number of keys that had to change.

        Raises nats errors when NATS is away, or does not send the bucket within 10 s.
        """
        kept = await self._read()
        changed = 0
        for key in kept.keys() - wanted.keys():
            await self._kv.delete(key)
            changed += 1
        for key, value in wanted.items():
            if kept.get(key) != value:
                await self._kv.put(key, value)
                changed += 1
        log.info("bucket_checked", bucket=self._name, keys=len(wanted), changed=changed)
        return changed

    async def _read(self) -> dict[str, bytes]:
        """What the bucket says, in one reading."""
        prefix = f"$KV.{self._name}."
        reader = OrderedReader(self._bus, f"KV_{self._name}", [f"{prefix}>"], last_per_subject=True)
        kept: dict[str, bytes] = {}
        restarts = reader.restarts
        try:
            async with asyncio.timeout(_READ_WITHIN_S):
                async for batch in reader:
                    if reader.restarts != restarts:
                        restarts, kept = reader.restarts, {}
                    for delivery in batch:
                        if delivery.headers.get("KV-Operation") not in ("DEL", "PURGE"):
                            kept[delivery.subject.removeprefix(prefix)] = delivery.body
                    if not batch or batch[-1].pending == 0:
                        break
        except TimeoutError as error:
            raise NatsTimeoutError from error
        return kept
