"""Events of the factory for frontends and rules."""

from collections.abc import Iterable

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable, Outgoing
from kaiser_common.contract.subjects import event_subject
from kaiser_factory_dialect.subjects import token
from pydantic import BaseModel

from kaiser_factory import metrics

log = structlog.get_logger()

_WITHIN_S = 2.0


async def events(bus: Bus, found: Iterable[tuple[str, str, BaseModel]]) -> bool:
    """Publish events (type, key, data) in order. False: NATS did not take them in time; they are dropped, counted."""
    messages = [
        Outgoing(event_subject(kind, token(key)), data.model_dump_json().encode(), bus.message_id())
        for kind, key, data in found
    ]
    if not messages:
        return True
    try:
        await bus.publish_batch(messages, deadline_s=_WITHIN_S)
    except BusUnavailable as error:
        metrics.EVENTS_DROPPED.inc(len(messages))
        log.warning("events_dropped", events=len(messages), reason=str(error))
        return False
    return True
