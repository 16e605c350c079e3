"""event.alarm: each step of an alarm, from its row, in order."""

import re

from kaiser_common.bus.connection import Bus, Outgoing
from kaiser_common.contract.schemas.api.devices import ESP_ID
from kaiser_common.contract.schemas.event import AlarmEvent
from kaiser_common.contract.subjects import event_subject
from kaiser_common.runtime.database import DatabasePool

from kaiser_alarm import metrics
from kaiser_alarm.store import alarms

_AT_ONCE = 500
_IS_DEVICE = re.compile(ESP_ID)


async def publish_steps(pool: DatabasePool, bus: Bus) -> None:
    """Publish the steps that are not published yet. BusUnavailable: the rest comes with the next call.

    Killed between the publish and the note of it: the same steps are published again under the same ids, which the
    stream drops within two minutes; later a client sees a step twice and knows it by alarm_id and step.
    """
    while True:
        async with pool.connection() as connection:
            waiting = await alarms.unpublished(connection, _AT_ONCE)
        if not waiting:
            return
        await bus.publish_batch([to_outgoing(event) for _, event in waiting])
        async with pool.connection() as connection:
            await alarms.note_published(connection, [number for number, _ in waiting])
        metrics.PUBLISHED.inc(len(waiting))
        if len(waiting) < _AT_ONCE:
            return


def to_outgoing(event: AlarmEvent) -> Outgoing:
    """A step as a message; its id names the step."""
    esp_id = event.esp_id if event.esp_id and _IS_DEVICE.fullmatch(event.esp_id) else None
    body = event.model_dump_json(exclude_none=True).encode()
    return Outgoing(event_subject("alarm", esp_id), body, f"alarm-{event.alarm_id}-{event.step}")
