"""Asks ingest to replay the messages of a device that were rejected before it was approved."""

import time
from typing import NamedTuple

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.rejected import CauseReplay, ReplayedCause

log = structlog.get_logger()

_WITHIN_S = 45.0
"""Shorter than the gateway waits for the approval."""
_STEP_S = 20.0
"""ingest answers a step within about 10 s: the audit counts the cause first."""


class Replayed(NamedTuple):
    """How many messages ingest took; complete is False where some are still to be replayed."""

    messages: int
    complete: bool


async def replay(bus: Bus, esp_id: str, caller: Caller, *, within_s: float = _WITHIN_S) -> Replayed:
    """Replay what ingest rejected of a device that it did not know, step by step, oldest first.

    If ingest is away, `within_s` is over or the process is killed, the rest stays in REJECTED. A message that is
    replayed twice has the same ids, so it is stored once.
    """
    until = time.monotonic() + within_s
    step = CauseReplay(code=Code.ESP_DEVICE_NOT_FOUND, esp_id=esp_id)
    messages, is_known = 0, True
    while (left_s := until - time.monotonic()) > 0:
        try:
            done = await _take_step(bus, step, caller, min(left_s, _STEP_S))
        except RpcError as error:
            log.warning("replay_not_complete", esp_id=esp_id, replayed=messages, reason=str(error))
            return Replayed(messages, False)
        messages += done.published
        is_known = is_known and all(refusal.code != Code.ESP_DEVICE_NOT_FOUND for refusal in done.refusals)
        if done.next_cursor is None:
            log.info("rejected_replayed", esp_id=esp_id, replayed=messages, complete=is_known)
            return Replayed(messages, is_known)
        step = step.model_copy(update={"after": int(done.next_cursor), "through": done.through})
    log.warning("replay_not_complete", esp_id=esp_id, replayed=messages, reason=f"it takes more than {within_s:g} s")
    return Replayed(messages, False)


async def _take_step(bus: Bus, step: CauseReplay, caller: Caller, timeout_s: float) -> ReplayedCause:
    """A step of at most 1,000 messages. ingest reads the device from the bucket, and waits for it briefly."""
    return await call(bus, "ingest", "rejected_replay_cause", step, ReplayedCause, caller=caller, timeout_s=timeout_s)
