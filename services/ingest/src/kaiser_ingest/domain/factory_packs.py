"""Packs of the factory's messages that arrived together, and the ids of deliveries that are in stored ones; pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from kaiser_common.bus.connection import Outgoing
from kaiser_common.contract.pack import bounded, count_header, encode
from kaiser_common.contract.subjects import factory_pack_subject, is_packed
from kaiser_factory_dialect import wire

OF_RETAINED = "ret."
"""How the ids of retained messages begin; no other id does."""
MOST_FACTORY_LINES = 100
MOST_FACTORY_BYTES = 128 * 1024
"""Of a pack. factory-store may have 200 of them in memory; a longer line stays alone, as pictures do."""


def to_factory_packs(messages: Sequence[Outgoing], new_id: Callable[[], str]) -> list[Outgoing]:
    """The messages in order: those of an environment that follow one another as packs, each with a new id.

    A message alone stays as it is, and so does each retained one: by its id JetStream knows it for two minutes, however
    often the broker sends it. A line has the id of its delivery, so that another process finds it there.
    """
    packs: list[Outgoing] = []
    for (env, is_retained), found in groupby(messages, _together):
        together = list(found)
        if is_retained:
            packs += together
            continue
        start = 0
        for part in bounded((message.body for message in together), MOST_FACTORY_LINES, MOST_FACTORY_BYTES):
            of_part = together[start : start + len(part)]
            start += len(part)
            packs.append(of_part[0] if len(part) == 1 else _pack(env, of_part, new_id()))
    return packs


def deliveries_in(subject: str, body: bytes, headers: Mapping[str, str]) -> Iterable[str]:
    """The ids of the deliveries that a message of FACTORY holds, as it is stored."""
    if is_packed(subject):
        return [found for line in body.split(b"\n") if (found := wire.delivery_of(line)) is not None]
    return [headers["Nats-Msg-Id"]] if "Nats-Msg-Id" in headers else []


def _together(message: Outgoing) -> tuple[str, bool]:
    return message.subject.split(".", 2)[1], message.msg_id.startswith(OF_RETAINED)


def _pack(env: str, messages: Sequence[Outgoing], msg_id: str) -> Outgoing:
    lines = [wire.to_line(message.body, message.msg_id) for message in messages]
    return Outgoing(factory_pack_subject(env), encode(lines), msg_id, headers=count_header(lines))
