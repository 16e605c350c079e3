"""Asks JetStream how full SENSORS is and how far its consumers are."""

from kaiser_common.bus.connection import Bus
from kaiser_common.contract.subjects import SENSORS, DurableConsumer
from nats.js.api import ConsumerInfo
from nats.js.errors import APIError


async def acknowledged(bus: Bus, consumer: DurableConsumer) -> int:
    """The stream sequence up to which the consumer has acknowledged everything; 0 if there is none."""
    floor = (await _state(bus, consumer)).ack_floor
    return 0 if floor is None else floor.stream_seq


async def waiting(bus: Bus, consumer: DurableConsumer) -> int | None:
    """The number of messages that the consumer has not delivered yet; None if JetStream does not know it now."""
    try:
        return (await _state(bus, consumer)).num_pending
    except APIError:
        return None


async def filled(bus: Bus) -> float:
    """The share of its limit that the stream holds; 0 if it has none."""
    info = await bus.jetstream.stream_info(SENSORS.name)
    most = info.config.max_bytes or 0
    return info.state.bytes / most if most > 0 else 0.0


async def _state(bus: Bus, consumer: DurableConsumer) -> ConsumerInfo:
    info: ConsumerInfo = await bus.jetstream.consumer_info(SENSORS.name, consumer.name)
    return info
