"""Sends notifications of open alarms: finds the ones that are due, stores them, sends what is stored.

A notification is stored under its key before it is sent, and marked as ended afterwards, so it is sent at least once:
killed between sending and marking, the message is sent again, with the same reference. A look handles at most four
messages of a channel, and a summary names each kind of alarm. A message that its channel does not accept is retried
five times within 43 minutes and every 30 minutes after that. It ends unsent only where its alarm wants no message any
more (domain/delivery.py).

Two conditions are this module's own. `no_channel` of a severity: from when an alarm of it is raised that no enabled
route takes to an enabled channel, until a route does. `delivery_failed`: from the first failed try of a channel, or
from when its URL turns out to be encrypted with another key, until it takes a message, a test too, or is disabled or
removed.
"""

import asyncio
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import blake2b

import structlog
from kaiser_common.contract.schemas.api.alarms import Alarm
from kaiser_common.contract.schemas.api.notifications import Channel, Route
from kaiser_common.contract.times import time_of
from kaiser_common.runtime.database import DatabasePool

from kaiser_alarm import metrics
from kaiser_alarm.domain.board import Board
from kaiser_alarm.domain.delivery import LATE_TRIES, NotificationFate, WaitingNotification, fate_of, retry_after_s
from kaiser_alarm.domain.life import Clear, Finding, Key, Raise, applied, is_active
from kaiser_alarm.domain.names import CalledOf
from kaiser_alarm.domain.notification_texts import Language, Text, summary_of, text_of
from kaiser_alarm.domain.routing import (
    MOST_APART,
    DueNotification,
    RecentMessages,
    by_channel,
    due,
    reached,
    worth_now,
)
from kaiser_alarm.publish.channels import ChannelSender
from kaiser_alarm.store import Connection, alarms, channels, notifications
from kaiser_alarm.store.notifications import Bundle
from kaiser_alarm.store.sealing import Sealing, WrongKey

log = structlog.get_logger()

_AT_ONCE = 4
_MINUTE = timedelta(minutes=1)
NO_CHANNEL, DELIVERY_FAILED = "no_channel", "delivery_failed"


@dataclass(slots=True)
class Ways:
    """The routes that lead to an enabled channel, and the encrypted URLs of channels, as they were read last."""

    routes: Sequence[Route] = ()
    urls: Mapping[str, str] = field(default_factory=dict)


class Notifying:
    """Looks every few seconds while this process holds the lease."""

    def __init__(
        self,
        pool: DatabasePool,
        board: Board,
        sender: ChannelSender,
        sealing: Callable[[], Sealing],
        zone_of: Callable[[str], str | None],
        called_of: CalledOf,
        on_steps: Callable[[], None],
        clock_ms: Callable[[], int],
        again_s: float,
        language: Language,
    ) -> None:
        self._again = timedelta(seconds=again_s)
        self._pool = pool
        self._board = board
        self._sender = sender
        self._sealing = sealing
        self._zone_of = zone_of
        self._called_of = called_of
        self._on_steps = on_steps
        self._clock_ms = clock_ms
        self._language = language
        self._finding = asyncio.Lock()
        self.ways = Ways()

    async def look(self) -> None:
        """Store what is due, then send what is stored and whose time has come.

        Database away: every message is tried, and the first error is raised as it is: an outage to the caller.
        A TaskGroup would raise a group, and Python 3.11 could leave this task marked as cancelled.
        """
        await self._plan()
        async with self._pool.connection() as connection:
            waiting = await notifications.waiting(connection, time_of(self._clock_ms()), _AT_ONCE)
        free = asyncio.Semaphore(_AT_ONCE)
        ended = await asyncio.gather(*(self._deliver(bundle, free) for bundle in waiting), return_exceptions=True)
        for result in ended:
            if isinstance(result, BaseException):
                raise result

    async def _plan(self) -> None:
        now = self._clock_ms()
        async with self._pool.connection() as connection:
            enabled = {one.channel_id: one for one in await channels.read_all(connection) if one.enabled}
            routes = _usable(await channels.routes(connection), enabled)
            self.ways.routes, self.ways.urls = routes, await channels.encrypted_urls(connection)
            found = [
                one
                for alarm in self._board.alarms.values()
                for one in due(alarm, self._zone(alarm), routes, now)
                if alarm.source != one.channel_id or alarm.kind != DELIVERY_FAILED
            ]
            new = await notifications.unknown(connection, found)
            flapping = {one.alarm.alarm_id for one in new if one.alarm.times > 1}
            at = time_of(now)
            lately = await notifications.recent_messages(connection, flapping, at - _MINUTE, at - self._again)
            worth = (one for one in new if worth_now(one, lately.get(one.channel_id, RecentMessages())))
            for channel_id, news in by_channel(worth).items():
                await self._store(connection, channel_id, news, now)
        await self._note_reached(routes, now)
        await self._note_encrypted_otherwise(enabled, now)
        await self._note_working(enabled, now)

    async def _store(self, connection: Connection, channel_id: str, news: Sequence[DueNotification], now: int) -> None:
        at = time_of(now)
        if len(news) <= MOST_APART:
            for one in news:
                await notifications.add(connection, [one], one.key, at, is_summary=False)
            return
        keys = "\n".join(sorted(one.key for one in news))
        bundle = f"{channel_id}-{blake2b(keys.encode(), digest_size=8).hexdigest()}"
        await notifications.add(connection, news, bundle, at, is_summary=True)

    def _zone(self, alarm: Alarm) -> str | None:
        return None if alarm.esp_id is None else self._zone_of(alarm.esp_id)

    async def _note_reached(self, routes: Sequence[Route], now: int) -> None:
        """Raise and clear `no_channel` of each severity; one without a severity is of a version before."""
        for severity, is_reached in reached(self._board.alarms.values(), self._zone, routes, now).items():
            key = Key(NO_CHANNEL, severity)
            if is_reached:
                await self._find(Clear(key, now))
            elif is_reached is False:
                text = f"no route takes a raised {severity} alarm to an enabled channel: only the console shows it"
                await self._find(Raise(key, "warning", text, now))
        if routes:
            await self._find(Clear(Key(NO_CHANNEL, ""), now))

    async def _note_encrypted_otherwise(self, enabled: Iterable[str], now: int) -> None:
        """Raise `delivery_failed` of channels whose URL the key does not decrypt, before an alarm has to be sent."""
        for channel_id in enabled:
            key = Key(DELIVERY_FAILED, channel_id)
            known, sealed = self._board.alarms.get(key), self.ways.urls.get(channel_id)
            if sealed is None or (known is not None and is_active(known)):
                continue
            try:
                self._sealing().open(sealed)
            except WrongKey as error:
                log.error("channel_not_decrypted", channel=channel_id, next="set its URL again, or give the former key")
                async with self._pool.connection() as connection:
                    await channels.note_result(connection, channel_id, str(error), time_of(now))
                await self._find(_failed(key, str(error), now))

    async def _note_working(self, enabled: Mapping[str, Channel], now: int) -> None:
        """Clear `delivery_failed` of channels that took a message since, such as a test, or are in use no more."""
        failing = [alarm for alarm in self._board.alarms.values() if alarm.kind == DELIVERY_FAILED and is_active(alarm)]
        for alarm in failing:
            channel = enabled.get(alarm.source)
            if channel is None or (channel.last_error is None and (channel.last_sent_at or 0) > alarm.last_raised_at):
                await self._find(Clear(Key(DELIVERY_FAILED, alarm.source), now))

    async def _find(self, finding: Finding) -> None:
        """Raise or clear an alarm of this module's own, one after the other: several messages to a channel may fail at
        once, and there is no row yet that could be locked."""
        async with self._finding:
            relevant = self._board.relevant([(finding, f"own-{finding.at}")])
            if not relevant:
                return
            async with self._pool.connection() as connection:
                steps = applied(await alarms.locked(connection, [finding.key]), relevant)
                await alarms.note_steps(connection, steps)
            self._board.take(steps)
        if steps:
            metrics.STEPS.labels(steps[0].what).inc()
            self._on_steps()

    async def _deliver(self, bundle: Bundle, free: asyncio.Semaphore) -> None:
        async with free:
            async with self._pool.connection() as connection:
                sealed = await channels.encrypted_url(connection, bundle.channel_id)
                alarm_ids = [one.alarm_id for one in bundle.notifications]
                found = {alarm.alarm_id: alarm for alarm in await alarms.read_several(connection, alarm_ids)}
            if sealed is None:
                await self._end([one.key for one in bundle.notifications], "dropped", "the channel is gone")
                return
            wanted = await self._still_wanted(bundle, found)
            if not wanted:
                return
            try:
                url = self._sealing().open(sealed)
            except WrongKey as error:
                failure: str | None = str(error)
            else:
                failure = await self._sender.send(url, self._text(bundle, [found[one.alarm_id] for one in wanted]))
        await self._note(bundle, [one.key for one in wanted], failure)

    async def _still_wanted(self, bundle: Bundle, found: Mapping[str, Alarm]) -> list[WaitingNotification]:
        """The notifications that are to be sent now; the others end here, or wait."""
        now = self._clock_ms()
        wanted: list[WaitingNotification] = []
        ended: dict[NotificationFate, list[str]] = {}
        for one in bundle.notifications:
            fate = fate_of(one, found.get(one.alarm_id), bundle.tries, now)
            if fate.state == "send":
                wanted.append(one)
            elif fate.state != "wait":
                ended.setdefault(fate, []).append(one.key)
        for fate, keys in ended.items():
            await self._end(keys, fate.state, fate.reason)
        return wanted

    def _text(self, bundle: Bundle, notified: Sequence[Alarm]) -> Text:
        if bundle.is_summary:
            return summary_of(notified, bundle.bundle, self._language, self._called_of)
        return text_of(notified[0], bundle.bundle, self._language, self._called_of)

    async def _note(self, bundle: Bundle, keys: Sequence[str], failure: str | None) -> None:
        now = self._clock_ms()
        key = Key(DELIVERY_FAILED, bundle.channel_id)
        if failure is None:
            async with self._pool.connection() as connection:
                await notifications.end(connection, keys, "sent", time_of(now), None)
                await channels.note_result(connection, bundle.channel_id, None, time_of(now))
            metrics.NOTIFICATIONS.labels("sent").inc()
            await self._find(Clear(key, now))
            return
        tries = bundle.tries + 1
        log.warning("notification_not_sent", channel=bundle.channel_id, tries=tries, reason=failure)
        metrics.NOTIFICATIONS.labels("failed" if tries >= LATE_TRIES else "failed_try").inc()
        async with self._pool.connection() as connection:
            until = time_of(now) + timedelta(seconds=retry_after_s(tries))
            await notifications.postpone(connection, keys, until, failure)
            await channels.note_result(connection, bundle.channel_id, failure, time_of(now))
        await self._find(_failed(key, failure, now))

    async def _end(self, keys: Collection[str], state: str, reason: str | None) -> None:
        async with self._pool.connection() as connection:
            await notifications.end(connection, keys, state, time_of(self._clock_ms()), reason)
        metrics.NOTIFICATIONS.labels(state).inc()


def _failed(key: Key, failure: str, now: int) -> Raise:
    text = f"channel {key.source} takes no messages: {failure}"
    return Raise(key, "critical", text, now, facts={"reason": failure})


def _usable(routes: Sequence[Route], enabled: Container[str]) -> list[Route]:
    """Routes with the channels of theirs that are enabled; those without one are left out."""
    kept: Mapping[str, list[str]] = {
        route.route_id: [each for each in route.channels if each in enabled] for route in routes
    }
    return [
        route.model_copy(update={"channels": kept[route.route_id]})
        for route in routes
        if route.enabled and kept[route.route_id]
    ]
