"""Devices that stand still for nothing, and get a clear without a stop that it would end; pure.

A replica sends a stop again while another one ends it: the device hears the clear first and the stop last. It then
stands still though nothing holds it, and no clear would come, for nothing is left to clear. So each replica looks after
sending whether the stop had ended meanwhile, and sends that device a clear. Killed in between: the device stays
stopped, which is the safe side, until the next stop of it is cleared.

A device that stopped by itself is the same case once a person has cleared the locks of its actuators: the firmware
takes no clear within 5 s of its stop, and one may be lost.
"""

from dataclasses import dataclass

from kaiser_common.contract.schemas.api.actuators import Emergency

from kaiser_actuator.domain.emergencies import BY_DEVICE, EVERYTHING
from kaiser_actuator.domain.emergency_core import CONFIRMS_MS, REFUSES_MS, REPEAT_MS, Board

_SKEW_MS = 5_000
"""So far the clocks of two replicas may be apart; a device that was told a little earlier gets a clear in vain."""


@dataclass(slots=True)
class LateStop:
    """A device that may stand still for nothing, the stop that it heard or made, and when that was, ms.

    freed_at: when a person freed it, ms; None for a stop that came late.
    """

    esp_id: str
    stop: Emergency
    sent_at: int
    attempt: int = 0
    freed_at: int | None = None


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

    def freed(self, stop: Emergency, now_ms: int) -> None:
        """A person freed a device that had stopped by itself."""
        esp_id, sent_at = stop.esp_id or "", max(stop.raised_at, now_ms - REFUSES_MS)
        self._late[esp_id] = LateStop(esp_id, stop, sent_at, freed_at=now_ms)

    def confirmed(self, esp_id: str) -> None:
        """A device says that it is clear: after a clear was sent, that needs no repetition."""
        late = self._late.get(esp_id)
        if late is not None and late.attempt:
            del self._late[esp_id]

    def due(self, board: Board, now_ms: int) -> list[LateStop]:
        """Whom to send a clear now: from 5 s after the stop on, when the firmware takes it, three times, for QoS 0 may
        lose it. A device that something holds is let go: that stop has a clear of its own. So is one that stopped by
        itself again after it was freed."""
        due = []
        for late in [*self._late.values()]:
            if (
                _is_held(board, late.esp_id)
                or _stopped_again(board, late)
                or now_ms >= late.sent_at + REFUSES_MS + CONFIRMS_MS
            ):
                del self._late[late.esp_id]
            elif now_ms >= late.sent_at + REFUSES_MS and late.attempt != now_ms // REPEAT_MS:
                late.attempt = now_ms // REPEAT_MS
                due.append(late)
        return due


def _is_held(board: Board, esp_id: str) -> bool:
    return EVERYTHING in board or esp_id in board


def _stopped_again(board: Board, late: LateStop) -> bool:
    return late.freed_at is not None and any(
        held.stop.esp_id == late.esp_id
        and held.stop.raised_by.startswith(BY_DEVICE)
        and held.stop.raised_at >= late.freed_at
        for held in board.values()
    )
