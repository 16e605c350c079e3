"""Reports that readings cannot be stored (`store_paused`), and that they can again."""

import time
from collections.abc import Callable

from kaiser_common.bus.connection import Bus
from kaiser_common.contract.standing import STANDING, STORE_PAUSED, ConditionKey, Seen, StandingWatch
from kaiser_common.contract.subjects import event_subject
from kaiser_common.runtime.clock import now_ms

SOURCE = "sensor"


class StoreState:
    """Publishes the state at each change, and again every five minutes. Killed: the next process publishes it at its
    first look. Of several replicas one that stores is enough: the stream's consumer is shared."""

    def __init__(self, bus: Bus, paused_s: Callable[[], float]) -> None:
        self._bus = bus
        self._paused_s = paused_s
        self._watch = StandingWatch(STANDING)

    async def look(self) -> None:
        """Publish what has changed. BusUnavailable: an event may be lost, and comes again within five minutes."""
        paused_s = self._paused_s()
        message = f"no reading could be stored for {paused_s:.0f} s; they wait in the stream SENSORS"
        seen = {ConditionKey(STORE_PAUSED, SOURCE): Seen(paused_s, message, {"paused_s": round(paused_s)})}
        for event in self._watch.events(seen, time.monotonic(), now_ms()):
            await self._bus.publish(event_subject("system_event", None), event.model_dump_json().encode())
