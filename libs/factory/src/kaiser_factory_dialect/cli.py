"""`kaiser-factory check FILE [--expect F]`: runs vectors or a recording through the pure functions, with no server."""

import argparse
import gzip
import json
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from kaiser_factory_dialect.compare import differences
from kaiser_factory_dialect.recordings import Recording, parse_file, parse_rows
from kaiser_factory_dialect.session import summary_of
from kaiser_factory_dialect.vectors import check_vectors, is_vectors

MAX_BYTES = 512 * 1024 * 1024
_PASSED, _DIFFERS, _UNREADABLE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 everything is as expected, 1 something differs (each place is named), 2 a file is unreadable."""
    parser = argparse.ArgumentParser(prog="kaiser-factory", description=__doc__)
    commands = parser.add_subparsers(required=True)
    check = commands.add_parser("check", help="walk vectors or a recording, say what differs")
    check.add_argument("file", type=Path, help="vectors (.json), or a recording (.log, .jsonl, .json, .db, .gz)")
    check.add_argument("--expect", type=Path, help="what the recording ends in (.json)")
    given = parser.parse_args(arguments)
    try:
        return _check(given.file, given.expect)
    except (OSError, ValueError, EOFError, sqlite3.Error) as error:
        print(f"kaiser-factory: {_reason(error, given.file)}", file=sys.stderr)
        return _UNREADABLE


def _reason(error: Exception, file: Path) -> str:
    """The file at fault with what is wrong. An error that names no file is about the one to check."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) if isinstance(error, _WrongExpectation) else f"{file}: {error}"


class _WrongExpectation(ValueError):
    """The file of --expect, which the text names, cannot be used."""


def _check(file: Path, expect: Path | None) -> int:
    if file.suffix == ".db":
        return _check_recording(_of_database(file), expect)
    name, content = _content(file)
    if name.endswith(".json") and is_vectors(value := _json(content)):
        if expect is not None:
            raise ValueError("vectors contain what is expected: use --expect only with recordings")
        return _check_vectors(value)
    return _check_recording(parse_file(name, content), expect)


def _check_vectors(value: dict[str, Any]) -> int:
    report = check_vectors(value)
    for line in report.failures:
        print(line)
    for section, (passed, of) in report.passed.items():
        print(f"{section}: {passed} of {of} pass")
    return _DIFFERS if report.failures else _PASSED


def _check_recording(recording: Recording, expect: Path | None) -> int:
    expected = {} if expect is None else _expectation(expect)
    summary = msgspec.to_builtins(summary_of(recording, expected))
    if expect is None:
        print(json.dumps(summary, indent=1, ensure_ascii=False))
        return _PASSED
    lines = differences(expected, summary)
    for line in lines:
        print(line)
    print(f"{len(recording.messages)} messages, {recording.bad_lines} bad lines: {len(lines)} differences")
    return _DIFFERS if lines else _PASSED


def _expectation(file: Path) -> dict[str, Any]:
    """An expected end, without what it says about itself."""
    try:
        expected = _json(file.read_bytes())
    except ValueError as error:
        raise _WrongExpectation(f"{file}: {error}") from error
    if not isinstance(expected, dict):
        raise _WrongExpectation(f"{file}: an expectation must be a JSON object")
    return {name: value for name, value in expected.items() if name != "about"}


def _content(file: Path) -> tuple[str, bytes]:
    """A file's name without `.gz`, and its content. ValueError: it is larger than MAX_BYTES."""
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"the file is larger than {MAX_BYTES} bytes")
    return (file.stem if file.suffix == ".gz" else file.name), content


def _json(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise ValueError(f"not JSON: {error}") from error


def _of_database(file: Path) -> Recording:
    """The recording in the table mqtt_messages, in the order of its id; the file is only read."""
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute("SELECT * FROM mqtt_messages ORDER BY id")
        return parse_rows(dict(row) for row in rows)


if __name__ == "__main__":
    sys.exit(main())
