"""Runs the mock factory: in an environment of kind mock, each change stored first, then published.

The factory reads the messages that MQTT delivered from TOPICS. It publishes to the broker on the lane mock. Its row
holds the state, the position in TOPICS, and the last messages with their ids. Killed: the next process publishes these
messages once more (NATS drops duplicates within two minutes) and continues. Database or NATS away: the factory stands
still. A new epoch starts it from the beginning, because its broker was emptied.
"""

import asyncio
import base64
import secrets
from collections.abc import Callable, Sequence

import structlog
from kaiser_common.bus.connection import MAX_BATCH, Bus, Outgoing
from kaiser_common.bus.environment import EnvironmentMirror
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.bus.rpc import RpcError
from kaiser_common.bus.turns import TURN_WITHIN_S, turn_of
from kaiser_common.contract.schemas.api.mock_factory import CreateMockFactory
from kaiser_common.contract.schemas.factory import FactoryEnvironment, FactoryOutbox
from kaiser_common.contract.subjects import TOPICS
from kaiser_common.runtime.database import UNAVAILABLE, DatabasePool
from kaiser_common.runtime.loops import beside, until_done
from kaiser_factory_dialect.kept_messages import head_of
from kaiser_factory_dialect.reading import Arrival
from kaiser_factory_dialect.subjects import outbox_subject, topic_of
from kaiser_factory_dialect.topics import parse

from kaiser_simulator import metrics
from kaiser_simulator.domain.plant import plant as factory_of
from kaiser_simulator.domain.plant.building import build_plant
from kaiser_simulator.domain.plant.saying import Said, Turn
from kaiser_simulator.domain.plant.state import Plant, PlantFaults
from kaiser_simulator.store import factories
from kaiser_simulator.store.factories import FactoryRow

log = structlog.get_logger()

Clock = Callable[[], int]
_SHORTEST_S, _LONGEST_S = 0.01, 0.1
_PUT_OFF: tuple[type[Exception], ...] = (*UNAVAILABLE, RpcError)
_STANDS_STILL = "the mock factory stands still: its database or NATS is away"


class MockFactoryRunner:
    """Follows the environment in force and runs its mock factory, if it has one."""

    def __init__(self, bus: Bus, pool: DatabasePool, clock: Clock) -> None:
        self._bus = bus
        self._pool = pool
        self._clock = clock
        self._environments = EnvironmentMirror(bus)
        self._changed = asyncio.Event()
        self.loaded: FactoryEnvironment | None = None
        """The environment of which it is known whether it has a factory."""
        self.running: RunningFactory | None = None
        """The factory that runs now; None: there is none, or it is not loaded yet."""

    @property
    def environment(self) -> FactoryEnvironment | None:
        """The environment in force; None where no ingest speaks the factory's dialect."""
        return self._environments.current

    async def run(self) -> None:
        """Until cancelled."""
        async with beside(environments=self._environments.keep()):
            await self._environments.work_in_each(self._work)

    async def create(self, environment: FactoryEnvironment, wanted: CreateMockFactory) -> None:
        """Make the factory of this environment; it runs as soon as it is stored. ValueError: it cannot be so."""
        running = await self._begin(environment, wanted)
        self.running = running
        self._changed.set()

    async def delete(self) -> None:
        """Stop the factory and forget it. Database away: it goes on. RpcError 503: it stands still."""
        running, self.running = self.running, None
        self._changed.set()
        if running is None:
            return
        try:
            await running.switch_off()
        except _PUT_OFF:
            self.running = running
            self._changed.set()
            raise

    async def _work(self, environment: FactoryEnvironment) -> None:
        """Run the factory that is stored for the environment, and any that is made in its place."""
        if environment.kind != "mock":
            await asyncio.Event().wait()
        try:
            await until_done(lambda: self._load(environment), "mock_factory_not_loaded")
            self.loaded = environment
            while True:
                self._changed.clear()
                running = self.running
                if running is None:
                    await self._changed.wait()
                    continue
                async with beside(mock_factory=running.run()):
                    await self._changed.wait()
        finally:
            self.running = self.loaded = None

    async def _load(self, environment: FactoryEnvironment) -> None:
        async with self._pool.connection() as connection:
            row = await factories.load(connection, environment.env)
        if row is None:
            return
        if row.epoch == environment.epoch:
            self.running = RunningFactory(self._bus, self._pool, self._clock, row)
            log.info("mock_factory_goes_on", env=row.env, epoch=row.epoch, orders=len(row.plant.active))
        else:
            self.running = await self._begin(environment, row.setup)

    async def _begin(self, environment: FactoryEnvironment, wanted: CreateMockFactory) -> "RunningFactory":
        plant = build_plant(wanted, secrets.token_hex(8))
        sequence = int((await self._bus.jetstream.stream_info(TOPICS.name)).state.last_seq)
        turn = factory_of.begin(plant, self._clock())
        row = FactoryRow(environment.env, environment.epoch, wanted, plant, sequence, 1, turn.said)
        async with self._pool.connection() as connection:
            await factories.save(connection, row)
        log.info("mock_factory_began", env=row.env, epoch=row.epoch, speed=wanted.speed)
        return RunningFactory(self._bus, self._pool, self._clock, row)


class RunningFactory:
    """One factory in one environment and epoch. A change is made, stored and published before the next is made."""

    def __init__(
        self, bus: Bus, pool: DatabasePool, clock: Clock, row: FactoryRow, waits_s: float = TURN_WITHIN_S
    ) -> None:
        """waits_s: for how long a request waits for its turn."""
        self._waits_s = waits_s
        self._bus = bus
        self._pool = pool
        self._clock = clock
        self._row = row
        self._turn = asyncio.Lock()

    @property
    def plant(self) -> Plant:
        """The factory's state."""
        return self._row.plant

    @property
    def place(self) -> tuple[str, int]:
        """Its environment and epoch."""
        return self._row.env, self._row.epoch

    async def run(self) -> None:
        """Let time pass and receive messages, until cancelled."""
        async with self._turn:
            await self._publish(self._row.unsent, self._row.said)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pass_time(), name="time")
            tasks.create_task(self._listen(), name="listen")

    async def set_faults(self, faults: PlantFaults) -> None:
        """Put other faults in force; they are stored when this returns. RpcError 503: the factory stands still."""
        async with turn_of(self._turn, _STANDS_STILL, self._waits_s):
            await self._change(lambda: factory_of.set_faults(self.plant, faults, self._clock()))

    async def switch_off(self) -> None:
        """Forget the factory; every machine says that it is gone. RpcError 503: it stands still."""
        async with turn_of(self._turn, _STANDS_STILL, self._waits_s):
            turn = factory_of.end(self.plant, self._clock())
            async with self._pool.connection() as connection:
                await factories.remove(connection, self._row.env)
            await self._publish(turn.said, None)

    async def _pass_time(self) -> None:
        while True:
            now = self._clock()
            due = factory_of.next_due(self.plant)
            if due is not None and due <= now:
                await self._do(lambda: factory_of.tick(self.plant, self._clock()))
            left_s = _LONGEST_S if due is None else (due - self._clock()) / 1000
            await asyncio.sleep(min(max(left_s, _SHORTEST_S), _LONGEST_S))

    async def _listen(self) -> None:
        filters = [f"topic.{self._row.env}.>"]
        async for batch in OrderedReader(self._bus, TOPICS.name, filters, start_sequence=self._row.sequence + 1):
            heard = [arrival for delivery in batch if (arrival := self._arrival(delivery)) is not None]
            if heard:
                await self._do(lambda heard=heard: self._hear(heard), batch[-1].stream_sequence)  # type: ignore[misc]
            elif batch:
                self._row = self._row._replace(sequence=batch[-1].stream_sequence)

    def _hear(self, heard: Sequence[Arrival]) -> Turn:
        turn = Turn(self.plant, self._clock())
        for arrival in heard:
            each = factory_of.hear(self.plant, arrival)
            turn.said += each.said
            turn.changed = turn.changed or each.changed
        return turn

    def _arrival(self, delivery: Delivery) -> Arrival | None:
        """A message that parts of the factory listen to; None for another, one of another epoch, and a retained one."""
        head = head_of(delivery)
        if head.epoch != self._row.epoch or head.retained:
            return None
        topic = topic_of(delivery.subject)[1]
        found = parse(topic)
        if found is None or found.row.direction not in {"in", "both"}:
            return None
        return Arrival(topic, delivery.body, self._clock())

    async def _do(self, make: Callable[[], Turn], sequence: int | None = None) -> None:
        """Make a change in its turn: no limit on the wait, as time and what was heard have nothing else to do."""
        async with self._turn:
            await self._change(make, sequence)

    async def _change(self, make: Callable[[], Turn], sequence: int | None = None) -> None:
        """Make a change, store it, publish what was said. Cancelled before it is stored: what is in memory is dropped,
        or stored with the next change."""
        turn = make()
        row = self._row if sequence is None else self._row._replace(sequence=sequence)
        if turn.changed:
            row = row._replace(said=row.said + 1, unsent=turn.said)
            await until_done(lambda: self._save(row), "mock_factory_stands_still")
        self._row = row
        await self._publish(turn.said, row.said if turn.changed else None)

    async def _save(self, row: FactoryRow) -> None:
        async with self._pool.connection() as connection:
            await factories.save(connection, row)

    async def _publish(self, said: Sequence[Said], number: int | None) -> None:
        """Publish messages in their order; under a number, so that NATS stores none twice, or as they come."""
        env, epoch = self.place
        now = self._clock()
        messages = [
            Outgoing(
                outbox_subject("mock", _serial(one.topic)),
                FactoryOutbox(
                    topic=one.topic,
                    payload_base64=base64.b64encode(one.payload.encode()).decode(),
                    env=env,
                    epoch=epoch,
                    queued_at=now,
                    retain=one.retain,
                )
                .model_dump_json()
                .encode(),
                self._bus.message_id() if number is None else f"plant.{self.plant.setup.seed}.{number}.{place}",
            )
            for place, one in enumerate(said)
        ]
        for start in range(0, len(messages), MAX_BATCH):
            part = messages[start : start + MAX_BATCH]
            await until_done(lambda part=part: self._bus.publish_batch(part), "mock_factory_stands_still")  # type: ignore[misc]
        metrics.PUBLISHED.inc(len(messages))


def _serial(topic: str) -> str | None:
    found = parse(topic)
    return None if found is None else found.serial
