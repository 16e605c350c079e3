"""Writes the state of rules: immediately if a firing depends on it, soon otherwise."""

import asyncio
from collections import defaultdict

import structlog
from kaiser_common.runtime.loops import each_of

from kaiser_logic.domain.engine import Engine
from kaiser_logic.domain.state import to_json
from kaiser_logic.store.states import UNREACHABLE, Fenced, StateStore

log = structlog.get_logger()

_EVERY_S = 0.2
_CHECKPOINT_EVERY_S = 1.0
_AT_ONCE = 16
_RETRY_S = 0.5
_UNSAVED: tuple[type[Exception], ...] = (*UNREACHABLE, Fenced)


class StateWriter:
    """At most 16 writes wait for NATS. Killed: unwritten changes are evaluated again from the checkpoint."""

    def __init__(self, engine: Engine, store: StateStore) -> None:
        self._engine = engine
        self._store = store
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._written: dict[str, bytes] = {}
        self.seen_seq = 0
        """Up to which event of EVENTS the engine has evaluated."""

    async def save(self, rule_id: str) -> None:
        """Write a rule's state as it is now. Fenced; nats errors: not known whether it was stored."""
        async with self._locks[rule_id]:
            state = self._engine.states.get(rule_id)
            self._engine.changed.discard(rule_id)
            if state is None:
                return
            body = to_json(state)
            if self._written.get(rule_id) == body:
                return
            try:
                await self._store.save(rule_id, body)
            except UNREACHABLE:
                self._engine.changed.add(rule_id)
                raise
            self._written[rule_id] = body

    async def claim(self, rule_id: str) -> None:
        """Write a state that says that the rule fires, however long NATS is away. Fenced: another process fired it."""
        while True:
            try:
                await self.save(rule_id)
            except UNREACHABLE as error:
                log.warning("firing_postponed", rule_id=rule_id, error=str(error) or type(error).__name__)
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def try_to_save(self, rule_id: str) -> None:
        """Write a state now if that can be; else it is written with the next ones."""
        try:
            await self.save(rule_id)
        except UNREACHABLE as error:
            log.warning("rule_state_not_saved", rule_id=rule_id, error=str(error) or type(error).__name__)

    async def forget(self, rule_id: str) -> None:
        """Delete the state of a rule that is gone; NATS away: the next start does."""
        self._written.pop(rule_id, None)
        self._locks.pop(rule_id, None)
        try:
            await self._store.delete(rule_id)
        except UNREACHABLE as error:
            log.warning("rule_state_not_deleted", rule_id=rule_id, error=str(error) or type(error).__name__)

    async def run(self) -> None:
        """Write what changed, then how far that goes, until cancelled."""
        loop = asyncio.get_running_loop()
        told, told_at = self.seen_seq, loop.time()
        while True:
            await asyncio.sleep(_EVERY_S)
            seq = self.seen_seq
            try:
                await self.save_changed()
                if seq != told and loop.time() - told_at >= _CHECKPOINT_EVERY_S:
                    await self._store.save_checkpoint(seq)
                    told, told_at = seq, loop.time()
            except UNREACHABLE as error:
                log.warning("rule_states_not_saved", error=str(error) or type(error).__name__)
                await asyncio.sleep(_RETRY_S)

    async def save_changed(self) -> None:
        """Write every state that changed."""
        await each_of(sorted(self._engine.changed), self.save, at_once=_AT_ONCE)

    async def finish(self) -> None:
        """Write the remaining states at a stop. NATS unavailable, or another process has written: the next start reads
        the events again."""
        try:
            async with asyncio.timeout(2.0):
                seq = self.seen_seq
                await self.save_changed()
                if seq:
                    await self._store.save_checkpoint(seq)
        except _UNSAVED as error:
            log.warning("rule_states_not_saved", error=str(error) or type(error).__name__)
