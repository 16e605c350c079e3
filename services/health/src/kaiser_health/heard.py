"""What devices say about themselves, in batches: heartbeats become figures in the registry."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import psycopg
import structlog
from kaiser_common.consumer import Consumer, Delivery
from kaiser_common.database import UNAVAILABLE, DatabasePool, Verdict, verdict
from kaiser_common.schemas.device import Heartbeat
from kaiser_common.topics import Kind

from kaiser_health import store
from kaiser_health.store import Beat

log = structlog.get_logger()

_RETRY_S = 1.0


class Heard:
    """Notes heartbeats. Killed before the acknowledgement: they are noted again, which changes nothing."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool

    async def run(self, consumer: Consumer, stopping: asyncio.Event) -> None:
        """Take batches until the consumer is stopped. With the database away a batch is asked for again."""
        async for batch in consumer:
            try:
                await self.on_messages(batch)
            except (*UNAVAILABLE, psycopg.Error) as error:
                if verdict(error) is not Verdict.RETRY:
                    raise
                log.warning("heartbeats_postponed", messages=len(batch), error=str(error).splitlines()[0])
                await consumer.nak(batch, delay_s=_RETRY_S)
            else:
                await consumer.ack(batch)

    async def on_messages(self, batch: Sequence[Delivery]) -> None:
        """Note the heartbeats of a batch."""
        prefix = f"esp.{Kind.HEARTBEAT.value}."
        beats = [
            to_beat(Heartbeat.model_validate_json(delivery.body))
            for delivery in batch
            if delivery.subject.startswith(prefix)
        ]
        if beats:
            async with self._pool.connection() as connection:
                await store.beat(connection, beats)


def to_beat(heartbeat: Heartbeat) -> Beat:
    """The figures of a heartbeat, seen when ingest received it."""
    return Beat(
        heartbeat.esp_id,
        datetime.fromtimestamp(heartbeat.received_at / 1000, UTC),
        heartbeat.uptime,
        heartbeat.heap_free,
        heartbeat.wifi_rssi,
        heartbeat.sensor_count,
        heartbeat.actuator_count,
        heartbeat.firmware_version,
    )
