"""Changes to mocks, one at a time: stored, then in force, then published; a mock's own changes are in force first."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import structlog
from kaiser_common.contract.errors import line_of
from kaiser_common.runtime.database import DatabasePool
from psycopg_pool import PoolTimeout

from kaiser_simulator import metrics
from kaiser_simulator.domain import payloads
from kaiser_simulator.domain.actuators import Reaction
from kaiser_simulator.domain.device import Life, MockDevice, Setup
from kaiser_simulator.domain.world import World
from kaiser_simulator.publish import Sender
from kaiser_simulator.store import mocks

log = structlog.get_logger()

_TURN_WITHIN_S = 10.0

Change = Callable[[MockDevice], Reaction]
"""Changes a mock; called again if the mock changed on its own while it was being saved."""
Clock = Callable[[], int]
"""Now, in ms since 1970; a fake one in tests."""


class Mocks:
    """The mocks with their table. Their own changes (auto-off, boot) are in force before they are saved
    (`save_changed`): killed in between, they are repeated from the table.

    waits_s: how long a change waits for those before it, which wait for the database; then PoolTimeout, as where the
    database is away.
    """

    def __init__(
        self, pool: DatabasePool, world: World, sender: Sender, clock: Clock, waits_s: float = _TURN_WITHIN_S
    ) -> None:
        self._pool = pool
        self._sender = sender
        self._clock = clock
        self._lock = asyncio.Lock()
        self._waits_s = waits_s
        self.world = world

    async def load(self) -> None:
        """Load every mock from the table. An unreadable one is skipped and reported as an error: its pattern's package
        may be missing, and the others must run."""
        async with self._pool.connection() as connection:
            found = await mocks.load(connection)
        for esp_id, setup, life in found:
            try:
                device = MockDevice(setup=Setup.model_validate(setup), life=Life.model_validate(life))
                self.world.put(device, self._clock())
            except ValueError as error:
                log.error("mock_unreadable", esp_id=esp_id, error=line_of(error))
            await asyncio.sleep(0)  # thousands take a second, and the lease wants to be renewed
        log.info("mocks_loaded", count=len(self.world))

    async def add(self, devices: list[MockDevice]) -> list[MockDevice]:
        """Add those whose id is free, all in one transaction; those that were added."""
        async with self._turn():
            new = [device for device in devices if device.esp_id not in self.world]
            async with self._pool.connection() as connection:
                await mocks.save(connection, new)
            for device in new:
                self.world.put(device, self._clock())
                await asyncio.sleep(0)
            return new

    async def change(self, esp_id: str, change: Change) -> MockDevice | None:
        """Change one mock; its new state, None if there is no such mock."""
        await self.change_all([esp_id], change)
        return self.world.get(esp_id)

    async def change_all(self, esp_ids: Iterable[str], change: Change, *, answering: bool = False) -> None:
        """Change mocks, in one transaction, and let them say what they say; `answering` takes a slow one its time."""
        async with self._turn():
            left = {esp_id: device for esp_id in esp_ids if (device := self.world.get(esp_id)) is not None}
            while left:
                reactions = {esp_id: change(device) for esp_id, device in left.items()}
                await self._save(left, reactions)
                left = self._put(left, reactions, answering)
        self._sender.add(self.world.take())

    async def delete(self, esp_id: str) -> None:
        """Remove a mock but for its tombstone; the broker forgets its will."""
        async with self._turn():
            device = self.world.get(esp_id)
            if device is None:
                return
            async with self._pool.connection() as connection:
                await mocks.bury(connection, esp_id)
            now_ms = self._clock()
            self.world.say(device, [payloads.will_taken_back(device)], now_ms)
            self.world.remove(esp_id)
        self._sender.add(self.world.take())

    async def save_changed(self) -> None:
        """Write the changes that mocks made on their own. Database unavailable: the next call writes them."""
        async with self._turn():
            changed = {
                esp_id: device for esp_id in self.world.changed if (device := self.world.get(esp_id)) is not None
            }
            if not changed:
                return
            async with self._pool.connection() as connection:
                await mocks.save_life(connection, changed.values())
            for esp_id, device in changed.items():
                if self.world.get(esp_id) is device:
                    self.world.changed.discard(esp_id)
        metrics.SAVED.labels("time").inc(len(changed))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._waits_s):
                await self._lock.acquire()
        except TimeoutError as error:
            raise PoolTimeout(f"other mocks have waited to be stored for {self._waits_s:g} s") from error
        try:
            yield
        finally:
            self._lock.release()

    async def _save(self, before: dict[str, MockDevice], reactions: dict[str, Reaction]) -> None:
        changed = [reaction.device for esp_id, reaction in reactions.items() if reaction.device is not before[esp_id]]
        if not changed:
            return
        async with self._pool.connection() as connection:
            await mocks.save(connection, changed)
        metrics.SAVED.labels("order").inc(len(changed))

    def _put(
        self, before: dict[str, MockDevice], reactions: dict[str, Reaction], answering: bool
    ) -> dict[str, MockDevice]:
        """Put in force what was saved. Returns the mocks that changed in between, to be saved again."""
        now_ms = self._clock()
        again: dict[str, MockDevice] = {}
        for esp_id, reaction in reactions.items():
            current = self.world.get(esp_id)
            if current is not before[esp_id]:
                if current is not None:
                    again[esp_id] = current
                continue
            if reaction.device is not current:
                self.world.put(reaction.device, now_ms)
                self.world.changed.discard(esp_id)
            delay_s = reaction.device.life.faults.slow_response_s if answering else 0.0
            self.world.say(reaction.device, reaction.publications, now_ms, delay_s)
        return again
