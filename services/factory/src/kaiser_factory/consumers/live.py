"""Builds the live state from TOPICS, the last value of each topic, and from FACTORY, every message since; needs no
database.

ingest writes TOPICS behind FACTORY, so FACTORY is read from some time before the newest message of TOPICS. Killed, NATS
unavailable or a gap: the state is rebuilt in this way. It contains all changes made in between, but no events are
published for them; a viewer gets the rows as they are then.
"""

from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import msgspec
import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.contract.pack import NotAPack
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.subjects import FACTORY, KEPT_OF_FACTORY_S, TOPICS, is_packed
from kaiser_common.runtime.clock import now_ms, utc_now
from kaiser_factory_dialect import wire
from kaiser_factory_dialect.kept_messages import head_of, stored_arrival
from kaiser_factory_dialect.subjects import is_receipt

from kaiser_factory import metrics, publish
from kaiser_factory.domain.live import VALUES, Changes, FactoryState, may_hide_a_value

log = structlog.get_logger()

_UNUSED_S = 1.0
"""TOPICS has 32 consumers at most, and a start may look for the last value of more topics than that."""
_ENDED_S = 10.0
"""The same for the reader of all last values."""
_AT_ONCE = 100
"""A pack may have 128 KiB (ingest's MOST_FACTORY_BYTES), and a start reads many."""
_BEFORE = timedelta(seconds=KEPT_OF_FACTORY_S)


class LiveReader:
    """Keeps the live state of one environment, until cancelled."""

    def __init__(
        self,
        bus: Bus,
        environment: FactoryEnvironment,
        interfaces: tuple[str, ...],
        on_ready: Callable[[FactoryState], None],
    ) -> None:
        self._bus = bus
        self._environment = environment
        self._interfaces = interfaces
        self._on_ready = on_ready

    async def run(self) -> None:
        """Read the last values, then follow; from the beginning after a gap."""
        while True:
            live = FactoryState(self._environment, self._interfaces)
            newest_at = await self._read_last_values(live)
            if newest_at is not None:
                await self._follow(live, newest_at - _BEFORE)

    async def _read_last_values(self, live: FactoryState) -> datetime | None:
        """Apply the last value of each topic, in the order of the stream: when the newest message was stored, or the
        time now where there is none. None: a gap was found."""
        last = await self._last_messages()
        if last is None:
            return None
        values = [value for each in last if (value := await self._value_of(each)) is not None]
        for value in sorted(values, key=lambda each: each.stream_sequence):
            head = head_of(value)
            live.take_last(stored_arrival(value, head), head.word)
        newest_ns = max((each.timestamp_ns for each in last), default=0)
        return datetime.fromtimestamp(newest_ns / 1e9, UTC) if newest_ns else utc_now()

    async def _last_messages(self) -> list[Delivery] | None:
        """The last message of each topic. None: a gap was found.

        They are held until all are read: the server drops a reader that does something else for ten seconds.
        """
        filters = [f"topic.{self._environment.env}.>"]
        reader = OrderedReader(self._bus, TOPICS.name, filters, last_per_subject=True, unused_s=_ENDED_S)
        found: list[Delivery] = []
        async with aclosing(reader.__aiter__()) as batches:
            async for batch in batches:
                if reader.restarts:
                    return None
                found += batch
                if not batch or batch[-1].pending == 0:
                    break
        return found

    def _is_of_before(self, epoch: int) -> bool:
        """A mock factory and a replay begin with an empty state: only messages of the epoch in force count there."""
        return self._environment.kind != "live" and epoch != self._environment.epoch

    async def _value_of(self, last: Delivery) -> Delivery | None:
        """The last message of a topic if it was read, else the newest one before it that was; None: none is kept.

        A look-up takes a consumer, of which TOPICS has few: none is made for a topic that is never read.
        """
        head = head_of(last)
        if self._is_of_before(head.epoch):
            return None
        if head.word in VALUES:
            return last
        return await self._look_up(last.subject) if may_hide_a_value(head.word) else None

    async def _look_up(self, subject: str) -> Delivery | None:
        """The newest message of a topic that was read; None: none is kept."""
        reader = OrderedReader(self._bus, TOPICS.name, [subject], start_sequence=1, unused_s=_UNUSED_S)
        found: Delivery | None = None
        async with aclosing(reader.__aiter__()) as batches:
            async for batch in batches:
                for each in batch:
                    head = head_of(each)
                    if head.word in VALUES and not self._is_of_before(head.epoch):
                        found = each
                if not batch or batch[-1].pending == 0:
                    break
        return found

    async def _follow(self, live: FactoryState, since: datetime) -> None:
        """Apply what FACTORY has since then, say that the state is ready, and publish what each further batch changes;
        returns after a gap."""
        reader = OrderedReader(self._bus, FACTORY.name, list(FACTORY.subjects), start_at=since, max_messages=_AT_ONCE)
        loading = True
        async with aclosing(reader.__aiter__()) as batches:
            async for batch in batches:
                if reader.restarts:
                    return
                changes = Changes()
                for delivery in batch:
                    self._take(live, delivery, changes, loading=loading)
                if loading and (not batch or batch[-1].pending == 0):
                    loading = False
                    changes = Changes(orders=set(live.factory.orders), stores=set(live.factory.stock), all_serials=True)
                    log.info("factory_state_ready", env=self._environment.env, machines=len(live.factory.machines))
                    self._on_ready(live)
                if not loading:
                    await self._publish(live, changes)

    def _take(self, live: FactoryState, delivery: Delivery, changes: Changes, *, loading: bool) -> None:
        """Apply a message or a pack. The store rejects what cannot be read, which is left out here."""
        for text in _texts(delivery):
            try:
                head = wire.head_of_line(text)
                if head.env != self._environment.env or self._is_of_before(head.epoch):
                    continue
                if loading and live.has(head.topic, head.ts):
                    continue
                is_counted = loading and live.is_last(head.topic, head.ts)
                message = wire.decode(head.kind, text)
                live.take(message, head.odd, head.unknown, changes, is_counted=is_counted)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                log.debug("message_left_out", sequence=delivery.stream_sequence, reason=type(error).__name__)

    async def _publish(self, live: FactoryState, changes: Changes) -> None:
        if await publish.news(self._bus, live, changes, now_ms()) and changes.received_at:
            metrics.EVENT_SECONDS.observe(max(0, now_ms() - changes.received_at) / 1000)


def _texts(delivery: Delivery) -> Iterator[bytes]:
    """The texts of a message of FACTORY. A receipt has none, and neither has a pack that cannot be split."""
    if not is_packed(delivery.subject):
        if not is_receipt(delivery.subject):
            yield delivery.body
        return
    try:
        yield from delivery.lines()
    except NotAPack as error:
        log.debug("message_left_out", sequence=delivery.stream_sequence, reason=str(error))
