"""Emergency stops by operators: out first, written down after."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from kaiser_common.bus import Bus
from kaiser_common.errors import Code
from kaiser_common.outside import OUTSIDE
from kaiser_common.rpc import Caller, Method, Nothing, RpcError
from kaiser_common.schemas.api.actuators import ClearEmergency, Emergencies, Emergency, EmergencyStop
from kaiser_common.schemas.device import DeviceRecord

from kaiser_actuator.emergencies import EVERYTHING, covering, key_of
from kaiser_actuator.emergency_ledger import EmergencyLedger
from kaiser_actuator.stops import Stops

log = structlog.get_logger()

_RECORD_WITHIN_S = 1.5
_NOT_NOW: tuple[type[Exception], ...] = (*OUTSIDE, TimeoutError)


class EmergencyApi:
    """The handlers. A stop needs NATS and nothing else; clearing needs the database too, so that it is never lost who
    did it."""

    def __init__(
        self,
        bus: Bus,
        devices: Mapping[str, DeviceRecord],
        stops: Stops,
        ledger: EmergencyLedger,
        now_ms: Callable[[], int],
    ) -> None:
        self._bus = bus
        self._devices = devices
        self._stops = stops
        self._ledger = ledger
        self._now_ms = now_ms

    def methods(self) -> dict[str, Method[Any, Any]]:
        """By the name of the method."""
        return {
            "emergency_stop": Method(EmergencyStop, self.stop),
            "clear_emergency": Method(ClearEmergency, self.clear),
            "emergencies": Method(Nothing, self.list_stops),
        }

    async def stop(self, request: EmergencyStop, caller: Caller) -> Emergencies:
        """Stop one actuator, one device or everything. Answered once it is on its way; the database may be away."""
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
        await self._stops.purge(stop)
        return self._in_force(await self._record(stop))

    async def _record(self, stop: Emergency) -> int:
        """Write it down if the database answers soon; else `EmergencyLedger.align` does, once it is back."""
        try:
            async with asyncio.timeout(_RECORD_WITHIN_S):
                return await self._ledger.record(stop)
        except _NOT_NOW as error:
            log.error("emergency_not_recorded_yet", error=(str(error) or type(error).__name__).splitlines()[0])
            await self._stops.follow(stop)
            return 0

    async def clear(self, request: ClearEmergency, caller: Caller) -> Emergencies:
        """Take back the stop with exactly this target; 404 if there is none, 409 if a wider one holds."""
        key = key_of(request.esp_id, request.gpio)
        stop = self._stops.get(key)
        if stop is None:
            raise self._nothing_to_clear(request)
        await self._ledger.note_cleared(stop, caller.user, request.reason)
        await self._stops.take_back(stop, request.reason)
        return self._in_force()

    async def list_stops(self, request: Nothing, caller: Caller) -> Emergencies:
        """The stops in force."""
        return self._in_force()

    def _in_force(self, cancelled: int = 0) -> Emergencies:
        items = sorted(self._stops.values(), key=lambda stop: (stop.raised_at, stop.emergency_id))
        return Emergencies(items=items, cancelled=cancelled)

    def _nothing_to_clear(self, request: ClearEmergency) -> RpcError:
        wider = None if request.esp_id is None else covering(self._stops, request.esp_id, request.gpio or 0)
        if request.gpio is None and wider is not None and wider.esp_id is not None:
            wider = None  # a stop of one of its pins is not wider
        if wider is not None:
            what = EVERYTHING if wider.esp_id is None else wider.esp_id
            return RpcError(409, Code.PERMISSION_DENIED, f"the stop in force is that of {what}: clear that one")
        return RpcError(404, Code.VALUE_OUT_OF_RANGE, f"no stop of {key_of(request.esp_id, request.gpio)} is in force")
