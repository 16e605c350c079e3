"""Answers what came from a device, and what went to it, since somebody began to look."""

from kaiser_common.bus.rpc import Caller
from kaiser_common.contract.schemas.api.inspection import PassedMessages, PassedMessagesQuery
from kaiser_common.runtime.clock import now_ms

from kaiser_ingest.domain.taps import MOST_KEPT, Taps


class InspectionApi:
    """Reads what the holder of the lease keeps; after a change of the holder it begins again, empty."""

    def __init__(self, taps: Taps) -> None:
        self._taps = taps

    async def device_messages(self, query: PassedMessagesQuery, _: Caller) -> PassedMessages:
        """The messages after `after`; from the first request on they are kept."""
        since, messages = self._taps.look(query.esp_id, now_ms())
        items = [message for message in messages if message.seq > query.after]
        gone = len(messages) == MOST_KEPT and messages[0].seq > query.after
        return PassedMessages(since=since, items=items, left_out=gone)
