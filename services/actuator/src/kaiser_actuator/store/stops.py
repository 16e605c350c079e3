"""The emergency stops in force: in NATS KV, in memory, and on their way to devices; no database in between."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

import structlog
from kaiser_common.bus.bucket import BucketWriter
from kaiser_common.bus.connection import Bus, BusUnavailable, Outgoing
from kaiser_common.bus.mirror import Mirror
from kaiser_common.contract.schemas.actuator import ActuatorAlert
from kaiser_common.contract.schemas.api.actuators import Emergency
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.subjects import OUTBOX, commands_filter
from kaiser_common.contract.times import ms_of
from kaiser_common.runtime.loops import each_of
from nats.errors import Error as NatsError

from kaiser_actuator import metrics
from kaiser_actuator.domain import outgoing
from kaiser_actuator.domain.addresses import Addresses
from kaiser_actuator.domain.echoes import Echoes
from kaiser_actuator.domain.emergencies import EVERYTHING, covering, key_of, locking
from kaiser_actuator.domain.emergency_core import (
    OBEYED,
    Board,
    Delete,
    Held,
    Put,
    SendClear,
    adds_nothing,
    holds,
    press,
    ready_at,
    stamped,
)
from kaiser_actuator.domain.late_stops import LateStops
from kaiser_actuator.domain.stop_packs import offs, own_stops
from kaiser_actuator.store.numbers import Numbers

log = structlog.get_logger()

_SEND_AFTER_S = 0.25
"""A stop goes out without its number if the bucket takes longer to give one."""
_STORE_WITHIN_S = 3.0
_ONCE_MORE_MS = 2_000
"""Between the two messages of a stop that is sent again: firmware A subscribes at QoS 0, so one may be lost."""
_DEVICES_AT_ONCE = 16
_REPORTED_ON = "on"
"""The occasion of OFF for an actuator that reported on, or was switched on, before its stop."""


class Stops(Mapping[str, Emergency]):
    """Raises, repeats and clears stops as `emergency_core` decides. The bucket is what counts: every replica mirrors
    it, a restart reads it.

    Killed between the bucket and the OUTBOX: the caller got no answer; the next replica that sees the device online
    sends it the stop.
    """

    def __init__(
        self,
        bus: Bus,
        bucket: BucketWriter,
        mirror: Mirror[Held],
        devices: Mapping[str, DeviceRecord],
        now_ms: Callable[[], int],
        numbers: Numbers,
    ) -> None:
        self.addresses = Addresses(devices)
        self.told: dict[str, int] = {}
        """When a stop was last sent to a device, ms; one entry per device."""
        self._bus = bus
        self._bucket = bucket
        self._mirror = mirror
        self._now_ms = now_ms
        self._numbers = numbers
        self._late = LateStops()
        self._echoes = Echoes()
        self._on: set[tuple[str, int]] = set()
        self._began_at = now_ms()
        self._heard_at: dict[str, int] = {}
        """When the first message of a device after the start was received, ms; one entry per device."""
        self._in_stop: set[tuple[str, int]] = set()
        """Actuators that were last reported in an emergency; empty after a start until they report."""
        self._raising: dict[str, Emergency] = {}
        """Stops that are not safe in the bucket yet; they refuse commands here all the same."""
        self._failed: dict[str, Emergency] = {}
        """Stops that may not have been sent, or stored, until `raise_again` has finished that."""
        self._not_followed: dict[str, Emergency] = {}
        """Stops that are not on their way behind all that ingest may hold; one entry per target."""
        self._switched_off: tuple[str, frozenset[tuple[str, int]]] = ("", frozenset())
        """The id of the last stop of everything, and the actuators that were sent OFF under it."""
        self._once_more: dict[str, int] = {}
        """When devices are sent their stops once more, ms; one entry per device."""
        self._unsent: set[str] = set()
        """Devices whose stops NATS did not take; they are due before any copy."""
        self._own: dict[str, Held] = {}
        self._gone: dict[str, int] = {}
        """Our changes, until the mirror has them: values, and revisions that were deleted."""
        self._board: dict[str, Held] = {}
        mirror.on_change(self._on_change)
        for key in mirror:
            self._look(key)

    def __getitem__(self, key: str) -> Emergency:
        held = self.held(key)
        if held is None:
            raise KeyError(key)
        return held.stop

    def __iter__(self) -> Iterator[str]:
        return iter(self.board())

    def __len__(self) -> int:
        return len(self._board)

    def held(self, key: str) -> Held | None:
        """The bucket's value for a key, including our own changes that the mirror does not show yet."""
        return self._board.get(key)

    def board(self) -> Board:
        """Everything in force now."""
        return self._board.copy()

    def _look(self, key: str) -> None:
        """Bring the board up to date about a key. The whole of it would take milliseconds while a fleet answers."""
        held = self._held(key)
        if held is None:
            self._board.pop(key, None)
        else:
            self._board[key] = held
        metrics.EMERGENCIES.set(len(self))

    def _held(self, key: str) -> Held | None:
        mirrored, own = self._mirror.get(key), self._own.get(key)
        held = own if mirrored is None or (own is not None and own.revision > mirrored.revision) else mirrored
        if held is not None and held.revision > self._gone.get(key, -1):
            return held
        return Held(self._raising[key], 0, 0) if key in self._raising else None

    def heard(
        self, esp_id: str, gpio: int, kaiser_id: str, state: bool | None, *, at: int, in_stop: bool | None = None
    ) -> None:
        """Note what a device says, received by ingest at this time (ms): its site, whether the actuator is on and in an
        emergency (None: not said)."""
        self.addresses.heard(esp_id, kaiser_id)
        if at >= self._began_at:
            self._heard_at.setdefault(esp_id, at)
        if in_stop is not None:
            (self._in_stop.add if in_stop else self._in_stop.discard)((esp_id, gpio))
        if state is True:
            self._on.add((esp_id, gpio))
        elif state is False:
            self._on.discard((esp_id, gpio))

    def heard_by(self, until: datetime) -> set[str]:
        """The devices whose first message after the start was received by this time."""
        return {esp_id for esp_id, at in self._heard_at.items() if at <= ms_of(until)}

    def is_echo(self, alert: ActuatorAlert, sequence: int) -> bool:
        """Whether an alert of a device repeats a stop that is in force or has just ended. sequence: its place in the
        stream. Ask for each alert, once or more: each takes the place of one answer."""
        stop = covering(self, alert.esp_id, alert.gpio)
        if stop is not None:
            self._echoes.in_force(stop)
        answers = self._echoes.explained_by(alert, sequence) if alert.alert_type == OBEYED else None
        return adds_nothing(locking(self, alert.esp_id, alert.gpio), answers, alert)

    def resume(self) -> None:
        """Call once after a start, when the bucket has been read. What an earlier process sent last, and when, is lost:
        each device under a stop counts as sent it now. So no clear ends by what the device said before, and a stop that
        another replica ends is followed by one more clear."""
        board, now_ms = self.board(), self._now_ms()
        devices = {each.esp_id for each in self.addresses.all()} | {key for key in board if "." not in key}
        for esp_id in devices - {EVERYTHING}:
            held = board.get(esp_id) or board.get(EVERYTHING)
            if held is not None:
                self.told[esp_id] = now_ms
                self._late.sent(board, held.stop, [esp_id], now_ms)

    async def raise_(self, stop: Emergency) -> Emergency:
        """Stop: in the bucket, which gives it its number, and on the OUTBOX's urgent lane; both on disk when this
        returns. A bucket that is slow delays no stop: it then goes out without a number first.

        BusUnavailable, NatsError: it may not be safe on disk, ask again; until then this replica refuses commands, and
        raises the stop itself once NATS takes it (`raise_again`).
        """
        started = time.perf_counter()
        key = key_of(stop.esp_id, stop.gpio)
        self._raising[key] = stop
        self._look(key)
        is_told = False
        try:
            raised = await self._store(key, stop)
            await self.tell(raised, "raised")
            is_told = True
        finally:
            if not is_told and self._raising.get(key, stop) == stop:  # a newer press is noted separately
                self._failed[key] = stop
        if self._failed.get(key) == stop:
            del self._failed[key]
        metrics.STOP_SECONDS.observe(time.perf_counter() - started)
        log.warning("emergency_raised", key=key, by=stop.raised_by, reason=stop.reason)
        return raised

    async def raise_again(self) -> None:
        """Finish the presses that failed: every replica has them then, and a clear can end them; and send those again
        that could not be sent behind all that ingest may hold. Raises as `raise_`."""
        for key, stop in [*self._failed.items()]:
            if self._raising.get(key) == stop:
                await self.raise_(stop)
            elif (held := self.held(key)) is not None and key not in self._raising:  # the bucket has it
                await self.tell(held.stop, "raised")
                if held.stop.esp_id is not None:
                    self._once_more[held.stop.esp_id] = self._now_ms() + _ONCE_MORE_MS
                self._failed.pop(key, None)
        for key, stop in [*self._not_followed.items()]:
            await self.follow(stop)
            if self._not_followed.get(key) == stop:
                del self._not_followed[key]

    async def apply(self, change: Put | Delete) -> Held | None:
        """Change the bucket. Returns its new value, or of a deletion the old one; None if it was changed before."""
        before = self.held(change.key)
        if isinstance(change, Delete):
            if not await self._bucket.delete_revision(change.key, change.expect):
                return None
            if self._mirror.revision(change.key) <= change.expect:
                self._gone[change.key] = change.expect
            self._look(change.key)
            return before
        value = change.stop.model_dump_json().encode()
        if change.expect is None:
            revision: int | None = await self._bucket.put(change.key, value)
        else:
            revision = await self._bucket.replace(change.key, value, change.expect)
        if revision is None:
            return None
        held = stamped(change.stop, revision, self._numbers.base)
        own = self._own.get(change.key)
        if self._mirror.revision(change.key) < revision and (own is None or own.revision < revision):
            self._own[change.key] = held
        self._look(change.key)
        return held

    async def _store(self, key: str, stop: Emergency) -> Emergency:
        storing = asyncio.ensure_future(self.apply(press(stop)))
        try:
            await asyncio.wait({storing}, timeout=_SEND_AFTER_S)
            if not storing.done() or storing.exception() is not None:
                await self.tell(stop, "early")
            async with asyncio.timeout(_STORE_WITHIN_S):
                held = await storing
        except TimeoutError as error:
            raise BusUnavailable(f"the stop of {key} may not be stored: NATS does not answer") from error
        finally:
            storing.cancel()
        self._is_safe(key, stop.emergency_id)
        return stop if held is None else held.stop

    async def tell(self, stop: Emergency, why: str) -> None:
        """Send a stop ahead of all that waits, to a device that the registry does not have too."""
        if stop.esp_id is None:  # reaches all before the first device's own message is built
            await self._bus.publish_batch([self._broadcast(stop, why, urgent=True)])
        await self._bus.publish_batch(self._messages(stop, why, urgent=True))
        if stop.gpio is None:
            await self.switch_off_what_was_on(stop, [pin for pin in sorted(self._on) if stop.esp_id in (None, pin[0])])
        self._was_sent(stop)
        metrics.STOPS.labels(why).inc()

    async def tell_kept(self, stop: Emergency) -> None:
        """Send a stop again whose clear was given up: its device may have taken the clear. It is sent once more after
        two seconds. BusUnavailable: it is sent by `raise_again` once NATS takes it. Killed in between: the next start
        sends it to each device online."""
        try:
            await self.tell(stop, "not cleared")
            self._once_more[stop.esp_id or ""] = self._now_ms() + _ONCE_MORE_MS
        except BusUnavailable:
            key = key_of(stop.esp_id, stop.gpio)
            if key not in self._raising:  # a newer press is noted separately
                self._failed[key] = stop
            raise

    async def follow(self, stop: Emergency) -> None:
        """Purge commands admitted in between, and send the stop again behind all messages that ingest may hold, unless
        it has ended meanwhile: writing it into the tables may take longer than clearing it, and the commands since the
        clear are wanted. BusUnavailable: `raise_again` does it, for a stop that is recorded is not recorded again."""
        key = key_of(stop.esp_id, stop.gpio)
        if not self._has(key, stop):
            return
        await self.purge(stop)
        if not self._has(key, stop):
            return
        broadcast = [self._broadcast(stop, "behind", urgent=False)] if stop.esp_id is None else []
        try:
            await self._bus.publish_batch([*broadcast, *self._messages(stop, "behind", urgent=False)])
        except BusUnavailable:
            if self._has(key, stop):  # a newer press is noted separately
                self._not_followed[key] = stop
            raise
        self._was_sent(stop)

    def _has(self, key: str, stop: Emergency) -> bool:
        held = self.held(key)
        return held is not None and held.stop.emergency_id == stop.emergency_id

    async def purge(self, stop: Emergency) -> None:
        """Take the commands off the OUTBOX that a stop covers."""
        try:
            await self._bus.jetstream.purge_stream(OUTBOX.name, subject=commands_filter(stop.esp_id, stop.gpio))
        except (NatsError, TimeoutError, BusUnavailable) as error:
            log.warning("commands_not_purged", key=key_of(stop.esp_id, stop.gpio), error=str(error))

    async def send_again(self, esp_id: str, why: str, *, twice: bool = False) -> None:
        """Send a device every stop that holds it. twice: once more after two seconds. BusUnavailable: `send_once_more`
        sends them, for the caller may not come here again, and their copy two seconds after that."""
        if twice and holds(self.board(), esp_id):
            self._once_more[esp_id] = self._now_ms() + _ONCE_MORE_MS
        try:
            await self._send_holding(esp_id, why)
        except BusUnavailable:
            self._unsent.add(esp_id)
            raise

    async def _send_holding(self, esp_id: str, why: str) -> None:
        occasion = f"{why}-{self._now_ms() // 1000}"
        stops = [held.stop for held in holds(self.board(), esp_id)]
        if not stops:
            return
        await self._bus.publish_batch([self._own_message(stop, esp_id, occasion, urgent=True) for stop in stops])
        if stops[0].gpio is None:
            self._late.sent(self.board(), stops[0], [esp_id], self._now_ms())
        metrics.STOPS.labels(why).inc(len(stops))
        log.info("emergency_sent_again", esp_id=esp_id, stops=len(stops), why=why)

    async def send_once_more(self) -> None:
        """Send the devices that are due whatever holds them by now. BusUnavailable: they stay due."""
        now_ms = self._now_ms()

        async def send(esp_id: str) -> None:
            was_unsent, at = esp_id in self._unsent, self._once_more.get(esp_id)
            await self._send_holding(esp_id, "repeated")
            self._unsent.discard(esp_id)
            if at is None or self._once_more.get(esp_id) != at:
                return
            if was_unsent:
                self._once_more[esp_id] = self._now_ms() + _ONCE_MORE_MS  # a copy at the same time may be lost with it
            else:
                del self._once_more[esp_id]

        due = self._unsent.union(esp_id for esp_id, at in self._once_more.items() if at <= now_ms)
        await each_of(sorted(due), send, at_once=_DEVICES_AT_ONCE)

    async def switch_off_what_was_on(self, stop: Emergency, pins: list[tuple[str, int]]) -> None:
        """OFF once to each of these actuators under a stop of a device or of everything."""
        if stop.esp_id is not None:
            await self.switch_off(stop, pins, _REPORTED_ON)
            return
        emergency_id, done = self._switched_off
        if emergency_id != stop.emergency_id:
            done = frozenset()
        due = [pin for pin in pins if pin not in done]
        to = [(self.addresses.of(esp_id), gpio) for esp_id, gpio in due]
        await self._bus.publish_batch(offs(to, stop, self._now_ms(), _REPORTED_ON))
        self._switched_off = stop.emergency_id, done.union(due)

    async def switch_off(self, stop: Emergency, pins: list[tuple[str, int]], occasion: str) -> None:
        """OFF ahead of all that waits, to actuators under a stop; the same occasion again sends nothing twice."""
        await self._bus.publish_batch(
            [
                outgoing.off_message(self.addresses.of(esp_id), gpio, stop, self._now_ms(), occasion)
                for esp_id, gpio in pins
            ]
        )

    async def follow_bucket(self) -> None:
        """Notice that the bucket is another one, deleted and declared again: its numbers count on, and what this
        replica wrote into the old one is no longer in force by that. NatsError: ask again."""
        if await self._numbers.changed(self._bucket):
            changed = {*self._own, *self._gone}
            self._own.clear()
            self._gone.clear()
            for key in changed:
                self._look(key)
            log.warning("emergencies_bucket_recreated")

    @property
    def read_up_to(self) -> int:
        """The revision up to which `board` is complete. A clear is sent with the number of the one at which it was
        decided: a stop that was not known then has a greater number, so that ingest drops the clear."""
        return self._mirror.position

    async def send_clears(self, clears: list[SendClear], read_up_to: int) -> None:
        """Send clears to their devices."""
        await self._bus.publish_batch(
            [
                self._clear(each.held.stop.esp_id, each.held, f"c{each.held.revision}-{each.attempt}", read_up_to)
                for each in clears
                if each.held.stop.esp_id is not None
            ]
        )

    async def release(self, held: Held, esp_ids: list[str]) -> bool:
        """Send a clear that needs no answer to those of these devices that only `held` holds, a stop of everything that
        is being cleared. Call it before that stop is deleted: killed in between, or if this raises, the stop stays and
        the next look sends the clear again. A stop that is pressed meanwhile has a greater number, so ingest sends no
        clear behind it. The clear is repeated as that of any late stop. False: not yet, or somebody pressed again.
        """
        board, read_up_to = self.board(), self.read_up_to
        everything = board.get(EVERYTHING)
        if everything is None or everything.revision != held.revision or read_up_to < held.revision:
            return False
        free = [esp_id for esp_id in esp_ids if esp_id not in board]
        await self._bus.publish_batch([self._clear(each, held, f"r{held.revision}", read_up_to) for each in free])
        for esp_id in free:
            self._late.freed(esp_id, held.stop, self._now_ms())
        return True

    def ended_by(self, held: Held, said_at: int) -> None:
        """The stop of a device has ended by what the device said at this time (ms). If it was sent again since, the
        device may receive it behind the clear: a clear is due once more."""
        esp_id = held.stop.esp_id or ""
        if said_at < ready_at(held.stop, self.told):
            self._late.sent(self.board(), held.stop, [esp_id], self.told[esp_id])

    def is_in_stop(self, esp_id: str) -> bool:
        """Whether a device reports one of its actuators in an emergency, whatever is in force here."""
        return any(each == esp_id for each, _ in self._in_stop)

    def free(self, stop: Emergency) -> None:
        """Send a clear to a device that had stopped on its own, once it accepts one."""
        self._late.freed(stop.esp_id or "", stop, self._now_ms())

    def refused_clear(self, esp_id: str, at: int) -> None:
        """A device refused a clear at this time (ms), because the clear came too soon."""
        self._late.refused(self.board(), esp_id, at)

    def is_clear(self, esp_id: str, said_at: int) -> None:
        """A device reported at this time (ms) that it is clear."""
        self._late.confirmed(esp_id, said_at)

    async def clear_late(self) -> None:
        """Send a clear to devices that stand still for nothing, and the locks of their actuators again."""
        board, read_up_to = self.board(), self.read_up_to
        due = self._late.due(board, self._now_ms())
        await self._bus.publish_batch(
            [self._clear_of(late.esp_id, late.stop, f"late{late.sent_at}-{late.attempt}", read_up_to) for late in due]
        )
        self._late.taken(due)
        for late in due:
            log.info("emergency_cleared_late", esp_id=late.esp_id, stopped_at=late.sent_at)
        await each_of(due, lambda late: self.send_again(late.esp_id, "cleared"), at_once=_DEVICES_AT_ONCE)

    def _clear(self, esp_id: str, held: Held, occasion: str, read_up_to: int) -> Outgoing:
        return self._clear_of(esp_id, held.stop, occasion, read_up_to)

    def _clear_of(self, esp_id: str, stop: Emergency, occasion: str, read_up_to: int) -> Outgoing:
        reason = stop.clearing.reason if stop.clearing else stop.reason
        address, number = self.addresses.of(esp_id), self._numbers.base + read_up_to
        return outgoing.clear_message(address, stop, reason, self._now_ms(), occasion, number)

    def _broadcast(self, stop: Emergency, why: str, *, urgent: bool) -> Outgoing:
        now_ms = self._now_ms()
        message = outgoing.broadcast_message(stop, now_ms, f"{why}-{now_ms}", urgent=urgent)
        self._echoes.sent(None, message.msg_id, stop.emergency_id, now_ms)
        return message

    def _messages(self, stop: Emergency, why: str, *, urgent: bool) -> list[Outgoing]:
        """The messages of a stop beside the broadcast: one to each device on its own topic, because firmware B refuses
        the broadcast without its token. Those of a stop of everything are packed."""
        now_ms = self._now_ms()
        occasion = f"{why}-{now_ms}"
        if stop.esp_id is not None:
            return [self._own_message(stop, stop.esp_id, occasion, urgent=urgent)]
        addresses = self.addresses.all()
        sent_as = f"{stop.emergency_id}-{occasion}-{'urgent' if urgent else 'behind'}"
        for address in addresses:
            self.told[address.esp_id] = now_ms
            self._echoes.sent(address.esp_id, sent_as, stop.emergency_id, now_ms)
        return own_stops(addresses, stop, now_ms, occasion, urgent=urgent)

    def _own_message(self, stop: Emergency, esp_id: str, occasion: str, *, urgent: bool) -> Outgoing:
        """The message of a stop to one device: its emergency, or OFF if the stop is of one actuator."""
        address, now_ms = self.addresses.of(esp_id), self._now_ms()
        if stop.gpio is not None:
            return outgoing.off_message(address, stop.gpio, stop, now_ms, occasion, urgent=urgent)
        self.told[esp_id] = now_ms
        message = outgoing.stop_message(address, stop, now_ms, occasion, urgent=urgent)
        self._echoes.sent(esp_id, message.msg_id, stop.emergency_id, now_ms)
        return message

    def _was_sent(self, stop: Emergency) -> None:
        if stop.gpio is None:
            esp_ids = [each.esp_id for each in self.addresses.all()] if stop.esp_id is None else [stop.esp_id]
            self._late.sent(self.board(), stop, esp_ids, self._now_ms())

    def _is_safe(self, key: str, emergency_id: str) -> None:
        """The bucket has a stop that was being raised."""
        if key in self._raising and self._raising[key].emergency_id == emergency_id:
            del self._raising[key]
            self._look(key)

    def _on_change(self, key: str, held: Held | None) -> None:
        revision = self._mirror.revision(key)
        if held is not None:
            self._is_safe(key, held.stop.emergency_id)
        elif key not in self._raising:
            self._failed.pop(key, None)
        if held is not None and held.clearing is not None:
            self._late.clear_asked(key, held.clearing.asked_at)
        elif held is None and "." not in key and key not in self._gone:
            self._late.ended(key, self._now_ms())
        if key in self._own and self._own[key].revision <= revision:
            del self._own[key]
        if key in self._gone and self._gone[key] < revision:
            del self._gone[key]
        self._look(key)
