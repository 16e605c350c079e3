"""Emergency stops by operators: sent first, recorded afterwards."""

import asyncio
import time
from collections.abc import Callable

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError
from kaiser_common.contract.errors import Code, line_of
from kaiser_common.contract.schemas.api.actuators import (
    ClearEmergency,
    Clearing,
    Emergencies,
    EmergenciesQuery,
    Emergency,
    EmergencyStop,
)
from kaiser_common.runtime.loops import each_of
from kaiser_common.runtime.verdicts import OUTAGES

from kaiser_actuator.domain.emergencies import BY_DEVICE, EVERYTHING, is_held_by_device, key_of
from kaiser_actuator.domain.emergency_core import (
    Conflict,
    Covered,
    Delete,
    Held,
    NotInForce,
    Put,
    begin_clear,
    begin_clear_of_unconfirmed,
    holds,
    is_unconfirmed,
)
from kaiser_actuator.domain.stop_pages import answered, page
from kaiser_actuator.jobs.clears import Clears
from kaiser_actuator.jobs.emergency_ledger import EmergencyLedger
from kaiser_actuator.store.stops import Stops

log = structlog.get_logger()

_RECORD_WITHIN_S = 1.4
_REPEAT_AFTER_S = 1.4
"""A stop whose record takes longer is sent the second time without it."""
_RECORDS_AT_ONCE = 32
_GIVE_UP_S = 30.0
_CLEARS_AT_ONCE = 16
_LOOK_EVERY_S = 0.02
_NOT_NOW: tuple[type[Exception], ...] = (*OUTAGES, TimeoutError)


class EmergencyApi:
    """The handlers. A stop needs NATS and nothing else; clearing needs the database too, so that it is never lost who
    did it."""

    def __init__(
        self,
        bus: Bus,
        stops: Stops,
        ledger: EmergencyLedger,
        clears: Clears,
        now_ms: Callable[[], int],
        wait_s: float = 22.0,
    ) -> None:
        """wait_s: how long the answer to a clear waits for its device; 5 s and 15 s are what that may take."""
        self._bus = bus
        self._stops = stops
        self._ledger = ledger
        self._clears = clears
        self._now_ms = now_ms
        self._wait_s = wait_s
        self._recording: set[asyncio.Task[int]] = set()

    async def stop(self, request: EmergencyStop, caller: Caller) -> Emergencies:
        """Stop one actuator, one device or everything. Answered once it is on its way, 1.5 s later at the latest
        whatever the database does; a device that the registry does not have is stopped too."""
        stop = await self._stops.raise_(
            Emergency(
                emergency_id=self._bus.message_id(),
                esp_id=request.esp_id,
                gpio=request.gpio,
                reason=request.reason,
                raised_by=caller.user,
                raised_at=self._now_ms(),
            )
        )
        return self._answer(request.esp_id, await self._record(stop))

    async def _record(self, stop: Emergency) -> int:
        """Write it down in a task of its own: a connection that hangs cannot be interrupted, so no caller waits for it.
        What is not written is written by `EmergencyLedger.align`; over 32 such tasks none is begun, and the stop is
        only sent again."""
        if len(self._recording) >= _RECORDS_AT_ONCE:
            log.error("emergency_not_recorded_yet", error="the database does not answer")
            await self._repeat(stop, _RECORD_WITHIN_S)
            return 0
        task = asyncio.create_task(self._write_down(stop), name="emergency-record")
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)
        done, _ = await asyncio.wait({task}, timeout=_RECORD_WITHIN_S)
        if not done:
            log.error("emergency_not_recorded_yet", error="the database does not answer")
        return task.result() if done else 0

    async def _write_down(self, stop: Emergency) -> int:
        """Purge what waits under a stop, then keep it; the stop comes again behind what ingest holds either way.

        That second message may be the only one that reaches the device, so it does not wait for a slow record. It then
        comes once more after the record, behind a command that was being admitted."""
        await self._stops.purge(stop)
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(self._keep(stop))
            done, _ = await asyncio.wait({keeping}, timeout=_REPEAT_AFTER_S)
            if not done:
                await self._repeat(stop, _GIVE_UP_S)
        cancelled = keeping.result()
        if cancelled is None:
            await self._repeat(stop, _GIVE_UP_S)
        return cancelled or 0

    async def _keep(self, stop: Emergency) -> int | None:
        """Record it, which sends it again; None: not now."""
        try:
            async with asyncio.timeout(_GIVE_UP_S):
                return await self._ledger.record(stop)
        except _NOT_NOW as error:
            log.error("emergency_not_recorded_yet", error=line_of(error))
            return None

    async def _repeat(self, stop: Emergency, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                await self._stops.follow(stop)
        except _NOT_NOW as error:
            log.error("emergency_not_repeated", error=line_of(error))

    async def clear(self, request: ClearEmergency, caller: Caller) -> Emergencies:
        """Clear the stop with exactly this target, as the caller saw it, or as it was when the caller asked.

        The lock of one actuator ends immediately, and so does the stop of a device that is not registered and approved,
        because it cannot confirm. Any other device must: the answer waits for it. RpcError 404 if there is no such
        stop, 409 if a wider one is in force or another stop was raised since, 504 if the device does not confirm: its
        stop then stays in force.
        """
        clearing = Clearing(by=caller.user, reason=request.reason, asked_at=self._now_ms())
        if request.unconfirmed:
            return await self._clear_unconfirmed(request, clearing, caller.asked_ms)
        key = key_of(request.esp_id, request.gpio)
        can_confirm = request.esp_id is None or self._stops.addresses.is_let_in(request.esp_id)
        try:
            held, change = begin_clear(
                self._stops.board(),
                key,
                request.ids,
                clearing,
                can_confirm=can_confirm,
                asked_ms=caller.asked_ms,
            )
        except Conflict as conflict:
            raise _newer(conflict.since) from conflict
        except Covered as covered:
            raise _nothing_to_clear(key, covered.wider) from covered
        except NotInForce as error:
            if request.esp_id is None or not self._stops.is_in_stop(request.esp_id):
                raise _nothing_to_clear(key, None) from error
            await self._free(request.esp_id, clearing)
            return self._answer(request.esp_id)
        if isinstance(change, Delete):
            if not await self._end(held, change, clearing):
                raise _newer(self._stops.get(key))
            return self._answer(request.esp_id)
        await self._ledger.note_clear_asked(held.stop, caller.user, request.reason)
        if await self._stops.apply(change) is None:
            raise _newer(self._stops.get(key))
        await self._wait_for(held, request.esp_id, self._wait_s)
        after = self._stops.get(key)
        if after is not None and after.emergency_id != held.stop.emergency_id:
            raise _newer(after)
        if after is not None and after.not_cleared is not None:
            raise RpcError(504, Code.OPERATION_TIMEOUT, f"{after.not_cleared}: its stop stays in force", "esp_id")
        return self._answer(request.esp_id)

    async def _clear_unconfirmed(
        self, request: ClearEmergency, clearing: Clearing, asked_ms: int | None
    ) -> Emergencies:
        """Clear the stops of the devices that did not confirm their last clear; the answer waits for all of them.

        With ids no other stops than these. RpcError 404 if there is none, 409 if everything is stopped, or none of them
        is one of these. 409 too if one of the devices is stopped meanwhile, and 504 if one does not confirm: its stop
        stays in force, and the clears of the others go on.
        """
        seen = None if request.ids is None else frozenset(request.ids)
        try:
            begun = begin_clear_of_unconfirmed(
                self._stops.board(), seen, clearing, self._stops.addresses.is_let_in, asked_ms=asked_ms
            )
        except Conflict as conflict:
            raise _newer(conflict.since) from conflict
        except Covered as covered:
            raise _nothing_to_clear(EVERYTHING, covered.wider) from covered
        except NotInForce as error:
            raise RpcError(404, Code.NOT_FOUND, "each device has confirmed its last clear") from error
        await self._ledger.note_clears_asked([held.stop for held, _ in begun], clearing.by, clearing.reason)
        overtaken: list[Emergency | None] = []

        async def clear(one: tuple[Held, Put | Delete]) -> None:
            held, change = one
            if isinstance(change, Delete):
                is_begun = await self._end(held, change, clearing)
            else:
                is_begun = await self._stops.apply(change) is not None
            if not is_begun:
                overtaken.append(self._stops.get(change.key))

        await each_of(begun, clear, at_once=_CLEARS_AT_ONCE)
        deadline = time.monotonic() + self._wait_s
        for held, _ in begun:
            await self._wait_for(held, held.stop.esp_id, deadline - time.monotonic())
        after = [(held.stop.emergency_id, self._stops.get(held.stop.esp_id or "")) for held, _ in begun]
        overtaken += [stop for emergency_id, stop in after if stop is not None and stop.emergency_id != emergency_id]
        if overtaken:
            raise _newer(overtaken[0])
        kept = sum(stop is not None and stop.not_cleared is not None for _, stop in after)
        if kept:
            detail = f"{kept} of {len(begun)} devices did not confirm the clear: their stops stay in force"
            raise RpcError(504, Code.OPERATION_TIMEOUT, detail, "unconfirmed")
        return self._answer(None)

    async def _end(self, held: Held, change: Delete, clearing: Clearing) -> bool:
        """End a stop that no device has to confirm; False if another was raised since.

        If nothing else holds the device, a clear is sent to one that cannot confirm, and to one that stopped the
        actuator on its own, because the firmware holds that actuator too.
        """
        stop = held.stop
        await self._ledger.note_cleared(stop, clearing.by, clearing.reason)
        if await self._stops.apply(change) is None:
            return False
        esp_id = stop.esp_id or ""
        others = holds(self._stops.board(), esp_id)
        if any(each.clearing for each in others):
            return True  # a stop sent now would put off the clear that is under way
        if others:
            await self._stops.send_again(esp_id, "cleared")
        elif is_held_by_device(stop):
            self._stops.free(stop)
        return True

    async def _free(self, esp_id: str, clearing: Clearing) -> None:
        """Clear a device that says it is stopped though nothing is in force here: its alert was lost, or a clear."""
        if holds(self._stops.board(), esp_id):  # a lock of another of its actuators: that one is to be cleared
            raise _nothing_to_clear(esp_id, None)
        stop = Emergency(
            emergency_id=self._bus.message_id(),
            esp_id=esp_id,
            gpio=None,
            reason="the device reports an emergency",
            raised_by=f"{BY_DEVICE}{esp_id}",
            raised_at=clearing.asked_at,
        )
        await self._ledger.note_freed(stop, clearing.by, clearing.reason)
        self._stops.free(stop)

    async def _wait_for(self, held: Held, esp_id: str | None, wait_s: float) -> None:
        """By the clock and not by the number of looks: the caller stops waiting after 25 s, on a busy machine too."""
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            if self._clears.is_finished(held.stop.emergency_id, esp_id):
                return
            await asyncio.sleep(_LOOK_EVERY_S)

    async def list_stops(self, request: EmergenciesQuery, caller: Caller) -> Emergencies:
        """A page of the stops in force. RpcError 422: the cursor is invalid."""
        in_force = list(self._stops.values())
        try:
            items, next_cursor = page(in_force, request)
        except ValueError as error:
            detail = "The cursor is invalid: use next_cursor of the previous page."
            raise RpcError(422, Code.VALUE_OUT_OF_RANGE, detail, "cursor") from error
        return Emergencies(
            items=items,
            next_cursor=next_cursor,
            total=len(in_force),
            unconfirmed=sum(map(is_unconfirmed, in_force)),
        )

    def _answer(self, esp_id: str | None, cancelled: int = 0) -> Emergencies:
        in_force = list(self._stops.values())
        return Emergencies(
            items=answered(in_force, esp_id),
            total=len(in_force),
            unconfirmed=sum(map(is_unconfirmed, in_force)),
            cancelled=cancelled,
        )


def _newer(since: Emergency | None) -> RpcError:
    if since is None:
        return RpcError(409, Code.STATE_CHANGED, "another request cleared this stop at the same time", "ids")
    return RpcError(
        409,
        Code.STATE_CHANGED,
        f"{since.raised_by} raised another stop since ({since.emergency_id}): {since.reason}",
        "ids",
    )


def _nothing_to_clear(key: str, wider: Emergency | None) -> RpcError:
    if wider is None:
        return RpcError(404, Code.NOT_FOUND, f"no stop of {key} is in force")
    what = key_of(wider.esp_id, wider.gpio)
    return RpcError(409, Code.STATE_CHANGED, f"the stop in force is a stop of {what}: clear that one")
