"""The live consumer: each reading becomes an event at once, whatever the database does."""

import time

import structlog
from kaiser_common.bus import Bus, BusUnavailable, Outgoing
from kaiser_common.consumer import Consumer, Delivery
from kaiser_common.errors import Code
from kaiser_common.metrics import STAGE_SECONDS
from kaiser_common.quarantine import reject
from kaiser_common.subjects import event_subject

from kaiser_sensor import metrics
from kaiser_sensor.decode import decode
from kaiser_sensor.process import process
from kaiser_sensor.rows import to_event

log = structlog.get_logger()

_RETRY_S = 1.0


class Live:
    """Publishes `event.sensor_data`. Killed after the publish and before the acknowledgement: the events come twice."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._seconds = STAGE_SECONDS.labels("bus_to_event")

    async def run(self, consumer: Consumer) -> None:
        """Publish until the consumer is stopped. NATS refusing: the batch is asked for again after a second."""
        async for batch in consumer:
            try:
                await self.on_readings(batch)
            except BusUnavailable as error:
                log.warning("events_postponed", messages=len(batch), error=str(error))
                await consumer.nak(batch, delay_s=_RETRY_S)
            else:
                await consumer.ack(batch)

    async def on_readings(self, batch: list[Delivery]) -> None:
        """Publish the events of a batch."""
        readings, unreadable = decode(batch)
        if unreadable:
            metrics.UNREADABLE.inc(len(unreadable))
            await reject(self._bus, unreadable, Code.PROCESSING_FAILED)
        events = [
            Outgoing(
                event_subject("sensor_data", reading.esp_id),
                to_event(process(reading)).model_dump_json(exclude_none=True).encode(),
                f"live-{delivery.stream_sequence}-{delivery.timestamp_ns}",
            )
            for delivery, reading in readings
        ]
        await self._bus.publish_batch(events)
        metrics.PUBLISHED.inc(len(events))
        if readings:
            self._seconds.observe(max(0.0, time.time() - readings[0][1].received_at / 1000))
