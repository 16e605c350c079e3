"""The consumer of device answers to sensor commands: recorded in the table, published as an event, then
acknowledged."""

from collections.abc import Callable, Sequence
from datetime import datetime

from kaiser_common.bus.connection import Bus, Outgoing
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.schemas.event import SystemEvent
from kaiser_common.contract.schemas.sensor import SensorResponse
from kaiser_common.contract.subjects import event_subject
from kaiser_common.runtime.consume import Unreadable
from kaiser_common.runtime.database import DatabasePool
from pydantic import ValidationError

from kaiser_sensor import metrics
from kaiser_sensor.store import measurements as measure_store


class Responses:
    """Killed between the event and the commit: the answer comes again, and the event's id keeps it single."""

    def __init__(self, bus: Bus, pool: DatabasePool, now: Callable[[], datetime]) -> None:
        self._bus = bus
        self._pool = pool
        self._now = now

    async def on_responses(self, batch: Sequence[Delivery]) -> Unreadable:
        """Record and publish the answers of a batch, each once; returns the messages that are not answers."""
        responses: list[SensorResponse] = []
        unreadable: list[tuple[Delivery, str]] = []
        for delivery in batch:
            try:
                responses.append(SensorResponse.model_validate_json(delivery.body))
            except ValidationError as error:
                unreadable.append((delivery, str(error.errors(include_url=False)[0]["msg"])))
        metrics.UNREADABLE.inc(len(unreadable))
        if not responses:
            return unreadable
        # Of answers to one request the first counts.
        first = {(response.request_id, response.esp_id): response for response in reversed(responses)}
        async with self._pool.connection() as connection:
            noted = await measure_store.answer(connection, list(first.values()), self._now())
            await self._bus.publish_batch([_event(response) for key, response in first.items() if key in noted])
        metrics.UNASKED.inc(len(responses) - len(noted))
        return unreadable


def _event(response: SensorResponse) -> Outgoing:
    done = "measured" if response.success else "did not measure"
    event = SystemEvent(
        event="sensor_measured" if response.success else "sensor_measure_failed",
        severity="info" if response.success else "warning",
        message=f"{response.esp_id} {done} on gpio {response.gpio}"
        + (f": {response.message}" if response.message else ""),
        esp_id=response.esp_id,
        details={"gpio": response.gpio, "request_id": response.request_id, "note": response.message},
        ts=response.ts,
    )
    return Outgoing(
        event_subject("system_event", response.esp_id),
        event.model_dump_json().encode(),
        f"measured-{response.request_id}",
    )
