"""Turns a command of the journal into the entry that events and answers carry; pure."""

import msgspec
from kaiser_common.contract.schemas.factory import FactoryCommandEntry
from kaiser_factory_dialect.payload import nests_at_most

from kaiser_factory.store.commands import Command

_DEEPEST = 100
"""Readers of JSON give up at 200 levels, writers at 255."""


def entry_of(command: Command) -> FactoryCommandEntry:
    """The entry. A step that waits for the one before it is shown as queued, without a time of sending."""
    entry = command.entry
    return FactoryCommandEntry(
        env=command.env,
        epoch=command.epoch,
        command_id=command.command_id,
        do=str(command.request.get("do", "")),
        topic=command.topic,
        payload=shown(command.payload),
        serial=command.command.serial,
        order_id=(entry.order_id if entry is not None else None) or command.command.order_id,
        action_id=command.command.action_id,
        state=entry.state if entry is not None else "abandoned" if command.abandoned else "queued",
        code=None if entry is None or entry.code is None else int(entry.code),
        result=entry.result if entry is not None else None,
        late=entry.late if entry is not None else False,
        user=command.user,
        sequence_id=command.sequence_id,
        step=command.step if command.sequence_id is not None else None,
        queued_at=command.queued_at,
        sent_at=entry.sent_at if entry is not None else None,
        ts=command.queued_at if entry is None else entry.at,
    )


def shown(payload: bytes) -> object:
    """A payload as events and answers carry it: its JSON value; a text where it is none, or nests over 100 deep."""
    try:
        value = msgspec.json.decode(payload)
        if nests_at_most(value, _DEEPEST):
            return value
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    return payload.decode(errors="replace")
