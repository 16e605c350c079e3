"""The only place that decides how presses, clears and device answers change the stops in force; pure.

The board is this replica's copy of the KV bucket: for each target the newest press (a request to stop) and its
revision, which a change must name. Every press is a new value with its own id. A clear changes or deletes exactly the
revision that it saw, so it fails if there was a press in between.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from kaiser_common.contract.bounds import MAX_GPIO, WHOLE_DEVICE_GPIO
from kaiser_common.contract.schemas.actuator import ActuatorAlert
from kaiser_common.contract.schemas.api.actuators import Clearing, Emergency

from kaiser_actuator.domain.emergencies import EVERYTHING, covering, key_of

REFUSES_MS = 5_000
"""So long after a stop the firmware refuses a clear (alert verification_failed)."""
CONFIRMS_MS = 15_000
"""The time that a device has to confirm a clear that was sent to it."""
UNREAD_MS = 60_000
"""So much longer a clear is waited for while messages of devices wait to be processed: the confirmation may be one."""
ECHO_MS = REFUSES_MS
"""The answer to a stop that has ended since comes within this time: a later alert counts as the device's own."""
OBEYED = "emergency_stop"
"""The type of the alert with which the firmware says that it has stopped, for whatever reason."""
REPEAT_MS = 5_000
"""A clear is sent again at this interval, ms, until it is confirmed: firmware A subscribes at QoS 0. It is not longer
than REFUSES_MS, so that the attempt of a clear begins after the stop that it clears."""


@dataclass(frozen=True, slots=True)
class Held:
    """A value of the bucket. number: of this revision, in the one sequence of all presses and clears."""

    stop: Emergency
    revision: int
    number: int

    @property
    def clearing(self) -> Clearing | None:
        """The clear that is under way."""
        return self.stop.clearing


Board = Mapping[str, Held]


@dataclass(frozen=True, slots=True)
class Put:
    """Write a value. expect: the revision that it replaces, 0 for a key that must not be there, None for any."""

    key: str
    stop: Emergency
    expect: int | None


@dataclass(frozen=True, slots=True)
class Delete:
    """End the stop of a key, if the key still has this revision."""

    key: str
    expect: int


@dataclass(frozen=True, slots=True)
class SendClear:
    """Send a clear to a device; `attempt` distinguishes repetitions: the number of `REPEAT_MS` since 1970, which no
    restart resets, because NATS drops an id that it has seen."""

    held: Held
    attempt: int


class Conflict(Exception):
    """A clear that names other presses than the one in force."""

    def __init__(self, since: Emergency) -> None:
        super().__init__(f"{since.raised_by} stopped since: {since.emergency_id}")
        self.since = since


class Covered(Exception):
    """A clear of something that only a wider stop holds."""

    def __init__(self, wider: Emergency) -> None:
        super().__init__(f"the stop in force is {key_of(wider.esp_id, wider.gpio)}")
        self.wider = wider


class NotInForce(Exception):
    """A clear of something that is not stopped."""


@dataclass(frozen=True, slots=True)
class Due:
    """The work that is due now: changes of the bucket, clears to send."""

    changes: tuple[Put | Delete, ...] = ()
    clears: tuple[SendClear, ...] = ()


def press(stop: Emergency) -> Put:
    """A stop replaces whatever the bucket has for its target: it never fails because of another change."""
    return Put(key_of(stop.esp_id, stop.gpio), stop, None)


def begin_clear(
    board: Board,
    key: str,
    seen: Collection[str] | None,
    clearing: Clearing,
    *,
    can_confirm: bool = True,
    asked_ms: int | None = None,
) -> tuple[Held, Put | Delete]:
    """Begin to clear the stop of a key. `seen`: the ids that the person saw, None for the one in force when the person
    asked, at `asked_ms`: stops overtake other requests, so one may have been raised since. asked_ms None: the one in
    force now. can_confirm: False for a device whose answers ingest rejects.

    The lock of one actuator ends immediately, and so does the stop of a device under a stop of everything, or of one
    that cannot confirm; otherwise devices must confirm. Conflict, Covered or NotInForce give the reason of a refusal.
    """
    held = board.get(key)
    if held is None:
        esp_id, _, gpio = key.partition(".")
        wider = (
            covering(stops_of(board), esp_id, int(gpio) if gpio else WHOLE_DEVICE_GPIO) if key != EVERYTHING else None
        )
        if wider is not None:
            raise Covered(wider)
        raise NotInForce
    is_newer = asked_ms is not None and held.stop.raised_at > asked_ms
    if held.revision == 0 or (is_newer if seen is None else held.stop.emergency_id not in seen):  # 0: being raised
        raise Conflict(held.stop)
    ends_at_once = held.stop.gpio is not None or (
        key != EVERYTHING and (_everything_is_stopped(board) or not can_confirm)
    )
    if ends_at_once:
        return held, Delete(key, held.revision)
    return held, Put(key, held.stop.model_copy(update={"clearing": clearing, "not_cleared": None}), held.revision)


def begin_clear_of_unconfirmed(
    board: Board,
    seen: Collection[str] | None,
    clearing: Clearing,
    can_confirm: Callable[[str], bool],
    *,
    asked_ms: int | None = None,
) -> list[tuple[Held, Put | Delete]]:
    """Begin to clear the stop of each device that did not confirm its last clear. seen: the ids that the person saw, no
    other stop is cleared; None for all of them. asked_ms as `begin_clear`. can_confirm: of a device.

    Covered: everything is stopped. Conflict: none of these stops is among those that the person saw.
    """
    everything = board.get(EVERYTHING)
    if everything is not None:
        raise Covered(everything.stop)
    unconfirmed = {key: held.stop for key, held in board.items() if is_unconfirmed(held.stop)}
    if not unconfirmed:
        raise NotInForce
    chosen = sorted(key for key, stop in unconfirmed.items() if seen is None or stop.emergency_id in seen)
    if not chosen:
        raise Conflict(next(iter(unconfirmed.values())))
    return [begin_clear(board, key, seen, clearing, can_confirm=can_confirm(key), asked_ms=asked_ms) for key in chosen]


def is_unconfirmed(stop: Emergency) -> bool:
    """Whether a device did not confirm the last clear of this stop, and no other clear is under way."""
    return stop.not_cleared is not None and stop.clearing is None


def what_is_due(board: Board, tracked: Collection[str], told: Mapping[str, int], now_ms: int, heard_ms: int) -> Due:
    """The work that the running clears need now.

    tracked: the devices that must confirm a clear of everything, those with actuators. told: when this replica last
    sent a stop to a device, ms. heard_ms: up to when the messages of devices are processed. A clear of everything
    becomes a stop of each device with a clear of its own; once all of them are in the bucket, the stop of everything
    ends.
    """
    everything = board.get(EVERYTHING)
    changes: list[Put | Delete] = []
    clears: list[SendClear] = []
    if everything is not None and everything.clearing is not None and now_ms >= ready_at(everything.stop, told):
        changes += _to_devices(board, everything, tracked)
    for key, held in board.items():
        if held.clearing is None or key == EVERYTHING:
            continue
        if everything is not None:
            if everything.clearing is None:
                changes.append(Delete(key, held.revision))  # the newer stop of everything holds the device
            continue
        ready = ready_at(held.stop, told)
        if is_overdue(held, told, now_ms) and (
            is_overdue(held, told, heard_ms) or is_overdue(held, told, now_ms - UNREAD_MS)
        ):
            changes.append(Put(key, _kept(held.stop), held.revision))
        elif now_ms >= ready:
            clears.append(SendClear(held, now_ms // REPEAT_MS))
    return Due(tuple(changes), tuple(clears))


def is_overdue(held: Held, told: Mapping[str, int], at_ms: int) -> bool:
    """Whether the time for a device to confirm its clear is over."""
    clearing = held.clearing
    return clearing is not None and at_ms >= max(ready_at(held.stop, told), clearing.asked_at) + CONFIRMS_MS


def confirmed(board: Board, esp_id: str, told: Mapping[str, int], said_at: int) -> Delete | None:
    """The stop that a device's confirmation of a clear ends: its own, if the confirmation (ms) came when the clear may
    have been sent."""
    held = board.get(esp_id)
    if held is None or held.clearing is None or EVERYTHING in board or said_at < ready_at(held.stop, told):
        return None
    return Delete(esp_id, held.revision)


def holds(board: Board, esp_id: str) -> list[Held]:
    """The stops to send to a device again if it may have missed them, the widest first. A stop of the whole device
    covers all, so of two such stops the one with the greater number is sent.
    """
    whole = [board[key] for key in (EVERYTHING, esp_id) if key in board]
    pins = (key_of(esp_id, gpio) for gpio in range(MAX_GPIO + 1))
    return [*([max(whole, key=number_of)] if whole else []), *(board[key] for key in pins if key in board)]


def number_of(held: Held) -> int:
    """The number of a press: that of its first revision, also while a clear of it is under way."""
    return held.stop.number if held.stop.number is not None else held.number


def ready_at(stop: Emergency, told: Mapping[str, int]) -> int:
    """From when a device takes a clear of its stop, ms."""
    return max(stop.raised_at, told.get(stop.esp_id or "", 0)) + REFUSES_MS


def adds_nothing(locking: Emergency | None, answers: int | None, alert: ActuatorAlert) -> bool:
    """Whether an alert of a device only repeats a stop of its actuator, or one that has just ended. It does not if all
    its stops are being cleared and the alert answers none that was sent: the clear knows nothing of the alert.

    locking: the stop of its actuator, one that is not being cleared where there is one. answers: when the stop was sent
    that the alert answers (`Echoes`), ms; None if no stop explains it.
    """
    if locking is not None and locking.clearing is None:
        return True
    return answers is not None and (locking is not None or alert.received_at < answers + ECHO_MS)


def stops_of(board: Board) -> dict[str, Emergency]:
    """The stops in force, by key; one that is being cleared is in force."""
    return {key: held.stop for key, held in board.items()}


def stamped(stop: Emergency, revision: int, base: int) -> Held:
    """A value as it was read. base: makes numbers grow after the bucket was created again."""
    number = base + revision
    known = stop if stop.number is not None else stop.model_copy(update={"number": number})
    return Held(known, revision, number)


def _to_devices(board: Board, everything: Held, tracked: Iterable[str]) -> list[Put | Delete]:
    missing = [esp_id for esp_id in sorted(tracked) if esp_id not in board]
    if not missing:
        return [Delete(EVERYTHING, everything.revision)]
    return [Put(esp_id, _own_of(everything.stop, esp_id), 0) for esp_id in missing]


def is_part(stop: Emergency) -> bool:
    """Whether a stop is what a clear of everything made of the stop of everything for a device: nobody raised it."""
    return stop.esp_id is not None and stop.emergency_id.endswith(f"-{stop.esp_id}")


def _own_of(stop: Emergency, esp_id: str) -> Emergency:
    return stop.model_copy(update={"esp_id": esp_id, "emergency_id": f"{stop.emergency_id}-{esp_id}"})


def _kept(stop: Emergency) -> Emergency:
    """A stop whose clear was not confirmed: in force again, with a new number, so that it is sent behind the clear."""
    text = f"{stop.esp_id} did not confirm the clear within {CONFIRMS_MS // 1000} s"
    return stop.model_copy(update={"clearing": None, "not_cleared": text, "number": None})


def _everything_is_stopped(board: Board) -> bool:
    everything = board.get(EVERYTHING)
    return everything is not None and everything.clearing is None
