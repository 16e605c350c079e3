"""Answers what came from a device, and what went to it, since somebody began to look."""

from collections.abc import Callable

from kaiser_common.bus.rpc import Caller
from kaiser_common.contract.schemas.api.inspection import PassedMessages, PassedMessagesQuery

from kaiser_ingest.domain.taps import MOST_KEPT, Taps


class InspectionApi:
    """Reads what the holder of the lease keeps; after a change of the holder it begins again, empty."""

    def __init__(self, taps: Taps, now_ms: Callable[[], int]) -> None:
        self._taps = taps
        self._now_ms = now_ms

    async def device_messages(self, query: PassedMessagesQuery, _: Caller) -> PassedMessages:
        """The messages after `after`; from the first request on they are kept."""
        since, messages = self._taps.look(query.esp_id, self._now_ms())
        items = [message for message in messages if message.seq > query.after]
        gone = len(messages) == MOST_KEPT and messages[0].seq > query.after
        return PassedMessages(since=since, items=items, left_out=gone)
