"""Knows the stops that went out before this process held the lease, and keeps the bucket `ingest` filled.

Until the stored numbers of the stops are read, stops and commands go out and each clear is withheld: actuator sends a
clear again for 15 s. Killed meanwhile: the next holder reads the numbers that the last complete holder stored.
"""

import structlog
from kaiser_common.bus.connection import BusUnavailable
from kaiser_common.runtime.loops import every

from kaiser_ingest.domain.stop_order import StopOrder
from kaiser_ingest.store.environments import Environments
from kaiser_ingest.store.session_store import SessionStore

log = structlog.get_logger()

_EVERY_S = 2.0


class StateWatch:
    """Looks at the bucket every two seconds while the lease is held."""

    def __init__(self, kept: SessionStore, environments: Environments | None) -> None:
        self._kept = kept
        self._environments = environments
        self._is_environment_lost = False

    async def stops(self) -> StopOrder:
        """The stops that earlier holders sent; incomplete if they cannot be read within 3 s. To be called first:
        another process may have written since this one held the lease."""
        self._kept.forget()
        stops = StopOrder()
        stops.is_complete = False
        try:
            await self._complete(stops)
        except BusUnavailable as error:
            log.error("stops_unread", reason=str(error), next="no clear is sent until they are read")
        return stops

    async def run(self, stops: StopOrder) -> None:
        """Look until cancelled. NATS away: nothing changes, and it looks again."""
        await every(_EVERY_S, lambda: self.look(stops), "session_state_unreadable")

    async def look(self, stops: StopOrder) -> None:
        """Complete the order of stops if it is incomplete, and fill the bucket again if it was declared again. Raises
        BusUnavailable."""
        if not stops.is_complete:
            await self._complete(stops)
            await self._kept.remember_stops(stops.dump())
            log.info("stops_read")
        if await self._kept.follow_bucket():
            self._is_environment_lost = True
        if self._is_environment_lost and self._environments is not None:
            await self._environments.restore()
        self._is_environment_lost = False

    async def _complete(self, stops: StopOrder) -> None:
        """Take in the stored numbers. A value of another form is not taken for none: it leaves the order incomplete."""
        stored = await self._kept.stops()
        try:
            if stored is not None:
                stops.load(stored)
        except ValueError as error:
            raise BusUnavailable(f"the key stops of the KV bucket ingest: {error}") from error
        stops.is_complete = True
