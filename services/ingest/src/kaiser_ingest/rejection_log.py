"""Log lines about rejected messages, at most one in ten seconds for each device."""

from collections import OrderedDict

import structlog
from kaiser_common.errors import Code

from kaiser_ingest.validate import Rejection

log = structlog.get_logger()

EVERY_S = 10.0
_MOST_DEVICES = 2000


class RejectionLog:
    """Remembers when each device was last logged; a table of bounded size, the longest unused device goes first."""

    def __init__(self) -> None:
        self._logged: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, rejection: Rejection, topic: str, now_s: float) -> bool:
        """Log a rejection, unless its device was logged just now; True if a line was written."""
        device = rejection.esp_id or "unknown"
        last = self._logged.pop(device, None)
        if last is not None and now_s - last[0] < EVERY_S:
            self._logged[device] = (last[0], last[1] + 1)
            return False
        self._logged[device] = (now_s, 0)
        if len(self._logged) > _MOST_DEVICES:
            self._logged.popitem(last=False)
        level = log.error if rejection.code is Code.JSON_PARSE_ERROR else log.warning
        level(
            "message_rejected",
            code=int(rejection.code),
            reason=rejection.code.name,
            detail=rejection.detail,
            field=rejection.field,
            esp_id=device,
            topic=topic[:128],
            not_logged_before=last[1] if last is not None else 0,
        )
        return True
