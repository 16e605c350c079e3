"""Events of the factory for frontends and rules."""

from collections.abc import Iterable
from functools import partial

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable, Outgoing
from kaiser_common.contract.pack import bounded, count_header, encode
from kaiser_common.contract.schemas.event import SystemEvent
from kaiser_common.contract.schemas.factory import FactoryEnvironment
from kaiser_common.contract.subjects import event_pack_subject, event_subject, is_packed
from kaiser_common.runtime.loops import until_done
from kaiser_factory_dialect.subjects import token
from pydantic import BaseModel

from kaiser_factory import metrics
from kaiser_factory.domain.live import Changes, FactoryState

log = structlog.get_logger()

_WITHIN_S = 2.0


async def news(bus: Bus, live: FactoryState, changes: Changes, now: int) -> bool:
    """Publish what changed in the live state. False: NATS did not take it in time; the next call publishes it again,
    also one that is about something else."""
    if await events(bus, live.news(changes, now)):
        return True
    live.lose(changes)
    return False


async def events(bus: Bus, found: Iterable[tuple[str, str | None, BaseModel]]) -> bool:
    """Publish events (type, key, data), each about something else, so their order does not matter; key None: about no
    machine. Those of modules and AGVs go as packs.

    False: NATS did not take them in time; they are dropped, counted.
    """
    messages: list[Outgoing] = []
    packed: dict[str, list[bytes]] = {}
    for kind, key, data in found:
        subject, body = event_subject(kind, None if key is None else token(key)), data.model_dump_json().encode()
        if is_packed(subject):
            packed.setdefault(kind, []).append(body)
        else:
            messages.append(Outgoing(subject, body, bus.message_id()))
    for kind, lines in packed.items():
        subject = event_pack_subject(kind=kind)
        messages += [
            Outgoing(subject, encode(part), bus.message_id(), headers=count_header(part)) for part in bounded(lines)
        ]
    if not messages:
        return True
    try:
        await bus.publish_batch(messages, deadline_s=_WITHIN_S, ordered=False)
    except BusUnavailable as error:
        dropped = sum(map(len, packed.values())) + sum(not is_packed(message.subject) for message in messages)
        metrics.EVENTS_DROPPED.inc(dropped)
        log.warning("events_dropped", events=dropped, reason=str(error))
        return False
    return True


async def entered(bus: Bus, environment: FactoryEnvironment, *, retry_s: float = 1.0) -> None:
    """Publish which environment is in force. NATS away: again after `retry_s`, because open pages follow the event and
    look at nothing else."""
    subject = event_subject("factory_environment", token(environment.env))
    message = Outgoing(subject, environment.model_dump_json().encode(), bus.message_id())
    step = partial(bus.publish_batch, [message], deadline_s=_WITHIN_S, ordered=False)
    await until_done(step, "environment_event_postponed", retry_s=retry_s)


def silent(serial: str, now: int) -> tuple[str, None, SystemEvent]:
    """The system event of a module whose heartbeat is missing; it is about no ESP32, so it has no key."""
    text = f"module {serial} has published nothing for 45 s, though its connection came every 15 s"
    event = SystemEvent(event="factory_silent", severity="warning", message=text, details={"serial": serial}, ts=now)
    return ("system_event", None, event)
