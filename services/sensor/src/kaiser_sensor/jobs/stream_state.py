"""How far the consumers of SENSORS are, asked of JetStream."""

import json
from typing import Any

from kaiser_common.bus.connection import Bus
from kaiser_common.contract.subjects import SENSORS, DurableConsumer

_TIMEOUT_S = 5.0


async def ask(bus: Bus, method: str, request: dict[str, Any]) -> dict[str, Any]:
    """A call of JetStream's API. Raises what nats-py does when there is no answer."""
    body = json.dumps(request).encode() if request else b""
    reply = await bus.client.request(f"$JS.API.{method}", body, timeout=_TIMEOUT_S)
    return dict(json.loads(reply.data))


async def acknowledged(bus: Bus, consumer: DurableConsumer) -> int:
    """The stream sequence up to which the consumer has acknowledged everything; 0 if it is unknown."""
    answer = await _state(bus, consumer)
    return int(answer.get("ack_floor", {}).get("stream_seq", 0))


async def waiting(bus: Bus, consumer: DurableConsumer) -> int | None:
    """The number of messages that the consumer has not delivered yet; None if it is unknown."""
    found = (await _state(bus, consumer)).get("num_pending")
    return None if found is None else int(found)


async def filled(bus: Bus) -> float:
    """The share of its limit that the stream holds; 0 if it is unknown."""
    answer = await ask(bus, f"STREAM.INFO.{SENSORS.name}", {})
    most = int(answer.get("config", {}).get("max_bytes", 0))
    return int(answer.get("state", {}).get("bytes", 0)) / most if most > 0 else 0.0


async def _state(bus: Bus, consumer: DurableConsumer) -> dict[str, Any]:
    return await ask(bus, f"CONSUMER.INFO.{SENSORS.name}.{consumer.name}", {})
