"""Keeps the command journal: messages, receipts and time change the state of commands; a step's end sends the next.

Open commands are held in memory as the table has them, and change there only after the commit. Killed at any point: the
table is read again, the messages that were not acknowledged lead to the same result, and the newest changes are
published once more.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.factory import FactoryEnvironment, FactoryOutbox, FactoryReceipt
from kaiser_common.runtime.clock import now_ms
from kaiser_factory_dialect.journal import (
    JournalEntry,
    abandon,
    expire,
    is_open,
    lost,
    queue,
    sent,
    settle_all,
)
from kaiser_factory_dialect.messages import FactoryMessage
from kaiser_factory_dialect.subjects import outbox_subject
from msgspec.structs import replace as replace_fields

from kaiser_factory import metrics
from kaiser_factory.consumers.command_news import CommandNews
from kaiser_factory.domain.command_index import CommandIndex
from kaiser_factory.store import Connection
from kaiser_factory.store import commands as store
from kaiser_factory.store.commands import Command

log = structlog.get_logger()

_LATE_KEPT = 500
LATE_WITHIN_MS = 3_600_000
"""A finish that comes later than this after the command's end is not noted any more."""
_LATELY = timedelta(minutes=2)
"""Longer than a process takes from a commit to its end, another to take the lease, and this one to begin."""
_LATELY_MOST = 500
_ORDERS = frozenset({"module.order", "agv.order"})
STEP_WITHIN_MS = 60_000
"""A step follows the one before within this time or never: after a longer outage no person expects a machine to
move."""
_SEND_WITHIN_S = 3.0
_CONFIRMED_WITHIN_MS = 10_000
"""A commit that is not confirmed by then is looked for in the table; commands that were not sent expire as late."""
_UNCONFIRMED_KEPT = 500
_MAY_BE_LATE = frozenset({"no_answer", "timed_out"})


class Journal:
    """The open commands of the environment in force."""

    def __init__(self, bus: Bus, environment: FactoryEnvironment, news: CommandNews | None = None) -> None:
        """A journal after a switch goes on with the events that the one before it owes."""
        self._bus = bus
        self.news = CommandNews(bus) if news is None else news
        self.environment = environment
        self._open: dict[str, Command] = {}
        self._late: dict[str, Command] = {}
        self._index = CommandIndex()
        """Of the open and the late ones."""
        self._waiting: dict[str, list[Command]] = {}
        self._unconfirmed: dict[str, int] = {}
        """Keys of requests whose commit is under way, or whose connection was lost meanwhile; since when (ms)."""

    async def load(self, connection: Connection) -> list[Command]:
        """Load the open commands. Those of another environment or epoch are abandoned, and returned. A command that
        nothing answers has ended with "sent", and stays unchanged.

        How every command stands that was written within the last two minutes is to be published after the commit: the
        process or journal that wrote it may have ended before it published that.
        """
        self._open, self._late, self._waiting, self._index = {}, {}, {}, CommandIndex()
        left: list[Command] = []
        now = now_ms()
        for command in await store.open_ones(connection):
            self._unconfirmed.pop(command.request_key, None)
            if command.entry is not None and not is_open(command.entry):
                continue
            if (command.env, command.epoch) != (self.environment.env, self.environment.epoch):
                left.append(_abandoned(command, now))
            elif command.entry is None:
                self._waiting.setdefault(command.sequence_id or "", []).append(command)
            else:
                self._follow(command)
        await store.move(connection, left)
        self.news.owe_if_untold(await store.changed_lately(connection, _LATELY, _LATELY_MOST))
        return left

    def unanswered(self) -> frozenset[str]:
        """Serials that were sent an order of which they have said nothing yet."""
        return frozenset(
            one.command.serial
            for one in self._open.values()
            if one.command.serial is not None
            and one.command.what in _ORDERS
            and _of(one).state in {"queued", "sent", "unconfirmed"}
        )

    def begin(self, request_key: str, now: int) -> None:
        """Note that the commands of a request are being committed; of more than 500, the newest are kept."""
        self._unconfirmed[request_key] = now
        while len(self._unconfirmed) > _UNCONFIRMED_KEPT:
            del self._unconfirmed[next(iter(self._unconfirmed))]

    async def find_unconfirmed(self, connection: Connection, now: int) -> None:
        """Follow the commands of requests whose commit was made and not confirmed. They were never sent, and expire.

        A commit under way holds the lock of steering: until it has ended, nothing is looked for."""
        due = [key for key, since in self._unconfirmed.items() if now - since >= _CONFIRMED_WITHIN_MS]
        if not due or not await store.try_lock(connection):
            return
        for key in due:
            found = await store.of_request(connection, self.environment.env, key)
            if self._unconfirmed.pop(key, None) is not None:
                self.add(each for each in found if each.state == "waiting" or _is_unended(each))

    def has_unconfirmed(self, now: int) -> bool:
        """Whether `find_unconfirmed` has something to look for."""
        return any(now - since >= _CONFIRMED_WITHIN_MS for since in self._unconfirmed.values())

    def confirm(self, request_key: str, made: Sequence[Command]) -> list[Command]:
        """Follow the commands of a request whose commit is confirmed; those that are to be published and sent.

        A late confirmation: the commands were found in the table before, and are left as they are. Of them only those
        that still wait or are still queued are to be sent."""
        if self._unconfirmed.pop(request_key, None) is not None:
            self.add(made)
            return list(made)
        waiting = {each.command_id for steps in self._waiting.values() for each in steps}
        return [each for each in made if each.command_id in waiting or self._is_queued(each.command_id)]

    def _is_queued(self, command_id: str) -> bool:
        found = self._open.get(command_id)
        return found is not None and _of(found).state == "queued"

    def add(self, commands: Iterable[Command]) -> None:
        """Follow commands that were committed."""
        for command in (each.kept() for each in commands):
            if command.entry is None:
                self._waiting.setdefault(command.sequence_id or "", []).append(command)
            else:
                self._follow(command)

    def _follow(self, command: Command) -> None:
        self._open[command.command_id] = command
        self._index.add(command.command_id, command.command)

    def settled(
        self, messages: Sequence[FactoryMessage], receipts: Sequence[tuple[str, FactoryReceipt]], now: int | None
    ) -> list[Command]:
        """The commands that messages and receipts, and the time `now`, move; nothing is changed yet."""
        entries: dict[str, JournalEntry] = {}
        for command_id, receipt in receipts:
            if command_id in self._open or command_id in self._late:
                entries[command_id] = _by_receipt(self._entry(command_id, entries), receipt)
        for message in messages:
            about = [(each, self._entry(each, entries)) for each in self._index.about(message)]
            fresh = sorted(
                ((each, entry) for each, entry in about if _is_in_time(entry, message.ts)),
                key=lambda one: one[1].queued_at,
            )
            settled = settle_all([entry for _, entry in fresh], message)
            entries.update((each, after) for (each, _), after in zip(fresh, settled, strict=True))
        if now is not None:
            entries.update((each, expire(self._entry(each, entries), now)) for each in self._open)
        moved: list[Command] = []
        for command_id, entry in entries.items():
            before = self._open.get(command_id) or self._late[command_id]
            if entry is not _of(before) and entry != before.entry:
                moved.append(before.moved(entry))
        return moved + self._following(moved)

    def _entry(self, command_id: str, entries: Mapping[str, JournalEntry]) -> JournalEntry:
        """How a command stands after what was settled already."""
        found = entries.get(command_id)
        return found if found is not None else _of(self._open.get(command_id) or self._late[command_id])

    def forget_late(self, now: int) -> None:
        """Drop the commands that ended so long before the time `now` that a late finish is not noted any more."""
        for command_id in [each for each, one in self._late.items() if now - _of(one).at > LATE_WITHIN_MS]:
            self._drop_late(command_id)

    def _drop_late(self, command_id: str) -> None:
        del self._late[command_id]
        self._index.remove(command_id)

    def _following(self, moved: Sequence[Command]) -> list[Command]:
        """The steps of sequences that go now, and those that never will: the one before did not finish, or that became
        known so late that no person expects the machine to move."""
        now = now_ms()
        found: list[Command] = []
        for command in moved:
            waiting = self._waiting.get(command.sequence_id or "")
            if not waiting or command.entry is None or is_open(command.entry):
                continue
            if command.entry.state != "finished" or now - command.entry.at > STEP_WITHIN_MS:
                found += [replace(each, abandoned=True) for each in waiting]
                continue
            due = next((each for each in waiting if each.after == command.command.action_id), None)
            if due is not None:
                found.append(replace(due, queued_at=now, entry=queue(due.command, now)))
        return found

    async def commit(self, moved: Sequence[Command]) -> None:
        """After the commit: remember, say it, and send the steps that are due."""
        due: list[Command] = []
        for command in (each.kept() for each in moved):
            self._open.pop(command.command_id, None)
            self._late.pop(command.command_id, None)
            self._index.remove(command.command_id)
            steps = self._waiting.get(command.sequence_id or "", [])
            was_waiting = any(each.command_id == command.command_id for each in steps)
            if was_waiting:
                steps[:] = [each for each in steps if each.command_id != command.command_id]
                if not steps:
                    self._waiting.pop(command.sequence_id or "", None)
            if command.entry is None:
                metrics.COMMAND_ENDS.labels("abandoned").inc()
            elif is_open(command.entry):
                self._follow(command)
                if was_waiting:
                    due.append(command)
            else:
                metrics.COMMAND_ENDS.labels(command.entry.state).inc()
                if command.entry.state in _MAY_BE_LATE and not command.entry.late:
                    self._late[command.command_id] = command
                    self._index.add(command.command_id, command.command)
                    while len(self._late) > _LATE_KEPT:
                        self._drop_late(next(iter(self._late)))
        await self.publish(moved)
        await self.send(due)

    async def publish(self, commands: Sequence[Command] = ()) -> None:
        """Publish how commands stand, and what could not be published before."""
        self.news.owe(commands)
        await self.news.publish()

    async def send(self, commands: Sequence[Command]) -> None:
        """Put committed commands on the OUTBOX. NATS away: they stay queued, and expire."""
        for command in commands:
            message = FactoryOutbox(
                topic=command.topic,
                payload_base64=base64.b64encode(command.payload).decode(),
                env=command.env,
                epoch=command.epoch,
                queued_at=command.queued_at,
                qos=command.qos,
                retain=command.clears,
                free=command.free,
                command_id=command.command_id,
            )
            subject = outbox_subject("command", command.command.serial)
            try:
                body = message.model_dump_json(exclude_none=True).encode()
                await self._bus.publish(subject, body, f"factory.{command.command_id}", deadline_s=_SEND_WITHIN_S)
            except BusUnavailable as error:
                log.warning("factory_command_not_queued", command=command.command_id, reason=str(error))


def _of(command: Command) -> JournalEntry:
    assert command.entry is not None
    return command.entry


def _is_unended(command: Command) -> bool:
    return command.entry is not None and is_open(command.entry)


def _is_in_time(entry: JournalEntry, ts: int) -> bool:
    """Whether a message of that time can be about the command: it is no older, nor much later than its end."""
    return entry.queued_at <= ts and (is_open(entry) or ts - entry.at <= LATE_WITHIN_MS)


def _by_receipt(entry: JournalEntry, receipt: FactoryReceipt) -> JournalEntry:
    match receipt.outcome:
        case "sent":
            return sent(entry, receipt.at)
        case "unconfirmed":
            return lost(entry, receipt.at)
        case "expired" if entry.state in {"queued", "unconfirmed"}:
            # Ingest may find a command too late after it said "unconfirmed": it was not written then.
            return replace_fields(entry, state="expired", at=receipt.at, sent_at=None, code=Code.PUBLISH_FAILED)
        case "refused" if is_open(entry):
            return replace_fields(
                entry, state="refused", at=receipt.at, code=Code.PERMISSION_DENIED, result=receipt.detail
            )
    return entry


def _abandoned(command: Command, now: int) -> Command:
    if command.entry is None:
        return replace(command, abandoned=True)
    return command.moved(abandon(command.entry, now))
