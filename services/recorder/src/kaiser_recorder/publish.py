"""Messages out: recorded messages for ingest to publish to the factory, and how far a replay is."""

import base64
import time
from collections.abc import Iterable

import structlog
from kaiser_common.bus.connection import Bus, BusUnavailable, Outgoing
from kaiser_common.contract.schemas.factory import FactoryOutbox, FactoryReplay, ReplayPlace
from kaiser_common.contract.subjects import REPLAY_PLACE, event_subject
from kaiser_factory_dialect.subjects import outbox_subject

from kaiser_recorder.domain.replayed import ToSend

log = structlog.get_logger()

_EVENT_WITHIN_S = 2.0


async def to_outbox(
    bus: Bus, env: str, epoch: int, messages: Iterable[tuple[str, ToSend]], place: ReplayPlace | None = None
) -> None:
    """Put messages on the OUTBOX, in order, each with its id: one that is there already is not there twice.

    place: how far the replay is with them; it is stored with them or not at all, where their payloads have 2 MiB
    together at most. Messages without a place (a snapshot) are not counted, so a refused one is rejected without the
    replay's id.
    BusUnavailable: some may be there."""
    now_ms = time.time_ns() // 1_000_000
    replay_id = place.replay_id if place is not None else None
    outgoing = [
        Outgoing(outbox_subject("replay", each.serial), _body(each, env, epoch, now_ms, replay_id), message_id)
        for message_id, each in messages
    ]
    if outgoing and place is not None:
        place_id = f"place.{place.replay_id}.{place.turn}.{place.number}"
        outgoing.append(
            Outgoing(REPLAY_PLACE, place.model_dump_json().encode(), place_id, headers=(("Nats-Rollup", "sub"),))
        )
    if outgoing:
        await bus.publish_batch(outgoing)


async def progress(bus: Bus, replay: FactoryReplay) -> None:
    """Publish how far a replay is. NATS away: this report is lost, and the next one follows."""
    body = replay.model_dump_json().encode()
    try:
        await bus.publish(event_subject("factory_replay", replay.replay_id), body, deadline_s=_EVENT_WITHIN_S)
    except BusUnavailable as error:
        log.warning("replay_event_dropped", replay=replay.replay_id, reason=str(error))


def _body(each: ToSend, env: str, epoch: int, now_ms: int, replay_id: str | None) -> bytes:
    message = FactoryOutbox(
        topic=each.message.topic,
        payload_base64=base64.b64encode(each.message.payload).decode(),
        env=env,
        epoch=epoch,
        queued_at=now_ms,
        qos=1 if each.message.qos else 0,
        retain=each.message.retained,
        replay_id=replay_id,
    )
    return message.model_dump_json(exclude_none=True).encode()
