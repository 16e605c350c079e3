"""Monitors the fill level of the streams: ingest is the publisher that a full stream refuses."""

from collections.abc import Mapping

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.contract.subjects import STREAMS
from nats.errors import Error as NatsError

from kaiser_ingest import metrics

log = structlog.get_logger()


class StreamFills:
    """Asks for every stream's size. NATS away, or no right to ask: its gauges stay."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._refused: set[str] = set()

    async def look(self) -> Mapping[str, float]:
        """The share of its limit that each stream holds which refuses messages when it is full; one that did not
        answer is left out."""
        fills: dict[str, float] = {}
        for stream in STREAMS:
            try:
                info = await self._bus.jetstream.stream_info(stream.name)
            except (NatsError, TimeoutError) as error:
                if stream.name not in self._refused:
                    log.warning("stream_not_seen", stream=stream.name, error=str(error) or type(error).__name__)
                self._refused.add(stream.name)
                continue
            self._refused.discard(stream.name)
            limit = info.config.max_bytes or stream.max_bytes
            metrics.STREAM_BYTES.labels(stream.name).set(info.state.bytes)
            metrics.STREAM_MESSAGES.labels(stream.name).set(info.state.messages)
            metrics.STREAM_LIMIT.labels(stream.name).set(limit)
            if stream.discard == "new" and limit > 0:
                fills[stream.name] = info.state.bytes / limit
        return fills
