"""Stops that reached a device after they had ended; pure.

A replica sends a stop again while another one ends it: the device hears the clear first and the stop last. It then
stands still though nothing holds it, and no clear would come, for nothing is left to clear. So each replica looks after
sending whether the stop had ended meanwhile, and sends that device a clear. Killed in between: the device stays
stopped, which is the safe side, until the next stop of it is cleared.
"""

from dataclasses import dataclass

from kaiser_common.schemas.api.actuators import Emergency

from kaiser_actuator.emergencies import EVERYTHING
from kaiser_actuator.emergency_core import CONFIRMS_MS, REFUSES_MS, REPEAT_MS, Board

_SKEW_MS = 5_000
"""So far the clocks of two replicas may be apart; a device that was told a little earlier gets a clear in vain."""


@dataclass(slots=True)
class LateStop:
    """A device that may stand still for nothing, the stop that it heard and when it was sent, ms."""

    esp_id: str
    stop: Emergency
    sent_at: int
    attempt: int = 0


class LateStops:
    """What this replica sent, and which of it came late; one entry a device."""

    def __init__(self) -> None:
        self._sent: dict[str, tuple[int, Emergency]] = {}
        self._asked: dict[str, int] = {}
        self._late: dict[str, LateStop] = {}

    def sent(self, board: Board, stop: Emergency, esp_ids: list[str], now_ms: int) -> None:
        """A stop is on the OUTBOX for these devices; `board` is what is in force now."""
        for esp_id in esp_ids:
            self._sent[esp_id] = (now_ms, stop)
            if not _is_held(board, esp_id):
                self._late[esp_id] = LateStop(esp_id, stop, now_ms)

    def clear_asked(self, key: str, at: int) -> None:
        """Somebody asked to clear the stop of a key, ms."""
        self._asked[key] = at

    def ended(self, key: str, now_ms: int) -> None:
        """Another replica ended the stop of a key. What was sent since the clear was asked may have come behind it."""
        asked = self._asked.pop(key, now_ms - CONFIRMS_MS)
        for esp_id in [*self._sent] if key == EVERYTHING else [key]:
            at, stop = self._sent.get(esp_id, (0, None))
            if stop is not None and at >= asked - _SKEW_MS:
                self._late[esp_id] = LateStop(esp_id, stop, at)

    def due(self, board: Board, now_ms: int) -> list[LateStop]:
        """Whom to send a clear now: from 5 s after the stop on, when the firmware takes it, three times, for QoS 0 may
        lose it. A device that something holds is let go: that stop has a clear of its own."""
        due = []
        for late in [*self._late.values()]:
            if _is_held(board, late.esp_id) or now_ms >= late.sent_at + REFUSES_MS + CONFIRMS_MS:
                del self._late[late.esp_id]
            elif now_ms >= late.sent_at + REFUSES_MS and late.attempt != now_ms // REPEAT_MS:
                late.attempt = now_ms // REPEAT_MS
                due.append(late)
        return due


def _is_held(board: Board, esp_id: str) -> bool:
    return EVERYTHING in board or esp_id in board
