"""Builds the live state from TOPICS, the last value of each topic, and from FACTORY, every message since; needs no
database.

ingest writes TOPICS behind FACTORY, so FACTORY is read from some time before the newest message of TOPICS. Killed, NATS
unavailable or a gap: the state is rebuilt in this way. It contains all changes made in between, but no events are
published for them; a viewer gets the rows as they are then.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.bus.direct import next_messages
from kaiser_common.bus.pull import Delivery
from kaiser_common.bus.reader import OrderedReader
from kaiser_common.contract.pack import NotAPack
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.subjects import FACTORY, KEPT_OF_FACTORY_S, TOPICS, is_packed
from kaiser_common.runtime.clock import now_ms, utc_now
from kaiser_factory_dialect import wire
from kaiser_factory_dialect.kept_messages import StoredMessage, head_of, stored_arrival
from kaiser_factory_dialect.subjects import is_receipt

from kaiser_factory import metrics, publish
from kaiser_factory.domain.live import VALUES, Changes, FactoryState, may_hide_a_value

log = structlog.get_logger()

_ENDED_S = 10.0
"""How long the server keeps the consumer of the reader of all last values: TOPICS has 32 at most."""
_LOOK_UPS_S = 60.0
"""How long a start looks behind last messages that were not read; FACTORY keeps KEPT_OF_FACTORY_S of what comes
meanwhile."""
_PAUSE_S = 0.5
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
        time now where there is none. None: a gap was found, or NATS does not answer."""
        last = await self._last_messages()
        if last is None:
            return None
        try:
            values = last.values + await self._look_up(last.hiding)
        except BusUnavailable as error:
            log.warning("last_values_not_looked_up", reason=str(error))
            await asyncio.sleep(_PAUSE_S)
            return None
        for value in sorted(values, key=lambda each: each.stream_sequence):
            head = head_of(value)
            live.take_last(stored_arrival(value, head), head.word)
        return datetime.fromtimestamp(last.newest_ns / 1e9, UTC) if last.newest_ns else utc_now()

    async def _last_messages(self) -> "_LastMessages | None":
        """The last message of each topic. None: a gap was found.

        All are read before anything else is done: the server drops a reader that rests for ten seconds.
        """
        filters = [f"topic.{self._environment.env}.>"]
        reader = OrderedReader(
            self._bus, TOPICS.name, filters, last_per_subject=True, max_messages=_AT_ONCE, unused_s=_ENDED_S
        )
        found = _LastMessages()
        async with aclosing(reader.__aiter__()) as batches:
            async for batch in batches:
                if reader.restarts:
                    return None
                for each in batch:
                    self._sort(each, found)
                if not batch or batch[-1].pending == 0:
                    break
        return found

    def _sort(self, last: Delivery, found: "_LastMessages") -> None:
        """Keep the last message of a topic if it was read, its subject if an earlier one may have been: of a topic that
        is never read, the payload (64 KiB at most) is not kept, and nothing is looked up."""
        head = head_of(last)
        found.newest_ns = max(found.newest_ns, last.timestamp_ns)
        if self._is_of_before(head.epoch):
            return
        if head.word in VALUES:
            found.values.append(last)
        elif may_hide_a_value(head.word):
            found.hiding.append((last.subject, last.stream_sequence))

    def _is_of_before(self, epoch: int) -> bool:
        """A mock factory and a replay begin with an empty state: only messages of the epoch in force count there."""
        return self._environment.kind != "live" and epoch != self._environment.epoch

    async def _look_up(self, hiding: Sequence[tuple[str, int]]) -> list[StoredMessage]:
        """The newest message of each topic that was read, where one is kept. BusUnavailable: NATS does not answer.

        Topics that are not reached within a minute are left out: their next message that is read brings them.
        """
        found: list[StoredMessage] = []
        looked_up = 0
        try:
            async with asyncio.timeout(_LOOK_UPS_S):
                for subject, end in hiding:
                    value = await self._newest_value(subject, end)
                    if value is not None:
                        found.append(value)
                    looked_up += 1
        except TimeoutError:
            log.warning("last_values_left_out", topics=len(hiding) - looked_up, within_s=_LOOK_UPS_S)
        return found

    async def _newest_value(self, subject: str, end: int) -> StoredMessage | None:
        """The newest message of a topic that was read, up to a sequence, as FACTORY has what came since; None: none is
        kept. A topic has 1,000 messages at most."""
        value: StoredMessage | None = None
        start = 1
        while start <= end and (batch := await next_messages(self._bus, TOPICS.name, subject, start)):
            for each in batch:
                head = head_of(each)
                if head.word in VALUES and not self._is_of_before(head.epoch):
                    value = each
            start = batch[-1].stream_sequence + 1
        return value

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


@dataclass(slots=True)
class _LastMessages:
    """The last messages of an environment's topics.

    values: those that were read; hiding: subject and sequence of those before which one may have been read; newest_ns:
    when the newest of all was stored, 0 where there is none.
    """

    values: list[StoredMessage] = field(default_factory=list)
    hiding: list[tuple[str, int]] = field(default_factory=list)
    newest_ns: int = 0


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
