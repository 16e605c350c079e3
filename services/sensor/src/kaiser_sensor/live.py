"""The live consumer: each reading becomes an event at once, whatever the database does."""

import time
from collections.abc import Callable, Sequence

from kaiser_common.bus import Bus, Outgoing
from kaiser_common.consumer import Consumer
from kaiser_common.metrics import STAGE_SECONDS
from kaiser_common.outside import DeadLetters, Unreadable, take
from kaiser_common.pull import Delivery
from kaiser_common.schemas.event import OutboxMessage
from kaiser_common.schemas.sensor import Processed as ProcessedPayload
from kaiser_common.subjects import event_subject, outbox_subject
from kaiser_common.topics import Kind, build
from kaiser_common.tracing import Tracer

from kaiser_sensor import metrics
from kaiser_sensor.decode import decode
from kaiser_sensor.process import Process
from kaiser_sensor.reading import Reading
from kaiser_sensor.rows import Processed, to_event

_ANSWER_EXPIRES_MS = 30_000


class Live:
    """Publishes `event.sensor_data`. Killed after the publish and before the acknowledgement: the events come twice."""

    def __init__(
        self, bus: Bus, process: Process, wants_answer: Callable[[Reading], bool], tracer: Tracer | None = None
    ) -> None:
        self._bus = bus
        self._process = process
        self._wants_answer = wants_answer
        self._tracer = tracer
        self._seconds = STAGE_SECONDS.labels("bus_to_event")

    async def run(self, consumer: Consumer, letters: DeadLetters) -> None:
        """Publish until the consumer is stopped. NATS refusing: the batch is asked for again after a second."""
        await take(consumer, self.on_readings, letters)

    async def on_readings(self, batch: Sequence[Delivery]) -> Unreadable:
        """Publish the events of a batch; what of it is no reading."""
        readings, unreadable = decode(batch)
        processed_readings = [(delivery, self._process(reading)) for delivery, reading in readings]
        events = [
            Outgoing(
                event_subject("sensor_data", processed.reading.esp_id),
                to_event(processed),
                f"live-{delivery.origin}",
                delivery.traceparent if self._tracer is not None else "",
            )
            for delivery, processed in processed_readings
        ]
        await self._bus.publish_batch(events, ordered=False)
        answers = [
            to_device(processed, delivery)
            for delivery, processed in processed_readings
            if processed.value is not None and self._wants_answer(processed.reading)
        ]
        await self._bus.publish_batch(answers)
        metrics.PUBLISHED.inc(len(events))
        if self._tracer is not None:
            self._tracer.note("event", batch)
        if readings:
            self._seconds.observe(max(0.0, time.time() - readings[0][1].received_at / 1000))
        metrics.UNREADABLE.inc(len(unreadable))
        return unreadable


def to_device(processed: Processed, delivery: Delivery) -> Outgoing:
    """The processed value for a device that displays it; of no use after half a minute."""
    reading = processed.reading
    payload = ProcessedPayload(
        value=processed.value or 0.0, unit=processed.unit or "", quality=processed.quality, ts=reading.ts
    )
    message = OutboxMessage(
        topic=build(Kind.PROCESSED, reading.kaiser_id, reading.esp_id, reading.gpio),
        payload=payload.model_dump_json(),
        expires_at=reading.received_at + _ANSWER_EXPIRES_MS,
    )
    return Outgoing(
        outbox_subject(reading.kaiser_id, reading.esp_id),
        message.model_dump_json().encode(),
        f"processed-{delivery.origin}",
    )
