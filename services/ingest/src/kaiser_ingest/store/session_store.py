"""The state that ingest shares across restarts and replicas in KV: the active profile, the filters of each session, the
epoch for which each sandbox was emptied, and the numbers of the emergency stops that were sent."""

import asyncio
import json

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.contract.subjects import INGEST_BUCKET
from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError

log = structlog.get_logger()

_TIMEOUT_S = 3.0
_PROFILE_KEY = "profile"
_STOPS_KEY = "stops"


class SessionStore:
    """Reads and writes the bucket `ingest`. While NATS is away it knows nothing and says so in the log."""

    def __init__(self, bus: Bus, prefix: str = "") -> None:
        """`prefix` of every key: that of an ingest beside another one."""
        self._bus = bus
        self._prefix = prefix

    async def profile(self) -> str | None:
        """The profile that was switched to last."""
        value = await self._get(_PROFILE_KEY)
        return None if value is None else value.decode()

    async def remember_profile(self, name: str) -> None:
        """Keep the active profile for the next start and for standbys."""
        await self._put(_PROFILE_KEY, name.encode())

    async def emptied(self, profile: str) -> int | None:
        """The epoch for which the sandbox of this profile was emptied; None if it never was."""
        value = await self._get(f"emptied.{profile}")
        return int(value) if value is not None and value.isdigit() else None

    async def remember_emptied(self, profile: str, epoch: int) -> None:
        """Keep that the sandbox was emptied for this epoch."""
        await self._put(f"emptied.{profile}", str(epoch).encode())

    async def stops(self) -> bytes | None:
        """The numbers of the stops that went out (StopOrder.dump)."""
        return await self._get(_STOPS_KEY)

    async def remember_stops(self, numbers: bytes) -> None:
        """Keep the numbers for the next holder of the lease."""
        await self._put(_STOPS_KEY, numbers)

    async def filters(self, profile: str) -> frozenset[str] | None:
        """The filters that the session at this profile's broker has; None if there was never a session."""
        value = await self._get(f"filters.{profile}")
        return None if value is None else frozenset(json.loads(value))

    async def remember_filters(self, profile: str, filters: frozenset[str]) -> None:
        """Keep the filters of the session at this profile's broker."""
        await self._put(f"filters.{profile}", json.dumps(sorted(filters)).encode())

    async def _get(self, key: str) -> bytes | None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                bucket = await self._bus.jetstream.key_value(INGEST_BUCKET.name)
                return (await bucket.get(self._prefix + key)).value
        except KeyNotFoundError:
            return None
        except (NatsError, OSError, TimeoutError) as error:
            log.warning("session_state_unreadable", key=key, reason=str(error) or type(error).__name__)
            return None

    async def _put(self, key: str, value: bytes) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                bucket = await self._bus.jetstream.key_value(INGEST_BUCKET.name)
                await bucket.put(self._prefix + key, value)
        except (NatsError, OSError, TimeoutError) as error:
            log.warning("session_state_not_written", key=key, reason=str(error) or type(error).__name__)
