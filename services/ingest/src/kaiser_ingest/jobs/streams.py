"""Monitors the fill level of the streams: ingest is the publisher that a full stream refuses."""

import asyncio

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.contract.subjects import STREAMS
from nats.errors import Error as NatsError

from kaiser_ingest import metrics

log = structlog.get_logger()

_EVERY_S = 10.0


async def watch_streams(bus: Bus) -> None:
    """Set the gauges of every stream every ten seconds. NATS away, or no right to ask: the gauges stay."""
    refused: set[str] = set()
    while True:
        for stream in STREAMS:
            try:
                info = await bus.jetstream.stream_info(stream.name)
            except (NatsError, TimeoutError) as error:
                if stream.name not in refused:
                    log.warning("stream_not_seen", stream=stream.name, error=str(error) or type(error).__name__)
                refused.add(stream.name)
            else:
                refused.discard(stream.name)
                metrics.STREAM_BYTES.labels(stream.name).set(info.state.bytes)
                metrics.STREAM_MESSAGES.labels(stream.name).set(info.state.messages)
                metrics.STREAM_LIMIT.labels(stream.name).set(info.config.max_bytes or stream.max_bytes)
        await asyncio.sleep(_EVERY_S)
