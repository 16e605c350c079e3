"""Decides which message a replay sends for a recorded one, or that it sends none; pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from kaiser_common.contract.topics import SIMULATED_PREFIX
from kaiser_factory_dialect.filters import matches
from kaiser_factory_dialect.lanes import FactoryOutgoing, Gate, breach
from kaiser_factory_dialect.recordings import Recorded
from kaiser_factory_dialect.shift import shift_times
from kaiser_factory_dialect.topics import LONGEST_TOPIC, ends_connection, parse
from msgspec.structs import replace

MOST_BYTES = 1024 * 1024
"""Of a payload: ingest takes no larger packet, so none was recorded by Kaiser."""
_DEVICE = re.compile(r"(?:ESP|MOCK|SIM|TEST)_([A-Z0-9_]{1,27})\Z")
_DEVICE_LEVELS = 4


class ReplayedTopics:
    """The topics that a replay sends: those of its filters (None: all) without the excluded ones."""

    def __init__(self, filters: Iterable[str] | None, exclude: Iterable[str]) -> None:
        self._filters = None if filters is None else tuple(filters)
        self._exclude = tuple(exclude)

    def has(self, topic: str) -> bool:
        """Whether a topic is replayed."""
        wanted = self._filters is None or any(matches(one, topic) for one in self._filters)
        return wanted and not any(matches(one, topic) for one in self._exclude)


@dataclass(frozen=True, slots=True)
class ToSend:
    """A message as it is published, the module or device that it is of, and the simulated device to register."""

    message: Recorded
    serial: str | None
    device: str | None


def to_send(
    recorded: Recorded, gate: Gate, shift_ms: int, interfaces: tuple[str, ...]
) -> ToSend | Literal["left out", "failed"]:
    """The message for the lane of replays. left out: the guard at ingest's exit would refuse it, as a command of a
    replay that is not armed. failed: it is too large, or its topic too long, or none that the sandbox broker takes."""
    if len(recorded.payload) > MOST_BYTES or len(recorded.topic) > LONGEST_TOPIC or ends_connection(recorded.topic):
        return "failed"
    message, device = _simulated(recorded)
    topic = parse(message.topic, interfaces)
    listens = topic is not None and topic.row.direction in {"in", "both"}
    kept = recorded.retained or (topic is not None and topic.row.kept)
    message = replace(
        message, payload=_shifted(message.payload, shift_ms), retained=kept and not listens and device is None
    )
    outgoing = FactoryOutgoing("replay", message.topic, gate.env, gate.epoch, 0, message.retained)
    if breach(outgoing, gate, 0, interfaces) is not None:
        return "left out"
    return ToSend(message, device or (topic.serial if topic is not None else None), device)


def _simulated(recorded: Recorded) -> tuple[Recorded, str | None]:
    """A message of a device as one of the simulated device: SIM_x for ESP_x, in the topic and the payload."""
    levels = recorded.topic.split("/")
    found = _DEVICE.match(levels[3]) if len(levels) > _DEVICE_LEVELS and levels[:3:2] == ["kaiser", "esp"] else None
    if found is None:
        return recorded, None
    device = f"{SIMULATED_PREFIX}{found[1]}"[:31]
    payload = recorded.payload.replace(f'"{levels[3]}"'.encode(), f'"{device}"'.encode())
    levels[3] = device
    return replace(recorded, topic="/".join(levels), payload=payload), device


def _shifted(payload: bytes, shift_ms: int) -> bytes:
    """The payload with its times moved; one that is no text stays."""
    if not shift_ms:
        return payload
    try:
        return shift_times(payload.decode(), shift_ms).encode()
    except UnicodeError:
        return payload
