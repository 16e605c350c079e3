"""The replay that is running or paused, a task of the lease holder."""

import asyncio
from collections.abc import Callable

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import until_done

from kaiser_recorder import metrics
from kaiser_recorder.jobs.ahead import last_place
from kaiser_recorder.jobs.player import Player
from kaiser_recorder.store import replays
from kaiser_recorder.store.replays import Replay

log = structlog.get_logger()


class Replaying:
    """Starts the task; cancelled, the replay goes on at the next start."""

    def __init__(
        self,
        bus: Bus,
        pool: DatabasePool,
        environment: Callable[[], FactoryEnvironment | None],
        interfaces: tuple[str, ...],
    ) -> None:
        self._bus = bus
        self._pool = pool
        self._environment = environment
        self._interfaces = interfaces
        self._player: Player | None = None
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self, is_ready: asyncio.Event) -> None:
        """Take up what is not at its end, set the event, and keep the task until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            await until_done(self._take_up, "replays_not_loaded")
            is_ready.set()
            await asyncio.Event().wait()

    def start(self, replay: Replay) -> None:
        """Play a replay that is committed."""
        assert self._tasks is not None, "only while running"
        self._player = Player(self._bus, self._pool, replay, self._environment, self._interfaces)
        self._tasks.create_task(self._play(self._player), name=f"replay-{replay.replay_id}")

    def player_of(self, replay_id: str) -> Player | None:
        """The player of a replay that is not at its end."""
        player = self._player
        return player if player is not None and player.replay.replay_id == replay_id else None

    async def _take_up(self) -> None:
        async with self._pool.connection() as connection:
            found = await replays.open_one(connection)
        if found is not None:
            found = found.at(await last_place(self._bus))
            log.info("replay_goes_on", replay=found.replay_id, state=found.state, number=found.number)
            self.start(found)

    async def _play(self, player: Player) -> None:
        metrics.REPLAYING.set(1)
        try:
            await player.run()
        finally:
            metrics.REPLAYING.set(0)
            if self._player is player:
                self._player = None
