"""Reads a recording's file in parts, whatever its form: lines or a JSON array, either of them also compressed, or
SQLite. Only one part is in memory at a time."""

import gzip
import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from kaiser_factory_dialect.json_items import items_of
from kaiser_factory_dialect.recordings import Recorded, Recording

MAX_BYTES = 512 * 1024 * 1024
"""Of a file, and of what is in it where it is compressed."""
PART_MESSAGES = 2000
_PART_BYTES = 8_000_000
_LONGEST_LINE = 8 * 1024 * 1024
_READ_BYTES = 256 * 1024
_TABLE = "mqtt_messages"
_COLUMNS = ("topic", "payload", "payload_base64", "timestamp", "qos", "retain")
_LONGEST_S = 600.0
_OPERATIONS = 100_000
_BROKEN: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile)


class NoRecording(Exception):
    """The file is none that can be read; the text says why."""


def parts_of(path: Path, filename: str, offset_us: int, recording: Recording) -> Iterator[list[Recorded]]:
    """The messages of a file in parts. `recording` gets what else there is: skipped lines, the description, naive.

    NoRecording: nothing of the file can be read, or unpacked it is too large.
    """
    name = filename.lower()
    compressed = name.endswith(".gz")
    name = name.removesuffix(".gz")
    if name.endswith((".db", ".sqlite", ".sqlite3")):
        if compressed:
            raise NoRecording("a compressed database cannot be read: unpack it first")
        steps = _rows(path, offset_us, recording)
    elif name.endswith(".json"):
        steps = _items(path, offset_us, recording, compressed=compressed)
    else:
        steps = _lines(path, offset_us, recording, compressed=compressed)
    size, seen = 0, 0
    for _ in steps:
        if len(recording.messages) > seen:
            seen = len(recording.messages)
            size += len(recording.messages[-1].payload)
        if seen >= PART_MESSAGES or size >= _PART_BYTES:
            yield recording.drain()
            size, seen = 0, 0
    if recording.messages:
        yield recording.drain()


def _lines(path: Path, offset_us: int, recording: Recording, *, compressed: bool) -> Iterator[None]:
    with _opened(path, compressed=compressed) as file:
        left = MAX_BYTES
        while True:
            try:
                line = file.readline(_LONGEST_LINE)
                left -= len(line)
                if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
                    left -= _skip_line(file)
                    _check(left)
                    recording.lines += 1
                    recording.skip(recording.lines, f"a line has more than {_LONGEST_LINE} bytes")
                    continue
            except _BROKEN as error:
                _note_broken(recording, error)
                return
            _check(left)
            if not line:
                return
            recording.add_line(line, offset_us)
            yield


def _skip_line(file: IO[bytes]) -> int:
    """Read to the end of the line; how many bytes that were."""
    read = 0
    while more := file.readline(_READ_BYTES):
        read += len(more)
        if more.endswith(b"\n") or read > MAX_BYTES:
            break
    return read


def _items(path: Path, offset_us: int, recording: Recording, *, compressed: bool) -> Iterator[None]:
    with _opened(path, compressed=compressed) as file:
        left = MAX_BYTES

        def chunks() -> Iterator[bytes]:
            nonlocal left
            while chunk := file.read(_READ_BYTES):
                left -= len(chunk)
                _check(left)
                yield chunk

        try:
            for item in items_of(chunks()):
                recording.add_row(item, offset_us)
                yield
        except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            _note_broken(recording, error)


def _rows(path: Path, offset_us: int, recording: Recording) -> Iterator[None]:
    """The rows of the table in the order of their ids. The file is only read, and nothing in it is computed: no view,
    no virtual table and no generated column, of which a small file may have terabytes. A value has 8 MiB at most."""
    ends_at = time.monotonic() + _LONGEST_S
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        connection.set_progress_handler(lambda: time.monotonic() > ends_at, _OPERATIONS)
        connection.text_factory = _text
        connection.row_factory = sqlite3.Row
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_LINE)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            names = ", ".join(_stored_columns(connection))
            rows = connection.execute(f"SELECT {names} FROM {_TABLE} ORDER BY id")
        except sqlite3.Error as error:
            raise NoRecording(f"the database cannot be read: {error}") from error
        while True:
            try:
                row = rows.fetchone()
            except sqlite3.Error as error:
                _note_broken(recording, error)
                return
            if row is None:
                return
            recording.add_row(dict(row), offset_us)
            yield


def _stored_columns(connection: sqlite3.Connection) -> list[str]:
    """The columns that are read. NoRecording: the table is missing, or is not stored as it is."""
    found = connection.execute("SELECT type, sql FROM sqlite_master WHERE name = ?", (_TABLE,)).fetchone()
    if found is None or found["type"] != "table":
        raise NoRecording(f"the database has no table {_TABLE}")
    columns = connection.execute(f"PRAGMA table_xinfo({_TABLE})").fetchall()
    if "VIRTUAL" in str(found["sql"]).upper().split("(")[0] or any(each["hidden"] for each in columns):
        raise NoRecording(f"the table {_TABLE} is computed and not stored: export it to lines of JSON first")
    names = [each["name"].lower() for each in columns]
    return [name for name in _COLUMNS if name in names] or ["id"]


def _text(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _opened(path: Path, *, compressed: bool) -> IO[bytes]:
    return gzip.open(path, "rb") if compressed else path.open("rb")  # type: ignore[return-value]


def _check(left: int) -> None:
    if left < 0:
        raise NoRecording(f"the file has more than {MAX_BYTES} bytes")


def _note_broken(recording: Recording, error: Exception) -> None:
    """The rest of the file cannot be read; what came before it stays."""
    recording.lines += 1
    recording.skip(recording.lines, f"the file is broken here: {str(error)[:200] or type(error).__name__}")
