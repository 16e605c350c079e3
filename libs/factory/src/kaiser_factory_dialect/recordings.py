"""Recordings of MQTT messages: reads the known file formats, and writes Kaiser's own.

Formats: one JSON object per line (`.log`, `.jsonl`), where the first line may describe the session; a JSON array of
such objects, or a single one (`.json`); rows of an SQLite table, as mappings. Source: docs/factory-dialect.md,
"Recordings".
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct

from kaiser_factory_dialect.payload import nests_at_most
from kaiser_factory_dialect.times import is_naive, read_iso_us, read_time, to_iso_us

MAX_SKIPPED = 1000
"""Of lines that are listed; all are counted."""
FORMAT = "kaiser-session/1"
_MAX_TOPIC_BYTES = 65_535
_DEEPEST_META = 100
_TOO_DEEP = "nested too deep"


class Recorded(Struct, frozen=True, gc=False):
    """One message of a recording. at_us: when it was recorded, in µs since 1970."""

    topic: str
    payload: bytes
    at_us: int
    qos: int = 0
    retained: bool = False

    @property
    def at_ms(self) -> int:
        """When it was recorded, in ms since 1970."""
        return self.at_us // 1000


@dataclass(slots=True)
class Recording:
    """A file of messages in the file's order.

    skipped: number of a line, or of an item, and why (`no JSON`, `no topic`, `topic …`, …), of the first MAX_SKIPPED;
    bad_lines counts all. naive: some time says no zone and was taken as UTC plus the offset given. meta: the session's
    description as it came. last_us: the time of the last message.
    """

    messages: list[Recorded] = field(default_factory=list)
    skipped: list[tuple[int, str]] = field(default_factory=list)
    lines: int = 0
    bad_lines: int = 0
    naive: bool = False
    meta: dict[str, Any] = field(default_factory=dict)
    last_us: int | None = None

    def skip(self, line: int, reason: str) -> None:
        """Count a bad line."""
        self.bad_lines += 1
        if len(self.skipped) < MAX_SKIPPED:
            self.skipped.append((line, reason))

    def add_line(self, line: bytes, offset_us: int = 0) -> None:
        """Add the next line of a file. An empty one is left out; a bad one is skipped and listed."""
        self.lines += 1
        if not line.strip():
            return
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, ValueError, RecursionError):
            self.skip(self.lines, "no JSON")
        else:
            _add(self, self.lines, value, offset_us)

    def add_row(self, row: Any, offset_us: int = 0) -> None:
        """Add the next row, or item of an array."""
        self.lines += 1
        _add(self, self.lines, row, offset_us)

    def drain(self) -> list[Recorded]:
        """The messages since the last call, which are forgotten here: a large file is read in parts."""
        found, self.messages = self.messages, []
        return found


def parse_file(name: str, content: bytes, offset_us: int = 0) -> Recording:
    """The recording of a file, by its name: `.json` is an array or one object, others are lines.

    offset_us is subtracted from times without a zone. ValueError: a `.json` file that is not JSON.
    """
    if not name.endswith(".json"):
        return parse_lines(content.splitlines(), offset_us)
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON: {error}") from error
    return parse_rows(value if isinstance(value, list) else [value], offset_us)


def parse_lines(lines: Iterable[bytes], offset_us: int = 0) -> Recording:
    """The recording of lines. Empty ones are left out; a bad one is skipped and listed."""
    recording = Recording()
    for line in lines:
        recording.add_line(line, offset_us)
    return recording


def parse_rows(rows: Iterable[Any], offset_us: int = 0) -> Recording:
    """The recording of rows, such as those of the table mqtt_messages in the order of its id."""
    recording = Recording()
    for row in rows:
        recording.add_row(row, offset_us)
    return recording


def _add(recording: Recording, number: int, value: Any, offset_us: int) -> None:
    if isinstance(value, Mapping) and "_kind" in value and "topic" not in value:
        if not nests_at_most(value, _DEEPEST_META):
            recording.skip(number, _TOO_DEEP)
        elif recording.last_us is None:
            recording.meta = dict(value)
        return
    topic = value.get("topic") if isinstance(value, Mapping) else None
    if not isinstance(topic, str):
        recording.skip(number, "no topic")
        return
    if (fault := _topic_fault(topic)) is not None:
        recording.skip(number, fault)
        return
    try:
        payload = _payload(value)
    except RecursionError:
        recording.skip(number, _TOO_DEEP)
        return
    if payload is None:
        recording.skip(number, "payload_base64 is not valid base64")
        return
    at_us = recording.last_us = _time(recording, value, offset_us)
    qos, retained = value.get("qos"), value.get("retain")
    recording.messages.append(Recorded(topic, payload, at_us, int(qos) if qos in (1, 2) else 0, retained in (True, 1)))


def _topic_fault(topic: str) -> str | None:
    if not topic:
        return "topic is empty"
    if "+" in topic or "#" in topic:
        return "topic has a wildcard"
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        return "topic is no valid text"
    if "\x00" in topic or size > _MAX_TOPIC_BYTES:
        return f"topic has U+0000, or more than {_MAX_TOPIC_BYTES} bytes"
    return None


def _payload(row: Mapping[str, Any]) -> bytes | None:
    """The bytes of a payload: text as UTF-8, other JSON compact. None: payload_base64 cannot be read."""
    encoded = row.get("payload_base64")
    if isinstance(encoded, str):
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return None
    payload = row.get("payload", "")
    if isinstance(payload, bytes):
        return payload
    return payload.encode(errors="surrogatepass") if isinstance(payload, str) else msgspec.json.encode(payload)


def _time(recording: Recording, row: Mapping[str, Any], offset_us: int) -> int:
    """The time of a row in µs; without one, that of the message before, then that of the session's start."""
    value = row.get("timestamp")
    if isinstance(value, str) and (at := read_iso_us(value)) is not None:
        if not is_naive(value):
            return at
        recording.naive = True
        return at - offset_us
    if (ms := read_time(value)) is not None:
        return ms * 1000
    if recording.last_us is not None:
        return recording.last_us
    return read_iso_us(str(recording.meta.get("recordingStartedAt"))) or 0


def to_line(message: Recorded, number: int) -> bytes:
    """A message as a line of Kaiser's own form; number counts from 1. A payload that is no UTF-8 is in base64."""
    row: dict[str, Any] = {"topic": message.topic}
    try:
        row["payload"] = message.payload.decode()
    except UnicodeDecodeError:
        row["payload_base64"] = base64.b64encode(message.payload).decode()
    row |= {"timestamp": to_iso_us(message.at_us), "qos": message.qos, "retain": message.retained, "seq": number}
    return msgspec.json.encode(row)


def to_meta_line(meta: Mapping[str, Any]) -> bytes:
    """The first line of Kaiser's own form: what the session's description has, and the name of the form."""
    return msgspec.json.encode({"_kind": "session_meta", "schema": 1, **meta, "format": FORMAT})
