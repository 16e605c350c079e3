"""Stores the messages of FACTORY in tables and journal: one transaction per batch, acknowledged after the commit.

Database away: the messages wait on FACTORY, and the live screens continue (consumers/live.py). After a failure the
memory of earlier messages is read again from the tables, so a batch that is delivered twice is stored once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain

import msgspec
import structlog
from kaiser_common.bus.consumer import ConsumerPosition
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.errors import line_of
from kaiser_common.contract.pack import NotAPack
from kaiser_common.contract.schemas.factory import FactoryReceipt
from kaiser_common.contract.subjects import is_packed
from kaiser_common.runtime.clock import now_ms, utc_now
from kaiser_common.runtime.consume import Unreadable
from kaiser_common.runtime.database import DatabasePool
from kaiser_factory_dialect import wire
from kaiser_factory_dialect.catalogue import FactoryKind
from kaiser_factory_dialect.ccu_messages import FactoryLayout
from kaiser_factory_dialect.messages import FactoryMessage
from kaiser_factory_dialect.subjects import from_token, is_receipt
from pydantic import ValidationError

from kaiser_factory import metrics
from kaiser_factory.consumers.journal import Journal
from kaiser_factory.domain.rows import Past, Rows, rows_of
from kaiser_factory.store import commands, past, writing
from kaiser_factory.store.commands import JournalStale

log = structlog.get_logger()


class MessageStore:
    """Stores what the durable consumer factory-store delivers.

    The journal is moved by a batch or by the clock, one at a time: each decides on what the other has committed.
    """

    def __init__(
        self, pool: DatabasePool, journal: Journal, layout: Callable[[], FactoryLayout | None] = lambda: None
    ) -> None:
        """layout: that of the live state, for the lengths of roads; None: none was received."""
        self._layout = layout
        self._pool = pool
        self._journal = journal
        self._pasts: dict[str, Past] = {}
        self._turn = asyncio.Lock()
        self._stored_to = (0, 0)
        """Stream sequence and time (ns) of the newest message on FACTORY that was stored."""
        self._heard_to: int | None = None
        """Receive time (ms) of the newest message of this environment that was stored; None: none was yet."""

    async def on_messages(self, batch: Sequence[Delivery]) -> Unreadable:
        """Store a batch; what of it cannot be read. Messages that were stored are left out where the durable consumer
        was deleted and declared again: it delivers again what FACTORY still has."""
        unreadable: list[tuple[Delivery, str]] = []
        messages: dict[str, list[FactoryMessage]] = {}
        receipts: list[tuple[str, FactoryReceipt]] = []
        env = self._journal.environment.env
        for line in chain.from_iterable(lines_of(each) for each in batch if not self._was_stored(each)):
            try:
                found = read(line)
            except (ValidationError, msgspec.MsgspecError, ValueError) as error:
                unreadable.append((line, line_of(error)))
                continue
            if isinstance(found, FactoryMessage):
                if not self._is_of_before(found):
                    messages.setdefault(found.env, []).append(found)
            else:
                receipts.append(found)
        settling = [each for each in messages.get(env, ()) if each.epoch == self._journal.environment.epoch]
        async with self._turn:
            rows = await self._settle(messages, settling, receipts)
            self._heard_to = max((each.ts for each in settling), default=self._heard_to)
            if self._heard_to is not None:
                self._journal.forget_late(self._heard_to)
        for each in rows:
            _count(each)
        self._stored_to = max(self._stored_to, *((each.stream_sequence, each.timestamp_ns) for each in batch))
        return unreadable

    def _was_stored(self, delivery: Delivery) -> bool:
        """Whether it comes from a consumer that began again: first deliveries are in order otherwise. A new stream has
        newer times. A message that was put off when its consumer was deleted is taken for stored, and missing."""
        sequence, stored_ns = self._stored_to
        return delivery.stream_sequence < sequence and delivery.timestamp_ns <= stored_ns and delivery.deliveries == 1

    def _is_of_before(self, message: FactoryMessage) -> bool:
        """Whether a message is of a mock factory or a replay that the one in force has replaced."""
        now = self._journal.environment
        return now.kind != "live" and message.env == now.env and message.epoch != now.epoch

    async def _settle(
        self,
        messages: dict[str, list[FactoryMessage]],
        settling: Sequence[FactoryMessage],
        receipts: Sequence[tuple[str, FactoryReceipt]],
    ) -> list[Rows]:
        """Store messages and move the journal in one transaction. JournalStale: the journal was read again, and the
        messages are to be delivered again."""
        moved = self._journal.settled(settling, receipts, None)
        try:
            rows = await self._store(messages, moved)
        except JournalStale:
            await self._reload()
            raise
        await self._journal.commit(moved)
        return rows

    async def _reload(self) -> None:
        log.warning("journal_stale", next="it is read again")
        self._journal.news.drop()
        async with self._pool.connection() as connection:
            await self._journal.load(connection)

    async def expire(self, position: Callable[[], Awaitable[ConsumerPosition | None]]) -> None:
        """End what had its time, by the clock. While messages wait on FACTORY, of which one may say otherwise, by the
        time of the newest that was stored. position: how far the durable consumer is."""
        async with self._turn:
            if self._journal.has_unconfirmed(now_ms()):
                async with self._pool.connection() as connection:
                    await self._journal.find_unconfirmed(connection, now_ms())
            moved = self._journal.settled([], [], now_ms())
            if moved and not _is_at_the_end(await position()):
                moved = [] if self._heard_to is None else self._journal.settled([], [], self._heard_to)
            if moved:
                try:
                    async with self._pool.connection() as connection:
                        await commands.move(connection, moved)
                except JournalStale:
                    await self._reload()
                else:
                    await self._journal.commit(moved)

    async def _store(self, messages: dict[str, list[FactoryMessage]], moved: Sequence[commands.Command]) -> list[Rows]:
        """Store a batch. The memory of earlier messages is updated only after the commit."""
        rows: list[Rows] = []
        pasts, self._pasts = self._pasts, {}
        async with self._pool.connection() as connection:
            for env, of_env in messages.items():
                if env not in pasts:
                    pasts[env] = await past.load(connection, env, utc_now())
                if env == self._journal.environment.env:
                    pasts[env].factory.layout = self._layout()
                found = rows_of(env, of_env, pasts[env])
                await writing.write(connection, found, pasts[env])
                rows.append(found)
            await commands.move(connection, moved)
        for each in rows:
            pasts[each.env].shorten(each.orders.values())
        self._pasts = pasts
        return rows


def _is_at_the_end(position: ConsumerPosition | None) -> bool:
    """Whether every message on the stream is stored and acknowledged; no answer says nothing."""
    return position is not None and position.pending == 0 and position.unacknowledged == 0


def lines_of(delivery: Delivery) -> list[Delivery]:
    """The lines of a pack. A message alone is one line, and so is a pack that is none, which cannot be read."""
    if not is_packed(delivery.subject):
        return [delivery]
    try:
        return [delivery.line(number, body) for number, body in enumerate(delivery.lines())]
    except NotAPack:
        return [delivery]


def read(delivery: Delivery) -> FactoryMessage | tuple[str, FactoryReceipt]:
    """A message of FACTORY, or a receipt with the id of its command. Raises where it is neither."""
    if is_packed(delivery.subject):
        return wire.from_line(delivery.body)
    tokens = delivery.subject.split(".")
    if is_receipt(delivery.subject):
        return from_token(tokens[-1]), FactoryReceipt.model_validate_json(delivery.body)
    if len(tokens) != 5:
        raise ValueError(f"{delivery.subject[:128]} is not a subject of FACTORY")
    return wire.decode(FactoryKind(f"{tokens[2]}.{tokens[3]}"), delivery.body)


def _count(rows: Rows) -> None:
    for table in ("transitions", "orders", "steps", "quality"):
        metrics.STORED.labels(table).inc(len(getattr(rows, table)))
    for order_id, record in rows.orders.items():
        if record.order.state == "FINISHED" and record.order.started and record.order.stopped:
            log.info("factory_order_finished", order_id=order_id, type=record.order.type)
