"""Asks JetStream how far the consumers of SENSORS are."""

from kaiser_common.bus.connection import Bus
from kaiser_common.contract.subjects import SENSORS, DurableConsumer
from nats.js.api import ConsumerInfo
from nats.js.errors import APIError


async def waiting(bus: Bus, consumer: DurableConsumer) -> int | None:
    """The number of messages that the consumer has not delivered yet; None if JetStream does not know it now."""
    try:
        info: ConsumerInfo = await bus.jetstream.consumer_info(SENSORS.name, consumer.name)
    except APIError:
        return None
    return info.num_pending
