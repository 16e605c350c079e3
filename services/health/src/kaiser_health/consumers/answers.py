"""Answers of devices: each is matched to the push that it is for."""

from datetime import datetime, timedelta

import structlog
from kaiser_common.contract.schemas.device import Intent, ScanResult
from kaiser_common.contract.times import time_of

from kaiser_health.domain import events
from kaiser_health.domain.decode import DeviceBatch
from kaiser_health.domain.downlink import SCAN
from kaiser_health.domain.pushes import Push, answered, match
from kaiser_health.publish import DeviceChanges
from kaiser_health.store import Connection, pushes

log = structlog.get_logger()

_SCAN_TAKES = timedelta(seconds=60)


async def note_answers(connection: Connection, batch: DeviceBatch, now: datetime, changes: DeviceChanges) -> None:
    """Store what devices answered; an intent that is for no push becomes an event."""
    if not batch.answers:
        return
    esp_ids = {answer.esp_id for answer, _ in batch.answers}
    push_ids = {answer.push_id for answer, _ in batch.answers if answer.push_id}
    found = await pushes.concerned(connection, sorted(esp_ids), sorted(push_ids))
    by_id = {push.push_id: push for push in found}
    for answer, message in batch.answers:
        push = match(by_id.values(), answer)
        if isinstance(message, ScanResult):
            await _publish_scan(connection, message, push, now, changes)
        if push is None:
            log.info("answer_without_push", esp_id=answer.esp_id, kind=answer.kind, push_id=answer.push_id)
            if isinstance(message, Intent):
                changes.events.append(events.intent_event(message, now))
            continue
        after = answered(push, answer)
        if after is push:
            continue
        by_id[push.push_id] = after
        if after.state == "pending":
            await pushes.update(connection, after)
        else:
            await changes.end_push(connection, after, now, answer.details)


async def _publish_scan(
    connection: Connection, scan: ScanResult, push: Push | None, now: datetime, changes: DeviceChanges
) -> None:
    """Publish what a scan found, with the command that it is for: that may have been answered already."""
    push_id = push.push_id if push else None
    if push_id is None:
        since = time_of(scan.received_at) - _SCAN_TAKES
        push_id = await pushes.last_command(connection, scan.esp_id, SCAN, since)
    changes.events.append(events.scan_event(scan, push_id, now))
