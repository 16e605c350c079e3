"""Asks ingest to replay the messages of a device that were rejected before it was approved."""

import asyncio
import time
from typing import NamedTuple

import structlog
from kaiser_common.bus.connection import Bus
from kaiser_common.bus.rpc import Caller, RpcError, call
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.api.rejected import RejectedPage, RejectedQuery, ReplayAnswer, ReplayRequest
from kaiser_common.contract.subjects import REJECTED

log = structlog.get_logger()

_WITHIN_S = 45.0
"""Shorter than the gateway waits for the approval."""
_PAGE = 1000
_AT_MOST = REJECTED.most_per_subject or 2000
"""REJECTED keeps this many messages of a device and code."""
_KNOWN_WITHIN = 20
_ASK_EVERY_S = 0.1
_BAD_STILL = (404, 422)


class Replayed(NamedTuple):
    """How many messages ingest took; complete is False where some are still to be replayed."""

    messages: int
    complete: bool


async def replay(bus: Bus, esp_id: str, caller: Caller, *, within_s: float = _WITHIN_S) -> Replayed:
    """Replay what ingest rejected of a device that it did not know, all pages of it, oldest first.

    At most 2,000 messages within `within_s`; ingest away or the time over: the rest stays in REJECTED. Killed in
    between: the same, and what was replayed twice has the same ids, so it is stored once.
    """
    until = time.monotonic() + within_s
    count, found = 0, []
    try:
        found = await _rejected(bus, esp_id, caller, until)
        for seq in reversed(found):
            if time.monotonic() > until:
                return _told(esp_id, len(found), Replayed(count, False))
            count += await _replay_one(bus, seq, caller)
    except RpcError as error:
        log.warning("replay_not_complete", esp_id=esp_id, reason=str(error))
        return _told(esp_id, len(found), Replayed(count, False))
    return _told(esp_id, len(found), Replayed(count, True))


async def _rejected(bus: Bus, esp_id: str, caller: Caller, until: float) -> list[int]:
    """The seq of each message, newest first. RpcError: ingest did not answer, or not in time."""
    found: list[int] = []
    before: int | None = None
    while len(found) < _AT_MOST:
        query = RejectedQuery(code=Code.ESP_DEVICE_NOT_FOUND, esp_id=esp_id, before=before, limit=_PAGE)
        page = await call(bus, "ingest", "rejected_list", query, RejectedPage, caller=caller, timeout_s=10.0)
        found += [item.seq for item in page.items]
        if page.next_cursor is None:
            break
        before = int(page.next_cursor)
        if time.monotonic() > until:
            raise RpcError(504, Code.OPERATION_TIMEOUT, "the rejected messages could not be listed in time")
    return found[:_AT_MOST]


async def _replay_one(bus: Bus, seq: int, caller: Caller) -> int:
    """How many messages ingest took of a rejected one: 0 where it is bad for another reason too.

    ingest learns of the device from the bucket, in a moment: until then it is asked again.
    """
    for _ in range(_KNOWN_WITHIN):
        try:
            answer = await call(bus, "ingest", "rejected_replay", ReplayRequest(seq=seq), ReplayAnswer, caller=caller)
        except RpcError as error:
            if error.problem.status not in _BAD_STILL:
                raise
            if error.problem.code != Code.ESP_DEVICE_NOT_FOUND:
                return 0
            await asyncio.sleep(_ASK_EVERY_S)
        else:
            return answer.published
    return 0


def _told(esp_id: str, found: int, replayed: Replayed) -> Replayed:
    log.info("rejected_replayed", esp_id=esp_id, found=found, replayed=replayed.messages, complete=replayed.complete)
    return replayed
