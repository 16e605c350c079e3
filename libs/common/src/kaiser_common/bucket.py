"""Writing a KV bucket of which this service's table is the truth; others read it through a Mirror."""

from collections.abc import Mapping

import structlog
from nats.js.errors import NotFoundError
from nats.js.kv import KeyValue

from kaiser_common.bus import Bus
from kaiser_common.subjects import Bucket

log = structlog.get_logger()


class BucketWriter:
    """Puts and deletes. Write the table first: killed between the two, `rebuild` at the next start mends the bucket."""

    def __init__(self, bucket: Bucket, kv: KeyValue) -> None:
        self._name = bucket.name
        self._kv = kv

    @classmethod
    async def open(cls, bus: Bus, bucket: Bucket) -> "BucketWriter":
        """Bind to a declared bucket. Raises nats errors when NATS is away or the bucket is missing."""
        return cls(bucket, await bus.jetstream.key_value(bucket.name))

    async def put(self, key: str, value: bytes) -> None:
        """Tell everybody of a value."""
        await self._kv.put(key, value)

    async def delete(self, key: str) -> None:
        """Tell everybody that a key is gone."""
        await self._kv.delete(key)

    async def rebuild(self, wanted: Mapping[str, bytes]) -> int:
        """Make the bucket say just this; the number of keys that had to change."""
        changed = 0
        for key in await self._keys():
            if key not in wanted:
                await self._kv.delete(key)
                changed += 1
        for key, value in wanted.items():
            if await self._get(key) != value:
                await self._kv.put(key, value)
                changed += 1
        log.info("bucket_checked", bucket=self._name, keys=len(wanted), changed=changed)
        return changed

    async def _keys(self) -> list[str]:
        watcher = await self._kv.watchall(ignore_deletes=True, meta_only=True)
        keys = []
        async for entry in watcher:
            if entry is None:
                break
            keys.append(entry.key)
        await watcher.stop()  # type: ignore[no-untyped-call]
        return keys

    async def _get(self, key: str) -> bytes | None:
        try:
            return (await self._kv.get(key)).value
        except NotFoundError:
            return None
