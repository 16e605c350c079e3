"""Publishes system events of ingest without delaying anything else."""

import asyncio
import time
from functools import partial
from typing import Any, NamedTuple

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.device import Severity
from kaiser_common.contract.schemas.event import SystemEvent
from kaiser_common.contract.subjects import EVENTS, event_subject
from kaiser_common.contract.system_events import SystemEventName
from kaiser_common.runtime.clock import now_ms
from kaiser_common.runtime.loops import until_done
from kaiser_common.runtime.verdicts import Verdict, judge
from nats.errors import Error as NatsError

from kaiser_ingest import metrics
from kaiser_ingest.domain.clocks import WrongClock

log = structlog.get_logger()


_MOST_WAITING = 100
_KEPT_S = EVENTS.max_age_s or 0.0
_RETRY_S = 1.0


def system_event(
    event: SystemEventName,
    severity: Severity,
    message: str,
    *,
    code: Code | None = None,
    esp_id: str | None = None,
    **details: Any,
) -> SystemEvent:
    """An event with the current time."""
    return SystemEvent(
        event=event,
        severity=severity,
        message=message,
        esp_id=esp_id,
        code=None if code is None else int(code),
        details=details,
        ts=now_ms(),
    )


class _Waiting(NamedTuple):
    """An event, and until when (monotonic) it may wait for NATS."""

    event: SystemEvent
    until: float


class SystemEvents:
    """Queues events and publishes them one after the other. While NATS is away they wait, for ten minutes at most, as
    long as EVENTS would keep them; if more than 100 wait, the newest is dropped. Dropped events are counted. Killed:
    those that wait are lost."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue(_MOST_WAITING)

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
        self.put(system_event(event, severity, message, code=code, esp_id=esp_id, **details))

    def put(self, event: SystemEvent) -> None:
        """Publish an event soon."""
        try:
            self._waiting.put_nowait(_Waiting(event, time.monotonic() + _KEPT_S))
        except asyncio.QueueFull:
            metrics.EVENTS_DROPPED.inc()

    async def run(self) -> None:
        """Publish queued events in order until cancelled."""
        while True:
            waiting = await self._waiting.get()
            publish = partial(self._publish, waiting, self._bus.message_id())
            await until_done(publish, "system_event_waits", retry_s=_RETRY_S)

    async def _publish(self, waiting: _Waiting, message_id: str) -> None:
        """Publish an event, or drop it once its time is over, or if NATS will never take it. BusUnavailable, NatsError:
        it goes on waiting."""
        event, until = waiting
        subject = event_subject("system_event", event.esp_id)
        try:
            await self._bus.publish(subject, event.model_dump_json().encode(), message_id)
        except (BusUnavailable, NatsError) as error:
            if judge(error) is Verdict.RETRY and time.monotonic() < until:
                raise
            metrics.EVENTS_DROPPED.inc()
            log.warning("system_event_dropped", dropped=event.event)


def report_wrong_clock(events: SystemEvents, wrong: WrongClock) -> None:
    """A system event that names the device and how far its clock is off."""
    ahead = wrong.event == "clock_ahead"
    side, instead = ("ahead", "the receive time is used instead") if ahead else ("behind", "its readings look old")
    message = f"the clock of {wrong.esp_id} is {wrong.off_s} s {side}: {instead}"
    events.report(wrong.event, "warning", message, esp_id=wrong.esp_id, off_s=wrong.off_s)
