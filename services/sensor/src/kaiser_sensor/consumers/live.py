"""The live consumer: each pack of readings becomes a pack of events immediately, independent of the database."""

import time
from collections.abc import Callable, Iterator, Sequence

from kaiser_common.bus.connection import Bus, Outgoing
from kaiser_common.bus.metrics import STAGE_SECONDS
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.pack import MOST_READ_BYTES, bounded, count_header, encode
from kaiser_common.contract.schemas.event import OutboxMessage
from kaiser_common.contract.schemas.sensor import Processed as ProcessedPayload
from kaiser_common.contract.subjects import event_pack_subject, event_subject, outbox_subject, shard_in
from kaiser_common.contract.topics import Kind, build
from kaiser_common.runtime.consume import Unreadable
from kaiser_common.runtime.tracing import Tracer

from kaiser_sensor import metrics
from kaiser_sensor.domain.decode import Pack
from kaiser_sensor.domain.processed import PackProcessing
from kaiser_sensor.domain.reading import SensorReading
from kaiser_sensor.domain.rows import ProcessedReading, to_event

_ANSWER_EXPIRES_MS = 30_000


class Live:
    """Publishes `event.sensor_data`. Killed after the publish and before the acknowledgement: the events come twice."""

    def __init__(
        self,
        bus: Bus,
        packs: PackProcessing,
        wants_answer: Callable[[SensorReading], bool],
        tracer: Tracer | None = None,
        *,
        per_device: bool = False,
    ) -> None:
        """per_device: one message per event, on a subject of its device, for subscribers on NATS that filter by it."""
        self._bus = bus
        self._packs = packs
        self._wants_answer = wants_answer
        self._tracer = tracer
        self._per_device = per_device
        self._seconds = STAGE_SECONDS.labels("bus_to_event")

    async def on_readings(self, batch: Sequence[Delivery]) -> Unreadable:
        """Publish the events of a batch; what of it is no reading. NATS refuses: it comes again in a second."""
        processed, unreadable = self._packs.take(batch)
        await self._bus.publish_batch([event for each in processed for event in self._events(*each)], ordered=False)
        answers = [
            to_device(one, pack, index)
            for pack, readings in processed
            for index, one in enumerate(readings)
            if one.value is not None and self._wants_answer(one.reading)
        ]
        await self._bus.publish_batch(answers)
        metrics.PUBLISHED.inc(sum(len(readings) for _, readings in processed))
        if self._tracer is not None:
            self._tracer.note("event", batch)
        if processed:
            first_at = processed[0][1][0].reading.received_at
            self._seconds.observe(max(0.0, time.time() - first_at / 1000))
        metrics.UNREADABLE.inc(len(unreadable))
        return unreadable

    def _events(self, pack: Pack, processed: Sequence[ProcessedReading]) -> Iterator[Outgoing]:
        """The events of a pack as one pack, so that a redelivery is one duplicate; as two where they are too long."""
        delivery = pack.delivery
        subject = event_pack_subject(shard_in(delivery.subject))
        traceparent = delivery.traceparent if self._tracer is not None else ""
        lines = [to_event(one) for one in processed]
        if self._per_device:
            for number, (one, line) in enumerate(zip(processed, lines, strict=True)):
                of_device = event_subject("sensor_data", one.reading.esp_id)
                yield Outgoing(of_device, line, f"live-{delivery.origin}.{number}", traceparent)
            return
        for number, part in enumerate(bounded(lines, len(lines), MOST_READ_BYTES)):
            name = f"live-{delivery.origin}" + f".{number}" * bool(number)
            yield Outgoing(subject, encode(part), name, traceparent, count_header(part))


def to_device(processed: ProcessedReading, pack: Pack, index: int) -> Outgoing:
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
        outbox_subject(reading.kaiser_id, reading.esp_id, "sensor"),
        message.model_dump_json().encode(),
        f"processed-{pack.line(index).origin}",
    )
