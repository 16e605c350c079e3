"""Reports conditions that ingest knows of: streams and the disk that fill, a certificate that ends, and a large share
of rejections.

Only the holder of the lease reports; a standby sets its metrics. Killed: the next holder reports all conditions at its
first look.
"""

import asyncio
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.contract.schemas.event import SystemEvent
from kaiser_common.contract.standing import (
    CERTIFICATE_ENDING,
    DISK_FILLING,
    REJECTIONS_MANY,
    STANDING,
    STORE_PAUSED,
    STREAM_FILLING,
    Bounds,
    ConditionKey,
    Seen,
    StandingWatch,
)
from kaiser_common.runtime.clock import now_ms, utc_now
from kaiser_common.runtime.loops import beside, every

from kaiser_ingest.consumers.attempts import breaker_open
from kaiser_ingest.consumers.receiver import Receiver
from kaiser_ingest.domain.backoff import breaker_is_open
from kaiser_ingest.domain.rejection_share import RejectionWindow
from kaiser_ingest.jobs.certificates import CertificateWatch, certificates_seen
from kaiser_ingest.jobs.holder import SessionHolder
from kaiser_ingest.jobs.streams import StreamFills
from kaiser_ingest.jobs.watchdog import stalled
from kaiser_ingest.metrics import Result
from kaiser_ingest.publish import SystemEvents
from kaiser_ingest.settings import IngestSettings

log = structlog.get_logger()

_EVERY_S = 10.0
_ENDED_BELOW = 0.03
"""How much of the disk must be free beyond the limit before it counts as enough."""


async def watch_conditions(
    bus: Bus, holder: SessionHolder, receiver: Receiver, settings: IngestSettings, events: SystemEvents
) -> None:
    """Look every ten seconds until cancelled."""
    fills, window = StreamFills(bus), RejectionWindow()
    watch = StandingWatch(bounds_of(settings))
    certificates = CertificateWatch(settings.tls_addresses)
    accounts = receiver.pipeline.accounts

    async def look() -> None:
        seen = streams_seen(await fills.look())
        finished = accounts.finished
        rejected = sum(number for (_, result), number in finished.items() if result is Result.REJECTED)
        published = sum(number for (_, result), number in finished.items() if result is Result.PUBLISHED)
        share = window.look(time.monotonic(), rejected, rejected + published)
        message = f"{share.rejected} of {share.messages} messages of the last five minutes were rejected"
        seen[ConditionKey(REJECTIONS_MANY, settings.source)] = Seen(
            share.share, message, {"percent": _percent(share.share)}
        )
        if certificates.is_known:
            seen |= certificates_seen(certificates.ends, utc_now(), settings.source)
        if settings.ingest_disk_free > 0:
            seen |= await asyncio.to_thread(disk_seen, settings.state_dir)
        if holder.is_holding:
            holding, ended = others_of(receiver, settings)
            for event in watch.events(seen, time.monotonic(), now_ms(), holding=holding, ended=ended):
                log.info("condition_reported", condition=event.event, message=event.message)
                events.put(event)
        else:
            watch.forget()

    async with beside(certificates=certificates.run()):
        await every(_EVERY_S, look, "conditions_not_watched")


def others_of(receiver: Receiver, settings: IngestSettings) -> tuple[list[SystemEvent], list[ConditionKey]]:
    """The conditions that publish their changes themselves: the events of those that hold, the keys of those that do
    not. A lost broker whose breaker is not open is neither."""
    holding: list[SystemEvent] = []
    ended: list[ConditionKey] = []
    source, session, age_s = settings.source, receiver.session, receiver.pipeline.oldest_age_s()
    if age_s > settings.ingest_ack_age_alarm_s:
        holding.append(stalled(age_s, source))
    else:
        ended.append(ConditionKey(STORE_PAUSED, source))
    if session.is_up:
        ended.append(ConditionKey("broker_unreachable", source))
    elif breaker_is_open(session.failures):
        holding.append(breaker_open(session.profiles[session.active].address, session.last_error, source))
    return holding, ended


def bounds_of(settings: IngestSettings) -> Mapping[str, Bounds]:
    """The bounds in force; those of the disk and of certificates are settings."""
    used, days = 1.0 - settings.ingest_disk_free, -settings.ingest_certificate_days
    return {
        **STANDING,
        DISK_FILLING: replace(STANDING[DISK_FILLING], over=used, under=used - _ENDED_BELOW),
        CERTIFICATE_ENDING: replace(STANDING[CERTIFICATE_ENDING], over=days, under=days - 1.0),
    }


def streams_seen(fills: Mapping[str, float]) -> dict[ConditionKey, Seen]:
    """The fill of each stream."""
    return {
        ConditionKey(STREAM_FILLING, name): Seen(
            fill, f"stream {name} is {fill:.0%} full; full, it refuses messages", {"percent": _percent(fill)}
        )
        for name, fill in fills.items()
    }


def disk_seen(folder: Path) -> dict[ConditionKey, Seen]:
    """The use of the disk that the folder is, or will be, on; nothing if it cannot be read."""
    place = next((each for each in (folder.absolute(), *folder.absolute().parents) if each.exists()), None)
    if place is None:
        return {}
    try:
        usage = shutil.disk_usage(place)
    except OSError as error:
        log.warning("disk_not_seen", folder=str(place), error=str(error))
        return {}
    room = usage.used + usage.free
    used = usage.used / room if room else 0.0
    message = f"the disk of ingest is {used:.0%} full: {usage.free / 1e9:.1f} GB are left"
    return {ConditionKey(DISK_FILLING): Seen(used, message, {"percent": _percent(used)})}


def _percent(share: float) -> int:
    return round(share * 100)
