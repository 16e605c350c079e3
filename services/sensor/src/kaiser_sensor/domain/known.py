"""Whether the newest value of a sensor is known now, pure."""

import itertools
from collections.abc import Sequence
from statistics import median_low
from typing import NamedTuple

from kaiser_common.contract.schemas.api.sensors import SensorsShown
from kaiser_common.contract.schemas.sensor import MISSED, SensorState

MOST_GAPS = 50
"""The interval of a sensor is the median of this many gaps between its newest readings."""
LEAST_GAPS = 3
SHORTEST_S = 5.0
"""A sensor that sends more often is watched as if it sent every 5 s, so that a pause of the network is no silence."""
LONGEST_S = 86_400.0
UNLEARNED_S = 300.0
"""The interval of a sensor that is not configured and has sent fewer than four readings."""
HEARD_WITHIN_MS = 90_000
"""How far the registry's time of a device's last message may lie behind its newest reading: heartbeats come every
60 s. A reading that came later than that says that the device is back."""
_BAD = frozenset({"bad", "error"})


class Knowledge(NamedTuple):
    """state; known_until: ms since 1970 until which the value was known, None while it is known."""

    state: SensorState
    known_until: int | None


KNOWN = Knowledge("known", None)


def is_shown(wanted: SensorsShown, state: SensorState, quality: str) -> bool:
    """Whether a sensor is among those in a state; `bad` are those whose value is known now and is not to be used."""
    return state == "known" and quality in _BAD if wanted == "bad" else state == wanted


def usual_interval_s(times_s: Sequence[float]) -> float | None:
    """The median gap of a sensor's newest readings (s since 1970, in any order), bounded; None for too few."""
    ordered = sorted(times_s)[-MOST_GAPS - 1 :]
    gaps = [later - earlier for earlier, later in itertools.pairwise(ordered)]
    if len(gaps) < LEAST_GAPS:
        return None
    return min(LONGEST_S, max(SHORTEST_S, median_low(gaps)))


def judge(received_ms: int, interval_s: float, now_ms: int, offline_since_ms: int | None) -> Knowledge:
    """The knowledge of a sensor whose newest reading was received at `received_ms`. offline_since_ms: the registry's
    time of the device's last message, None while the device is online or before its first message. The value of an
    offline device is known until the device's last message, this reading included.
    """
    silent_at = received_ms + round(MISSED * interval_s * 1000)
    found = without_reading(received_ms, silent_at, offline_since_ms)
    return found if found.state == "offline" or silent_at < now_ms else KNOWN


def without_reading(received_ms: int, silent_at: int, offline_since_ms: int | None) -> Knowledge:
    """The knowledge of a sensor that sent nothing from `received_ms` to `silent_at` (ms), three of its intervals."""
    if offline_since_ms is not None and received_ms <= offline_since_ms + HEARD_WITHIN_MS:
        return Knowledge("offline", min(silent_at, max(received_ms, offline_since_ms)))
    return Knowledge("silent", silent_at)
