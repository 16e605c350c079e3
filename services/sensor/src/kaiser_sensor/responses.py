"""The consumer of what devices answer to sensor commands: noted in the table, told as an event, then acknowledged."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog
from kaiser_common.bus import Bus, BusUnavailable, Outgoing
from kaiser_common.consumer import Consumer
from kaiser_common.database import UNAVAILABLE, DatabasePool
from kaiser_common.errors import Code
from kaiser_common.pull import Delivery
from kaiser_common.quarantine import reject
from kaiser_common.schemas.event import SystemEvent
from kaiser_common.schemas.sensor import SensorResponse
from kaiser_common.subjects import event_subject
from pydantic import ValidationError

from kaiser_sensor import measure_store, metrics

log = structlog.get_logger()

_RETRY_S = 1.0
_OUTSIDE: tuple[type[Exception], ...] = (*UNAVAILABLE, BusUnavailable)


class Responses:
    """Killed between the event and the commit: the answer comes again, and the event's id keeps it single."""

    def __init__(self, bus: Bus, pool: DatabasePool, now: Callable[[], datetime]) -> None:
        self._bus = bus
        self._pool = pool
        self._now = now

    async def run(self, consumer: Consumer, stopping: asyncio.Event) -> None:
        """Take answers until the consumer is stopped. Database or bus away: they are asked for again after a second."""
        async for batch in consumer:
            try:
                await self.on_responses(batch)
            except _OUTSIDE as error:
                log.warning("responses_postponed", messages=len(batch), error=str(error).partition("\n")[0])
                await consumer.nak(batch, delay_s=_RETRY_S)
                await _sleep(_RETRY_S, stopping)
            else:
                await consumer.ack(batch)

    async def on_responses(self, batch: list[Delivery]) -> None:
        """Note the answers of a batch, each once, and tell of them."""
        responses: list[SensorResponse] = []
        unreadable: list[tuple[Delivery, str]] = []
        for delivery in batch:
            try:
                responses.append(SensorResponse.model_validate_json(delivery.body))
            except ValidationError as error:
                unreadable.append((delivery, str(error.errors(include_url=False)[0]["msg"])))
        if unreadable:
            metrics.UNREADABLE.inc(len(unreadable))
            await reject(self._bus, unreadable, Code.PROCESSING_FAILED)
        if not responses:
            return
        # Of answers to one request the first counts.
        first = {(response.request_id, response.esp_id): response for response in reversed(responses)}
        async with self._pool.connection() as connection:
            noted = await measure_store.answer(connection, list(first.values()), self._now())
            await self._bus.publish_batch([_event(response) for key, response in first.items() if key in noted])
        metrics.UNASKED.inc(len(responses) - len(noted))


def _event(response: SensorResponse) -> Outgoing:
    done = "measured" if response.success else "did not measure"
    event = SystemEvent(
        event="sensor_measured" if response.success else "sensor_measure_failed",
        severity="info" if response.success else "warning",
        message=f"{response.esp_id} {done} on gpio {response.gpio}"
        + (f": {response.message}" if response.message else ""),
        esp_id=response.esp_id,
        details={"gpio": response.gpio, "request_id": response.request_id},
        ts=response.ts,
    )
    return Outgoing(
        event_subject("system_event", response.esp_id),
        event.model_dump_json().encode(),
        f"measured-{response.request_id}",
    )


async def _sleep(seconds: float, stopping: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return
