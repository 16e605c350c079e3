"""Rejects messages, or single lines of packs, that can never be processed: stores them in REJECTED, and counts them."""

import base64
import re
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import repeat

from pydantic_core import from_json

from kaiser_common.bus.connection import Bus, Outgoing
from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.errors import Code
from kaiser_common.contract.schemas.event import RejectedMessage
from kaiser_common.contract.subjects import NO_DEVICE, rejected_subject
from kaiser_common.contract.topics import is_esp_id

_WINDOW = 1000
_DEVICES_KNOWN = 1000
_WITH_DEVICE = re.compile(rb'\{(?:"kaiser_id":"[A-Za-z0-9_]+",)?"esp_id":"([A-Z0-9_]+)"')
"""How a line of a pack begins."""
_MOST_KEPT_BYTES = 64 * 1024
"""So much of a payload is kept: longer is only what no service of ours has published."""


async def reject(bus: Bus, refused: Sequence[tuple[Delivery, str]], code: Code) -> None:
    """Store each message with the reason. BusUnavailable: not stored, the caller acknowledges nothing."""
    now_ms = time.time_ns() // 1_000_000
    await bus.publish_batch(
        [
            Outgoing(
                rejected_subject(code, device_of(delivery)),
                RejectedMessage(
                    topic=delivery.subject,
                    payload_base64=base64.b64encode(delivery.body[:_MOST_KEPT_BYTES]).decode(),
                    code=code,
                    message=reason,
                    esp_id=device_of(delivery),
                    received_at=now_ms,
                )
                .model_dump_json()
                .encode(),
                f"{code}-{delivery.origin}",
            )
            for delivery, reason in refused
        ]
    )


class RejectedShare:
    """Whether so much of a consumer's last 1,000 messages was rejected that the version, not the messages, is at fault.

    That is so when more than `least`, and more than the share, were rejected, and more than that share of the devices
    known to the consumer (the last 1,000) is among them. So the messages of a single bad device, or of one in twenty
    with a bad firmware, are rejected for as long as they come, and the limit stays free for the others. If a consumer
    knows one device only, the limit is 1,000 rejections in a row. What names no device counts as one device a message,
    so the lines of one pack alone never reach the limit.

    Lines are given as the name of their message and their device (`source_of`). A message of which a line was rejected
    is rejected to its end: so each start of the process, which counts from zero, is done with one message at least.
    """

    def __init__(self, share: float, least: int) -> None:
        self._share = share
        self._least = least
        self._last: deque[str | None] = deque(maxlen=_WINDOW)  # the device of each rejected one, None for the others
        self._rejected: Counter[str] = Counter()
        self._nameless = 0  # of the devices in _rejected
        self._known: dict[str, None] = {}
        self._begun = ""

    def note_processed(self, count: int, some_devices: Iterable[str] = ()) -> None:
        """Count messages as processed. A sample of their devices is enough."""
        for device in some_devices:
            self._know(device)
        if not self._rejected:  # nearly always: then no reading costs a step of its own
            self._last.extend(repeat(None, min(count, _WINDOW)))
            return
        for _ in range(min(count, _WINDOW)):
            self._append(None)

    def note_rejected(self, sources: Iterable[tuple[str, str]]) -> None:
        """Count messages or lines as rejected, each by its message and device."""
        for message, device in sources:
            source = device if device != NO_DEVICE else NO_DEVICE + message
            self._know(source)
            self._append(source)
            self._begun = message

    def room(self, sources: Sequence[tuple[str, str]]) -> int:
        """How many of these rejections there may be, in this order, until the limit is reached."""
        if not sources:
            return 0
        trial = RejectedShare(self._share, self._least)
        trial._last, trial._rejected, trial._known = self._last.copy(), self._rejected.copy(), self._known.copy()
        trial._nameless, trial._begun = self._nameless, self._begun
        for number, (message, device) in enumerate(sources):
            if message != trial._begun and trial.reached:
                return number
            trial.note_rejected([(message, device)])
        return len(sources)

    @property
    def reached(self) -> bool:
        """True once no further message is to be rejected."""
        count = self._rejected.total()
        if count <= max(self._least, self._share * len(self._last)):
            return False
        failing, known = len(self._rejected), len(self._known) + self._nameless
        if failing == 1:
            return known == 1 and count == _WINDOW and not self._nameless
        return failing > self._share * known

    def _append(self, device: str | None) -> None:
        if len(self._last) == _WINDOW and (oldest := self._last[0]) is not None:
            self._rejected[oldest] -= 1
            if not self._rejected[oldest]:
                del self._rejected[oldest]
                self._nameless -= oldest.startswith(NO_DEVICE)
        self._last.append(device)
        if device is not None:
            self._nameless += device not in self._rejected and device.startswith(NO_DEVICE)
            self._rejected[device] += 1

    def _know(self, device: str) -> None:
        if device.startswith(NO_DEVICE):
            return
        self._known.pop(device, None)
        self._known[device] = None
        if len(self._known) > _DEVICES_KNOWN:
            del self._known[next(iter(self._known))]


def device_of(delivery: Delivery) -> str:
    """The device in `esp.<two tokens of kind>.<kaiser_id>.<esp_id>…`, `esp.downlink.<kaiser_id>.<esp_id>` or
    `mqtt.<out or urgent>.<kaiser_id>.<esp_id>…`, or that a line of a pack names; nobody where the subject is of another
    form, where the line cannot be read or there are several, and for a stop of everything."""
    named = _named_by(delivery.subject)
    if named is not None:
        return named
    return _named_in(delivery.body) if delivery.count == 1 else NO_DEVICE


@lru_cache(maxsize=4096)
def _named_by(subject: str) -> str | None:
    """The device that a subject names, or nobody; None where the lines of the pack say it."""
    tokens = subject.split(".")
    to_device = tokens[0] == "mqtt"
    place = 3 if to_device or tokens[:2] == ["esp", "downlink"] else 4
    named = tokens[place] if len(tokens) > place else NO_DEVICE
    if to_device and not is_esp_id(named):
        return NO_DEVICE
    return None if named.isdigit() else named


def likely_device_of(line: Delivery) -> str:
    """As `device_of`, of a line that was processed: one that begins with the device, as ours do, is not read again."""
    begins = _WITH_DEVICE.match(line.body)
    if begins is not None and is_esp_id(found := begins[1].decode()):
        return found
    return device_of(line)


def source_of(delivery: Delivery) -> tuple[str, str]:
    """The name of the message, and the device of it or of the line."""
    return delivery.message, device_of(delivery)


def _named_in(line: bytes) -> str:
    try:
        fields = from_json(line)
    except ValueError:
        return NO_DEVICE
    esp_id = fields.get("esp_id") if isinstance(fields, dict) else None
    return esp_id if isinstance(esp_id, str) and is_esp_id(esp_id) else NO_DEVICE
