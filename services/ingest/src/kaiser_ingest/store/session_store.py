"""The state that ingest shares across restarts and replicas in KV: the active profile, the filters of each session, the
epoch for which each sandbox was emptied, and the numbers of the emergency stops that were sent."""

import asyncio
import json
from datetime import datetime

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.contract.subjects import INGEST_BUCKET
from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError

log = structlog.get_logger()

_TIMEOUT_S = 3.0
_PROFILE_KEY = "profile"
_STOPS_KEY = "stops"


class SessionStore:
    """Reads and writes the bucket `ingest`.

    The values that were read or written last are also kept here. `follow_bucket` writes them again after the bucket was
    deleted and declared again, and writes those that NATS did not take. Killed before that: the next holder has only
    what the bucket has.
    """

    def __init__(self, bus: Bus, prefix: str = "") -> None:
        """`prefix` of every key: that of an ingest beside another one."""
        self._bus = bus
        self._prefix = prefix
        self._values: dict[str, bytes] = {}
        self._unwritten: set[str] = set()
        self._writing = asyncio.Lock()
        self._made_at: datetime | None = None

    async def profile(self) -> str | None:
        """The profile that was switched to last; None if there was no switch. Raises BusUnavailable."""
        value = await self._get(_PROFILE_KEY)
        return None if value is None else value.decode()

    async def remember_profile(self, name: str) -> None:
        """Keep the active profile for the next start and for standbys."""
        await self._put(_PROFILE_KEY, name.encode())

    async def emptied(self, profile: str) -> int | None:
        """The epoch for which the sandbox of this profile was emptied; None if it never was. Raises BusUnavailable."""
        value = await self._get(f"emptied.{profile}")
        return int(value) if value is not None and value.isdigit() else None

    async def remember_emptied(self, profile: str, epoch: int) -> None:
        """Keep that the sandbox was emptied for this epoch."""
        await self._put(f"emptied.{profile}", str(epoch).encode())

    async def stops(self) -> bytes | None:
        """The numbers of the stops that went out (StopOrder.dump); None if none did. Raises BusUnavailable."""
        return await self._get(_STOPS_KEY)

    async def remember_stops(self, numbers: bytes) -> None:
        """Keep the numbers for the next holder of the lease."""
        await self._put(_STOPS_KEY, numbers)

    async def filters(self, profile: str) -> frozenset[str] | None:
        """The filters that the session at this profile's broker has; None if there was never a session. While NATS is
        away: those that this process knows, so that a connection to the broker need not wait. Raises BusUnavailable if
        it knows none."""
        key = f"filters.{profile}"
        try:
            value = await self._get(key)
        except BusUnavailable:
            value = self._values.get(key)
            if value is None:
                raise
        return None if value is None else frozenset(json.loads(value))

    async def remember_filters(self, profile: str, filters: frozenset[str]) -> None:
        """Keep the filters of the session at this profile's broker."""
        await self._put(f"filters.{profile}", json.dumps(sorted(filters)).encode())

    async def follow_bucket(self) -> bool:
        """Write what the bucket lacks: everything known if it is another bucket than at the last call, and the values
        that NATS did not take. True if it is another bucket. Raises BusUnavailable: call it again."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                status = await (await self._bus.jetstream.key_value(INGEST_BUCKET.name)).status()
        except (NatsError, OSError, TimeoutError) as error:
            raise _unavailable("the state", error) from error
        made_at = status.stream_info.created
        is_another = self._made_at is not None and made_at != self._made_at
        if is_another:
            log.warning("session_bucket_recreated", keys=len(self._values))
            self._unwritten |= self._values.keys()
        for key in sorted(self._unwritten):
            await self._write(key)
        self._made_at = made_at
        return is_another

    def forget(self) -> None:
        """Another process may have written since: nothing that is known here is written again."""
        self._values.clear()
        self._unwritten.clear()
        self._made_at = None

    async def _get(self, key: str) -> bytes | None:
        if key in self._unwritten:
            return self._values[key]
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                bucket = await self._bus.jetstream.key_value(INGEST_BUCKET.name)
                value = (await bucket.get(self._prefix + key)).value
        except KeyNotFoundError:
            return None
        except (NatsError, OSError, TimeoutError) as error:
            raise _unavailable(f"the key {key}", error) from error
        if value is not None:
            self._values[key] = value
        return value

    async def _put(self, key: str, value: bytes) -> None:
        self._values[key] = value
        self._unwritten.add(key)
        try:
            await self._write(key)
        except BusUnavailable as error:
            log.warning("session_state_not_written", key=key, reason=str(error))

    async def _write(self, key: str) -> None:
        """Write the newest value of a key, unless it was forgotten meanwhile; one at a time, so that no older value
        comes behind it."""
        try:
            async with asyncio.timeout(_TIMEOUT_S), self._writing:
                value = self._values.get(key)
                if value is None:
                    return
                bucket = await self._bus.jetstream.key_value(INGEST_BUCKET.name)
                await bucket.put(self._prefix + key, value)
        except (NatsError, OSError, TimeoutError) as error:
            raise _unavailable(f"the key {key}", error) from error
        if self._values.get(key) == value:
            self._unwritten.discard(key)


def _unavailable(what: str, error: Exception) -> BusUnavailable:
    return BusUnavailable(f"{what} of the KV bucket {INGEST_BUCKET.name}: {str(error) or type(error).__name__}")
