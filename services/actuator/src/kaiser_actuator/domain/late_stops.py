"""Finds devices that are still stopped although no stop is in force, so that they get a clear; pure.

If one replica sends a stop again while another ends it, the device may receive the clear first and the stop last. It is
then stopped although no stop is in force, and nothing would send a clear, because there is nothing to clear. So after
sending a stop each replica checks whether it has ended, and if it has, a clear is due. Killed in between: the device
stays stopped, which is the safe side, until its next stop is cleared.

The same holds for a device that stopped on its own, once a person has unlocked its actuators: the firmware accepts no
clear within 5 s of its stop, and a clear may be lost. Killed in between: a start within a minute frees the device
once it is heard (`EmergencyLedger.free_again`).
"""

from dataclasses import dataclass

from kaiser_common.contract.schemas.api.actuators import Emergency

from kaiser_actuator.domain.emergencies import BY_DEVICE, EVERYTHING
from kaiser_actuator.domain.emergency_core import CONFIRMS_MS, REFUSES_MS, REPEAT_MS, UNREAD_MS, Board

_SKEW_MS = 5_000
"""The clocks of two replicas may differ by this much; a device stopped just before gets a needless clear."""
_CLEARS = 3
"""A device is sent at least so many clears unless it confirms one, because QoS 0 may lose it."""
_ENDS_MS = REFUSES_MS + CONFIRMS_MS
"""So long after the stop the clears end."""
_ENDS_UNTAKEN_MS = _ENDS_MS + UNREAD_MS
"""They go on until this time if NATS has taken too few. No longer: somebody may have pressed at the device meanwhile,
and its alert waits as well."""


@dataclass(slots=True)
class LateStop:
    """A device that may be stopped without a stop in force; the stop that it received or raised, with its time in ms.
    presses_from: from when a press at the device means that it is to stay stopped, ms. attempt: the last one that
    began, as in `SendClear`. taken: how many clears NATS has taken.
    """

    esp_id: str
    stop: Emergency
    sent_at: int
    presses_from: int
    attempt: int = 0
    taken: int = 0


class LateStops:
    """The stops that this replica sent, and those that were late; one entry per device."""

    def __init__(self) -> None:
        self._sent: dict[str, tuple[int, Emergency]] = {}
        self._asked: dict[str, int] = {}
        self._late: dict[str, LateStop] = {}

    def sent(self, board: Board, stop: Emergency, esp_ids: list[str], now_ms: int) -> None:
        """A stop is on the OUTBOX for these devices; `board` is what is in force now."""
        for esp_id in esp_ids:
            self._sent[esp_id] = (now_ms, stop)
            if not _is_held(board, esp_id):
                self._late[esp_id] = LateStop(esp_id, stop, now_ms, now_ms)

    def clear_asked(self, key: str, at: int) -> None:
        """Somebody asked to clear the stop of a key, ms."""
        self._asked[key] = at

    def ended(self, key: str, now_ms: int) -> None:
        """Another replica ended the stop of a key. Stops that were sent since the clear was requested may have arrived
        after it."""
        asked = self._asked.pop(key, now_ms - CONFIRMS_MS)
        for esp_id in [*self._sent] if key == EVERYTHING else [key]:
            at, stop = self._sent.get(esp_id, (0, None))
            if stop is not None and at >= asked - _SKEW_MS:
                self._late[esp_id] = LateStop(esp_id, stop, at, at)

    def freed(self, esp_id: str, stop: Emergency, now_ms: int) -> None:
        """A person freed a device that confirms no clear of this stop. It may have been sent a stop in between."""
        told_at, _ = self._sent.get(esp_id, (0, stop))
        sent_at = max(stop.raised_at, told_at, now_ms - REFUSES_MS)
        self._late[esp_id] = LateStop(esp_id, stop, sent_at, now_ms)

    def refused(self, board: Board, esp_id: str, at: int) -> None:
        """A device refused a clear at this time (ms), because the clear came too soon. If no stop is in force and one
        was sent to it within the last 20 s, that one arrived after the clear. An older stop does not explain it:
        somebody pressed at the device, and a person frees it."""
        told_at, stop = self._sent.get(esp_id, (0, None))
        is_recent = at < told_at + REFUSES_MS + CONFIRMS_MS
        if stop is not None and is_recent and not _is_held(board, esp_id):
            self._late[esp_id] = LateStop(esp_id, stop, at, presses_from=0)

    def confirmed(self, esp_id: str, said_at: int) -> None:
        """A device reported at this time (ms) that it is clear. A clear that it could accept by then is not
        repeated."""
        late = self._late.get(esp_id)
        if late is not None and late.attempt and said_at >= late.sent_at + REFUSES_MS:
            del self._late[esp_id]

    def due(self, board: Board, now_ms: int) -> list[LateStop]:
        """The devices to send a clear now: from 5 s after the stop, when the firmware accepts it, for 15 s, and until
        NATS has taken three of them. A device with a stop in force is removed: that stop has its own clear. So is a
        device that stopped on its own since, after it was freed or sent the stop."""
        due = []
        pressed = _pressed(board) if self._late else {}
        for late in [*self._late.values()]:
            if (
                _is_held(board, late.esp_id)
                or pressed.get(late.esp_id, -1) >= late.presses_from
                or now_ms >= late.sent_at + (_ENDS_MS if late.taken >= _CLEARS else _ENDS_UNTAKEN_MS)
            ):
                del self._late[late.esp_id]
            elif now_ms >= late.sent_at + REFUSES_MS and late.attempt != now_ms // REPEAT_MS:
                late.attempt = now_ms // REPEAT_MS
                due.append(late)
        return due

    def taken(self, due: list[LateStop]) -> None:
        """NATS has taken the clears that were due; one that it refused is due again with the next attempt."""
        for late in due:
            late.taken += 1


def _is_held(board: Board, esp_id: str) -> bool:
    return EVERYTHING in board or esp_id in board


def _pressed(board: Board) -> dict[str, int]:
    """When each device that stopped on its own last did so, ms."""
    found: dict[str, int] = {}
    for held in board.values():
        stop = held.stop
        if stop.esp_id is not None and stop.raised_by.startswith(BY_DEVICE):
            found[stop.esp_id] = max(stop.raised_at, found.get(stop.esp_id, 0))
    return found
