"""Limits the log lines about rejected messages: in ten seconds at most one per device and at most 50 per error code."""

from collections import OrderedDict

import structlog
from kaiser_common.contract.errors import Code

from kaiser_ingest.domain.validate import Rejection

log = structlog.get_logger()

EVERY_S = 10.0
MOST_OF_A_CODE = 50
"""Ids of devices can be made up without end, so the lines of one cause are bounded over all devices too."""
_MOST_DEVICES = 2000


class RejectionLog:
    """Remembers when each device was last logged; a table of bounded size, the longest unused device goes first."""

    def __init__(self) -> None:
        self._logged: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._of_code: dict[Code, tuple[float, int]] = {}

    def add(self, rejection: Rejection, topic: str, now_s: float) -> bool:
        """Log a rejection, unless its device or many of its cause were logged just now; True if a line was written."""
        device = rejection.esp_id or "unknown"
        last = self._logged.pop(device, None)
        if last is not None and now_s - last[0] < EVERY_S:
            self._logged[device] = (last[0], last[1] + 1)
            return False
        self._logged[device] = (now_s, 0)
        if len(self._logged) > _MOST_DEVICES:
            self._logged.popitem(last=False)
        if not self._room_for(rejection.code, now_s):
            return False
        log.warning(
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

    def _room_for(self, code: Code, now_s: float) -> bool:
        """Whether another line about this code may be written; the first that may not is a line that says so."""
        since, lines = self._of_code.get(code, (now_s, 0))
        if now_s - since >= EVERY_S:
            since, lines = now_s, 0
        self._of_code[code] = (since, lines + 1)
        if lines == MOST_OF_A_CODE:
            log.warning(
                "rejections_not_logged", code=int(code), reason=code.name, for_s=round(since + EVERY_S - now_s, 1)
            )
        return lines < MOST_OF_A_CODE
