"""Publishes system events of ingest without delaying anything else."""

import asyncio
from typing import Any

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.device import Severity
from kaiser_common.contract.schemas.event import SystemEvent
from kaiser_common.contract.subjects import event_subject
from kaiser_common.contract.system_events import SystemEventName
from kaiser_common.runtime.clock import now_ms

from kaiser_ingest import metrics
from kaiser_ingest.domain.clocks import WrongClock

log = structlog.get_logger()


_MOST_WAITING = 100


class SystemEvents:
    """Queues events and publishes them one after the other; if more than 100 wait, the newest is dropped and
    counted."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: asyncio.Queue[SystemEvent] = asyncio.Queue(_MOST_WAITING)

    def report(
        self,
        event: SystemEventName,
        severity: Severity,
        message: str,
        *,
        code: Code | None = None,
        esp_id: str | None = None,
        **details: Any,
    ) -> None:
        """Publish an event soon, with the current time."""
        self.put(
            SystemEvent(
                event=event,
                severity=severity,
                message=message,
                esp_id=esp_id,
                code=None if code is None else int(code),
                details=details,
                ts=now_ms(),
            )
        )

    def put(self, event: SystemEvent) -> None:
        """Publish an event soon."""
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            metrics.EVENTS_DROPPED.inc()

    async def run(self) -> None:
        """Publish queued events until cancelled. An event that NATS does not accept within 10 s is dropped and
        counted."""
        while True:
            event = await self._waiting.get()
            try:
                await self._bus.publish(event_subject("system_event", event.esp_id), event.model_dump_json().encode())
            except BusUnavailable as error:
                metrics.EVENTS_DROPPED.inc()
                log.warning("event_dropped", dropped=event.event, reason=str(error))


def report_wrong_clock(events: SystemEvents, wrong: WrongClock) -> None:
    """A system event that names the device and how far its clock is off."""
    ahead = wrong.event == "clock_ahead"
    side, instead = ("ahead", "the receive time is used instead") if ahead else ("behind", "its readings look old")
    message = f"the clock of {wrong.esp_id} is {wrong.off_s} s {side}: {instead}"
    events.report(wrong.event, "warning", message, esp_id=wrong.esp_id, off_s=wrong.off_s)
