"""Keeps the newest messages of the devices that somebody is looking at, both ways.

All of it is memory: it is lost with the process, and nothing is kept of a device that nobody looks at.
"""

import base64
from collections import deque
from typing import Any, NamedTuple

from kaiser_common.contract.errors import Rejected
from kaiser_common.contract.schemas.api.inspection import PassedMessage, PassedVerdict
from kaiser_common.contract.schemas.api.rejected import Encoding
from kaiser_common.contract.topics import is_downlink, parse

from kaiser_ingest.domain.masking import without_secrets

MOST_KEPT = 200
"""Messages of a device."""
MOST_DEVICES = 16
"""At once; the one that was not looked at for longest makes room. With MOST_BYTES this bounds the payloads: 13 MB
as UTF-8, and up to 52 MB of memory where each has one character beyond U+FFFF, as Python then takes four bytes each."""
MOST_BYTES = 4096
"""Of a payload."""
KEPT_MS = 600_000
"""After the last look; what is older goes with the next look, or the next message of a device that is kept."""

_BROADCAST = "kaiser/broadcast/"


class Fate(NamedTuple):
    """The verdict on a message and its reason, as PassedMessage has it."""

    word: PassedVerdict
    kind: str | None = None
    code: int | None = None
    field: str | None = None
    reason: str | None = None


class Taps:
    """Devices that are looked at. `armed` is False while there is none: then nothing else needs to be asked."""

    def __init__(self, first_seq: int = 0) -> None:
        """first_seq: larger than any that a process before has given."""
        self.armed = False
        self._seq = first_seq
        self._taps: dict[str, _Tap] = {}

    def look(self, esp_id: str, now_ms: int) -> tuple[int, list[PassedMessage]]:
        """Since when messages of a device are kept (ms), and those messages, oldest first; they go on being kept."""
        self._forget_old(now_ms)
        tap = self._taps.pop(esp_id, None) or _Tap(now_ms)
        tap.looked_at_ms = now_ms
        self._taps[esp_id] = tap  # the last one, which makes room for others last
        while len(self._taps) > MOST_DEVICES:
            del self._taps[next(iter(self._taps))]
        self.armed = True
        return tap.since_ms, list(tap.messages)

    def came(
        self, topic: str, payload: bytes, at_ms: int, verdict: Fate, *, qos: int = 0, retained: bool = False
    ) -> None:
        """A message came from a device. What Kaiser sent to a mock comes back from the broker: it is left out."""
        tap = self._taps.get(_device_of(topic))
        if tap is not None and not _goes_to_a_device(topic):
            self._keep([tap], at_ms, "came", topic, payload, verdict, qos, retained)

    def went(self, topic: str, payload: bytes, at_ms: int, verdict: Fate, *, qos: int = 0) -> None:
        """A message went to a device, or was withheld. A broadcast goes to all. What a mock says is sent to the broker
        too: it is left out here, and comes from there."""
        tap = self._taps.get(_device_of(topic))
        taps = [*self._taps.values()] if topic.startswith(_BROADCAST) else [] if tap is None else [tap]
        if taps and _goes_to_a_device(topic):
            self._keep(taps, at_ms, "went", topic, payload, verdict, qos, False)

    def _keep(
        self,
        taps: list["_Tap"],
        at_ms: int,
        direction: Any,
        topic: str,
        payload: bytes,
        verdict: Fate,
        qos: int,
        retained: bool,
    ) -> None:
        self._forget_old(at_ms)
        self._seq += 1
        text, encoding = _shown(payload)
        message = PassedMessage(
            seq=self._seq,
            at=at_ms,
            direction=direction,
            topic=topic[:1024],
            payload=text,
            encoding=encoding,
            size=len(payload),
            cut=len(payload) > MOST_BYTES,
            qos=qos,
            retained=retained,
            verdict=verdict.word,
            kind=verdict.kind,
            code=verdict.code,
            field=verdict.field,
            reason=verdict.reason,
        )
        for tap in taps:
            tap.messages.append(message)

    def _forget_old(self, now_ms: int) -> None:
        for esp_id in [each for each, tap in self._taps.items() if now_ms - tap.looked_at_ms > KEPT_MS]:
            del self._taps[esp_id]
        self.armed = bool(self._taps)


class _Tap:
    def __init__(self, now_ms: int) -> None:
        self.since_ms = now_ms
        self.looked_at_ms = now_ms
        self.messages: deque[PassedMessage] = deque(maxlen=MOST_KEPT)


def _device_of(topic: str) -> str:
    """The device in a topic (`kaiser/<site>/esp/<device>/…`); "" if there is none."""
    levels = topic.split("/", 4)
    return levels[3] if len(levels) == 5 and levels[2] == "esp" else ""


def _goes_to_a_device(topic: str) -> bool:
    try:
        return is_downlink(parse(topic).kind)
    except Rejected:
        return False


def _shown(payload: bytes) -> tuple[str, Encoding]:
    """A payload as text, without secrets and cut; in base64 if it is no UTF-8."""
    payload = without_secrets(payload)
    part = payload[:MOST_BYTES]
    try:
        return part.decode(errors="strict" if len(part) == len(payload) else "ignore"), "text"
    except UnicodeDecodeError:
        return base64.b64encode(part).decode(), "base64"
