"""Reports messages that were received and are not stored after some time, because later ones wait behind them."""

from collections.abc import Callable

import structlog
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.event import SystemEvent
from kaiser_common.runtime.loops import every

from kaiser_ingest.publish import SystemEvents, system_event

log = structlog.get_logger()

_LOOK_EVERY_S = 1.0


def stalled(age_s: float, source: str) -> SystemEvent:
    """The event that nothing can be stored."""
    text = f"no received message could be stored for {age_s:.0f} s"
    return system_event("ingest_stalled", "critical", text, code=Code.DEPENDENCY_MISSING, source=source)


async def watch_age(oldest_age_s: Callable[[], float], alarm_s: float, events: SystemEvents, source: str) -> None:
    """Report once when the oldest message is older than the alarm, and once when that is over; until cancelled."""
    alarmed = False

    async def look() -> None:
        nonlocal alarmed
        age_s = oldest_age_s()
        if age_s > alarm_s and not alarmed:
            log.error("messages_not_stored", oldest_s=round(age_s, 1), hint="is NATS up, is a stream full?")
            events.put(stalled(age_s, source))
        elif alarmed and age_s <= alarm_s:
            log.info("messages_stored_again")
            events.report("ingest_goes_on", "info", "received messages are stored again", source=source)
        alarmed = age_s > alarm_s

    await every(_LOOK_EVERY_S, look, "age_not_watched", delay_s=_LOOK_EVERY_S)
