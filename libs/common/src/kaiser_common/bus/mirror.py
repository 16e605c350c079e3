"""A KV bucket held in memory and kept current, so that no message costs a look-up."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

import structlog
from pydantic import ValidationError

from kaiser_common.bus import metrics
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.bus.waiting import set_within
from kaiser_common.contract.subjects import Bucket

log = structlog.get_logger()

ValueT = TypeVar("ValueT")

_SOON_S, _LOOK_EVERY_S = 1.0, 0.02


async def soon(
    mirror: Mapping[str, ValueT], key: str, is_wanted: Callable[[ValueT], bool] = lambda _: True
) -> ValueT | None:
    """A value, waited for up to a second while it is not there or not the wanted one: a change that another service
    answered with a moment ago may still be on its way to this mirror. None: the key is not there."""
    deadline = time.monotonic() + _SOON_S
    while (value := mirror.get(key)) is None or not is_wanted(value):
        if time.monotonic() >= deadline:
            break
        await asyncio.sleep(_LOOK_EVERY_S)
    return value


class Mirror(Mapping[str, ValueT], Generic[ValueT]):
    """The decoded values of a bucket by key. Run `keep` as a task; wait for `ready` before use.

    While NATS is away the last known values stay; after a reconnect the whole bucket is read again.
    """

    def __init__(
        self,
        bus: Bus,
        bucket: Bucket,
        decode: Callable[[bytes], ValueT],
        *,
        stamp: Callable[[ValueT, int], ValueT] | None = None,
    ) -> None:
        """stamp: puts a value's revision into it."""
        self._bus = bus
        self._stream = f"KV_{bucket.name}"
        self._prefix = f"$KV.{bucket.name}."
        self._decode = decode
        self._stamp = stamp
        self._revisions: dict[str, int] = {}
        self.position = 0
        """The revision up to which this shows the bucket: every change up to it, and none behind it."""
        self._values: dict[str, ValueT] = {}
        self._seen = metrics.MIRROR_REVISION.labels(bucket.name)
        self._loaded = asyncio.Event()
        self._changed: list[Callable[[str, ValueT | None], None]] = []

    def __getitem__(self, key: str) -> ValueT:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def on_change(self, callback: Callable[[str, ValueT | None], None]) -> None:
        """Have `callback(key, value)` called at each change, value None for a deleted key."""
        self._changed.append(callback)

    def revision(self, key: str) -> int:
        """The last revision of a key that was read, of its deletion too; 0 for a key that was never there."""
        return self._revisions.get(key, 0)

    async def ready(self, timeout_s: float = 30.0) -> None:
        """Wait until the bucket has been read once. TimeoutError after `timeout_s`."""
        if not await set_within(self._loaded, timeout_s):
            raise TimeoutError(f"{self._stream} was not read within {timeout_s:g} s: is NATS up? run migrate")

    async def check(self) -> None:
        """For /readyz. RuntimeError: the bucket has not been read yet."""
        if not self._loaded.is_set():
            raise RuntimeError(f"{self._stream} is not read yet: run migrate; has NATS this version's users.conf?")

    async def keep(self) -> None:
        """Read the bucket and follow its changes until cancelled."""
        reader = OrderedReader(self._bus, self._stream, [f"{self._prefix}>"], last_per_subject=True)
        restarts, loading = -1, True
        fresh: dict[str, ValueT] = {}
        async for batch in reader:
            if reader.restarts != restarts:
                restarts, loading, fresh = reader.restarts, True, {}
            for delivery in batch:
                key = delivery.subject.removeprefix(self._prefix)
                value = self._value(key, delivery.body, delivery.headers)
                if self._stamp is not None:
                    self._revisions[key] = delivery.stream_sequence
                    value = value if value is None else self._stamp(value, delivery.stream_sequence)
                if not loading:
                    self._apply(key, value)
                elif value is None:
                    fresh.pop(key, None)
                else:
                    fresh[key] = value
            if loading and (not batch or batch[-1].pending == 0):
                self._replace(fresh)
                loading = False
            if batch and not loading:
                self.position = batch[-1].stream_sequence
                self._seen.set(self.position)

    def _value(self, key: str, body: bytes, headers: Mapping[str, str]) -> ValueT | None:
        if headers.get("KV-Operation") in ("DEL", "PURGE"):
            return None
        try:
            return self._decode(body)
        except (ValidationError, ValueError) as error:
            log.error("bucket_value_unreadable", bucket=self._stream, key=key, error=str(error))
            return None

    def _apply(self, key: str, value: ValueT | None) -> None:
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value
        for callback in self._changed:
            callback(key, value)

    def _replace(self, fresh: dict[str, ValueT]) -> None:
        """Replace the content with a full read of the bucket; keys that have disappeared are reported as deleted."""
        for key in [key for key in self._values if key not in fresh]:
            self._apply(key, None)
        for key, value in fresh.items():
            self._apply(key, value)
        self._loaded.set()
