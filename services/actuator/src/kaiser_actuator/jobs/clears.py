"""Clears under way: sent when the device takes them, ended by its confirmation, given up after 15 s."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

import structlog
from kaiser_common.contract.schemas.device import DeviceRecord
from kaiser_common.contract.times import ms_of, time_of
from kaiser_common.runtime.database import DatabasePool
from kaiser_common.runtime.loops import each_of, every

from kaiser_actuator.domain.emergencies import EVERYTHING
from kaiser_actuator.domain.emergency_core import (
    REPEAT_MS,
    Delete,
    Held,
    Put,
    SendClear,
    confirmed,
    is_overdue,
    what_is_due,
)
from kaiser_actuator.jobs.emergency_ledger import EmergencyLedger
from kaiser_actuator.store import actuators
from kaiser_actuator.store.stops import Stops

log = structlog.get_logger()

_LOOK_EVERY_S = 0.1
_AT_ONCE = 100
_CONFIRMED_AT_ONCE = 16


class Clears:
    """Every replica looks after all clears of the bucket: each change names the revision that it saw and each message
    has the same id, so that what two of them do happens once. Killed: another replica, or the next start, goes on."""

    def __init__(
        self,
        pool: DatabasePool,
        stops: Stops,
        ledger: EmergencyLedger,
        devices: Mapping[str, DeviceRecord],
        now_ms: Callable[[], int],
        heard: Callable[[datetime], Awaitable[datetime]],
    ) -> None:
        self._pool = pool
        self._stops = stops
        self._ledger = ledger
        self._devices = devices
        self._now_ms = now_ms
        self._heard = heard
        self._sent: dict[str, tuple[int, int]] = {}

    async def run(self) -> None:
        """Look ten times a second. NATS or database away: clears wait, stops stay in force. A database that hangs
        delays no copy of a stop: they have a loop of their own."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(every(_LOOK_EVERY_S, self.send_copies, "clears_postponed"), name="copies")
            loops.create_task(every(_LOOK_EVERY_S, self.go_on, "clears_postponed"), name="clears under way")

    async def once(self) -> None:
        """One look of both loops, stops first."""
        await self.send_copies()
        await self.go_on()

    async def send_copies(self) -> None:
        """Send the stops that are due once more, and the clears of devices that no stop holds; without the database."""
        await self._stops.send_once_more()
        await self._stops.clear_late()

    async def go_on(self) -> None:
        """Go on with the clears under way. A clear goes out once the mirror has read it, with what the mirror had read
        when it was decided."""
        heard_ms = await self._heard_ms()
        board, read_up_to = self._stops.board(), self._stops.read_up_to
        if not any(held.clearing for held in board.values()):
            self._sent.clear()
            return
        everything = board.get(EVERYTHING)
        tracked: set[str] = set()
        others: set[str] = set()
        if everything is not None and everything.clearing is not None:
            async with self._pool.connection() as connection:
                devices = await actuators.devices_with_actuators(connection)
            addresses = self._stops.addresses
            tracked = {esp_id for esp_id in devices if addresses.is_let_in(esp_id)}
            others = devices.union(each.esp_id for each in addresses.all()) - tracked
        due = what_is_due(board, tracked, self._stops.told, self._now_ms(), heard_ms)
        await each_of(due.changes, lambda change: self._change(change, board.get(change.key), others), at_once=_AT_ONCE)
        fresh = [
            each
            for each in due.clears
            if each.held.revision <= read_up_to and self._sent.get(each.held.stop.esp_id or "") != _mark(each)
        ]
        if fresh:
            await self._stops.send_clears(fresh, read_up_to)
            self._sent |= {each.held.stop.esp_id or "": _mark(each) for each in fresh}

    async def all_confirmed(self, said: Mapping[str, tuple[int, int]]) -> None:
        """As `confirmed`, for devices with their sequence and received_at; sixteen at once, because a whole fleet may
        confirm together. If one raises, so does this, once the others that began with it are done."""
        await each_of(
            [*said.items()],
            lambda device: self.confirmed(device[0], *device[1]),
            at_once=_CONFIRMED_AT_ONCE,
        )

    async def confirmed(self, esp_id: str, sequence: int, received_at: int) -> None:
        """A device says that it took a clear: its stop ends, what else holds it is sent again.

        `sequence`: the place of its message in the stream DEVICES; alerts before it are echoes of the stop.
        `received_at`: when ingest had it, ms; what it said before this replica sent it the stop last is no answer.
        """
        said_at = min(received_at, self._now_ms())
        self._stops.is_clear(esp_id, said_at)
        change = confirmed(self._stops.board(), esp_id, self._stops.told, said_at)
        held = self._stops.held(esp_id)
        if change is None or held is None or held.clearing is None:
            return
        clear = SendClear(held, self._now_ms() // REPEAT_MS)
        if not self._is_sent(held, esp_id):
            await self._stops.send_clears([clear], self._stops.read_up_to)
            self._sent[esp_id] = _mark(clear)
        await self._ledger.note_cleared(held.stop, held.clearing.by, held.clearing.reason, sequence)
        if await self._stops.apply(change) is None:
            log.warning("clear_overtaken", key=esp_id)
        else:
            self._stops.ended_by(held, said_at)
        await self._stops.send_again(esp_id, "cleared")

    def is_finished(self, emergency_id: str, esp_id: str | None) -> bool:
        """Whether a clear has ended, successfully or not. For a clear of everything: whether it has at each device
        online."""
        if esp_id is not None:
            held = self._stops.held(esp_id)
            return held is None or held.clearing is None or held.stop.emergency_id != emergency_id
        everything = self._stops.held(EVERYTHING)
        if everything is not None and everything.clearing is not None:
            return False
        return not any(
            held.clearing is not None and self._is_online(held.stop.esp_id or "")
            for held in self._stops.board().values()
            if held.stop.emergency_id.startswith(f"{emergency_id}-")
        )

    async def _heard_ms(self) -> int:
        """Up to when the messages of devices are processed, ms; NATS is asked only if a clear is about to be given up:
        the confirmations of a fleet may wait for longer than one device has for its own."""
        now_ms, told = self._now_ms(), self._stops.told
        if not any(is_overdue(held, told, now_ms) for held in self._stops.board().values()):
            return now_ms
        return ms_of(await self._heard(time_of(now_ms)))

    async def _change(self, change: Put | Delete, before: Held | None, others: set[str]) -> None:
        if isinstance(change, Put):
            after = await self._stops.apply(change)
            if after is not None and after.clearing is None:
                await self._given_up(after)
        elif change.key == EVERYTHING and before is not None:
            await self._everything_cleared(change, before, others)
        elif before is not None and before.clearing is not None:
            # a newer stop of everything holds its device: without this the table would bring the stop back
            await self._ledger.note_cleared(before.stop, before.clearing.by, before.clearing.reason)
            await self._stops.apply(change)

    def _is_sent(self, held: Held, esp_id: str) -> bool:
        """Whether the clear went out behind the last message of the stop. A report of `normal` may come before our
        look, and the confirmation of an earlier clear may come late."""
        revision, attempt = self._sent.get(esp_id, (0, 0))
        return revision == held.revision and attempt * REPEAT_MS > self._stops.told.get(esp_id, 0)

    async def _given_up(self, held: Held) -> None:
        """The device may have taken the clear all the same: it is sent the stop again, with a newer number. Killed, or
        if either step fails: `Stops.raise_again` sends it, and `EmergencyLedger.align` records it."""
        esp_id = held.stop.esp_id or ""
        log.error("emergency_not_cleared", key=esp_id, why=held.stop.not_cleared)
        await self._stops.tell_kept(held.stop)
        await self._ledger.note_not_cleared(held.stop)

    async def _everything_cleared(self, change: Delete, before: Held, others: set[str]) -> None:
        """Each device that can confirm has a stop of its own by now; the others are sent a clear that needs no answer,
        before the stop ends, because nothing would send it afterwards."""
        assert before.clearing is not None
        if self._stops.read_up_to < before.revision:
            return  # ingest would drop the clears: at the next look
        await self._ledger.note_cleared(before.stop, before.clearing.by, before.clearing.reason)
        if await self._stops.release(before, sorted(others)):
            await self._stops.apply(change)  # changes nothing where somebody stopped everything again

    def _is_online(self, esp_id: str) -> bool:
        device = self._devices.get(esp_id)
        return device is not None and device.online


def _mark(clear: SendClear) -> tuple[int, int]:
    return clear.held.revision, clear.attempt
