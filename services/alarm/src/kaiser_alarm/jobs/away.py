"""Raises `store_paused` once PostgreSQL has been away for a minute: in memory, on the bus and through the channels.

PostgreSQL holds all alarms; this one has the id that its row will have. Once the database is back, the alarm is stored
as raised and cleared. Killed while the database is away: the next process starts only when the database is back, so
this outage is missing from the history.
"""

from collections.abc import Callable

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.contract.schemas.event import AlarmEvent
from kaiser_common.contract.times import time_of
from kaiser_common.runtime.database import UNAVAILABLE, DatabasePool

from kaiser_alarm import metrics
from kaiser_alarm.domain.board import Board, Found
from kaiser_alarm.domain.life import Clear, Key, LifeStep, Raise, applied, raised
from kaiser_alarm.domain.notification_texts import Language, text_of
from kaiser_alarm.domain.routing import DueNotification, due
from kaiser_alarm.jobs.notify import Ways
from kaiser_alarm.publish.channels import ChannelSender
from kaiser_alarm.publish.events import to_outgoing
from kaiser_alarm.store import alarms, notifications
from kaiser_alarm.store.sealing import Sealing, WrongKey

log = structlog.get_logger()

AWAY = Key("store_paused", "alarm")
AFTER_MS = 60_000
"""As for a paused store of readings: an ordinary restart of PostgreSQL is no alarm."""


class DatabaseWatch:
    """Looks every few seconds. ways: channels and routes as the database had them last."""

    def __init__(
        self,
        pool: DatabasePool,
        bus: Bus,
        board: Board,
        ways: Ways,
        sender: ChannelSender,
        sealing: Callable[[], Sealing],
        on_steps: Callable[[], None],
        clock_ms: Callable[[], int],
        language: Language,
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._board = board
        self._ways = ways
        self._sender = sender
        self._sealing = sealing
        self._on_steps = on_steps
        self._clock_ms = clock_ms
        self._language = language
        self._away_since: int | None = None
        self._step: LifeStep | None = None
        self._is_published = False
        self._told: dict[str, DueNotification] = {}

    async def look(self) -> None:
        """Raise, notify and (database back) store. NATS away too: the next look publishes, under the same id."""
        if await self._answers():
            if self._step is not None:
                await self._store(self._step)
            self._away_since, self._step, self._is_published = None, None, False
            self._told.clear()
            return
        now = self._clock_ms()
        self._away_since = now if self._away_since is None else self._away_since
        if now - self._away_since < AFTER_MS:
            return
        if self._step is None:
            self._raise(self._away_since)
        if self._step is not None:
            await self._publish(self._step)
            await self._notify(self._step, now)

    async def _answers(self) -> bool:
        try:
            async with self._pool.connection() as connection:
                await connection.execute("SELECT 1")
        except UNAVAILABLE:
            return False
        return True

    def _raise(self, since: int) -> None:
        self._step = raised(self._board.alarms.get(AWAY), finding_of(since), origin_of(since))
        if self._step is not None:
            log.error("database_away", since=since, next="alarms are not stored until it is back")
            self._board.take([self._step])
            metrics.STEPS.labels(self._step.what).inc()

    async def _publish(self, step: LifeStep) -> None:
        if self._is_published:
            return
        try:
            await self._bus.publish_batch([to_outgoing(event_of(step))])
        except BusUnavailable as error:
            log.warning("step_not_published", alarm_id=step.alarm.alarm_id, error=str(error))
        else:
            self._is_published = True

    async def _notify(self, step: LifeStep, now: int) -> None:
        """Send what is due and was not sent; a channel that does not take it is tried again with the next look."""
        for one in due(step.alarm, None, self._ways.routes, now):
            if one.key not in self._told and await self._sent(one):
                self._told[one.key] = one

    async def _sent(self, one: DueNotification) -> bool:
        try:
            url = self._sealing().open(self._ways.urls[one.channel_id])
        except WrongKey as error:
            failure: str | None = str(error)
        else:
            failure = await self._sender.send(url, text_of(one.alarm, one.key, self._language))
        metrics.NOTIFICATIONS.labels("failed_try" if failure else "sent").inc()
        if failure:
            log.warning("notification_not_sent", channel=one.channel_id, reason=failure)
        return failure is None

    async def _store(self, step: LifeStep) -> None:
        """The alarm and its notifications as the tables would have them, had the database been there; over now."""
        since = step.alarm.last_raised_at
        findings: list[Found] = [
            (finding_of(since), origin_of(since)),
            (Clear(AWAY, self._clock_ms()), f"back-{since}"),
        ]
        async with self._pool.connection() as connection:
            steps = applied(await alarms.locked(connection, {AWAY}), findings)
            await alarms.note_steps(connection, steps)
            await notifications.add_sent(connection, self._told.values(), time_of(self._clock_ms()))
        self._board.take(steps)
        self._on_steps()


def finding_of(since: int) -> Raise:
    """The condition, since a time."""
    text = f"PostgreSQL has been away since {time_of(since):%Y-%m-%d %H:%M:%S} UTC: readings and alarms are not stored"
    return Raise(AWAY, "critical", text, since)


def origin_of(since: int) -> str:
    """The origin from which the alarm's id is made, in memory and in the table."""
    return f"away-{since}"


def event_of(step: LifeStep) -> AlarmEvent:
    """The event of a step that is not stored."""
    return AlarmEvent(**{**step.alarm.model_dump(), "what": step.what, "ts": step.at})
