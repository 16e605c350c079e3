"""The states of rules in the bucket `logic_state`, written by compare-and-set."""

import json

import structlog
from kaiser_common.bus.bucket import Kept, read_bucket
from kaiser_common.bus.connection import Bus
from kaiser_common.contract.errors import line_of
from kaiser_common.contract.subjects import EVENTS, LOGIC_STATE_BUCKET
from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from pydantic import ValidationError

from kaiser_logic.domain.state import RuleState, from_json

log = structlog.get_logger()

_CHECKPOINT = "checkpoint"


class Fenced(Exception):
    """Another process has written a rule's state since it was read here: it evaluates the rules too."""


class StateStore:
    """Tracks each key's revision. If two processes evaluate concurrently, the first write wins and the other is Fenced,
    so a rule's firing, which is such a write, happens once."""

    def __init__(self, bus: Bus, kv: KeyValue) -> None:
        self._bus = bus
        self._kv = kv
        self._revisions: dict[str, int] = {}

    @classmethod
    async def open(cls, bus: Bus) -> "StateStore":
        """Bind to the declared bucket. Raises nats errors."""
        return cls(bus, await bus.jetstream.key_value(LOGIC_STATE_BUCKET.name))

    async def load(self) -> tuple[dict[str, RuleState], int | None]:
        """Every state by rule, and the last event of EVENTS that they include; None if that is unknown, or the stream
        was created again (then the marks of the states are ignored too)."""
        states: dict[str, RuleState] = {}
        seq: int | None = None
        for key, kept in (await read_bucket(self._bus, LOGIC_STATE_BUCKET)).items():
            if key == _CHECKPOINT:
                seq = int(json.loads(kept.value)["seq"])
            else:
                self._note(states, key, kept)
        last = (await self._bus.jetstream.stream_info(EVENTS.name)).state.last_seq
        if seq is None or seq > last:
            for state in states.values():
                state.seq = 0
            return states, None
        return states, seq

    def _note(self, states: dict[str, RuleState], key: str, kept: Kept) -> None:
        rule_id = key.removeprefix("rule.")
        self._revisions[rule_id] = kept.revision
        try:
            states[rule_id] = from_json(kept.value or b"{}")
        except ValidationError as error:
            log.error("rule_state_unreadable", rule_id=rule_id, error=line_of(error))

    async def save(self, rule_id: str, body: bytes) -> None:
        """Write a state. Raises Fenced if another process has written it. Raises a NATS error if it is unknown whether
        the write was stored; the caller must write again."""
        key = f"rule.{rule_id}"
        known = self._revisions.get(rule_id, 0)
        try:
            # A rule that was gone and is back has a deleted key, over which only `create` writes.
            written = await (self._kv.update(key, body, last=known) if known else self._kv.create(key, body))
            self._revisions[rule_id] = written
        except KeyWrongLastSequenceError as error:
            # An earlier try of this very write may have been stored while its answer was lost.
            entry = await self._entry(key)
            if entry is None or entry.value != body or entry.revision is None:
                raise Fenced(f"the state of rule {rule_id} was written by another process") from error
            self._revisions[rule_id] = entry.revision

    async def delete(self, rule_id: str) -> None:
        """Forget the state of a rule that is gone."""
        self._revisions.pop(rule_id, None)
        await self._kv.delete(f"rule.{rule_id}")

    async def save_checkpoint(self, seq: int) -> None:
        """Note that every state goes up to this event."""
        await self._kv.put(_CHECKPOINT, json.dumps({"seq": seq}).encode())

    async def _entry(self, key: str) -> KeyValue.Entry | None:
        try:
            return await self._kv.get(key)
        except KeyNotFoundError:
            return None


UNREACHABLE: tuple[type[Exception], ...] = (NatsError, OSError, TimeoutError)
"""The errors of a write after which it is unknown whether the state was stored."""
