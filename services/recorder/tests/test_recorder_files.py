"""Each form of a file is read in parts, broken ones up to where they break."""

import gzip
import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from kaiser_factory_dialect.recordings import Recorded, Recording, to_line, to_meta_line
from kaiser_recorder.store import files
from kaiser_recorder.store.files import NoRecording, parts_of
from kaiser_recorder.store.uploads import MOST, Uploads

GOLDEN = Path(__file__).parents[3] / "tests/golden"
MESSAGES = [Recorded(f"ccu/x/{number}", b"%d" % number, 1_771_000_000_000_000 + number, 1) for number in range(25)]
BYTES = Recorded("ccu/bytes", b"\x00\xff", 1_771_000_000_000_099, 2, True)


def rows() -> list[dict[str, Any]]:
    return [
        {"topic": each.topic, "payload": each.payload.decode(), "timestamp": each.at_us // 1000, "qos": each.qos}
        for each in MESSAGES
    ]


def of(path: Path, filename: str | None = None, offset_us: int = 0) -> tuple[list[Recorded], Recording]:
    found = Recording()
    messages = [one for part in parts_of(path, filename or path.name, offset_us, found) for one in part]
    return messages, found


def in_ms(messages: list[Recorded]) -> list[tuple[str, bytes, int]]:
    return [(each.topic, each.payload, each.at_ms) for each in messages]


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PART_MESSAGES", 10)


def test_lines_come_in_parts_with_their_description(tmp_path: Path):
    path = tmp_path / "own.jsonl"
    lines = [to_meta_line({"sessionName": "x"}), *(to_line(each, 1) for each in [*MESSAGES, BYTES]), b"{", b""]
    path.write_bytes(b"\n".join(lines))
    found = Recording()
    parts = list(parts_of(path, path.name, 0, found))
    assert [len(part) for part in parts] == [10, 10, 6]
    assert [one for part in parts for one in part] == [*MESSAGES, BYTES]
    assert (found.meta["sessionName"], found.bad_lines, found.skipped) == ("x", 1, [(28, "no JSON")])


@pytest.mark.parametrize("compressed", [False, True])
def test_an_array_and_lines_are_read_packed_and_unpacked(tmp_path: Path, compressed: bool):
    for name, body in (("a.json", json.dumps(rows())), ("a.LOG", "\n".join(json.dumps(row) for row in rows()))):
        path = tmp_path / name
        path.write_bytes(gzip.compress(body.encode()) if compressed else body.encode())
        messages, found = of(path, f"{name}.gz" if compressed else name)
        assert in_ms(messages) == in_ms(MESSAGES)
        assert found.bad_lines == 0


def test_a_database_is_read_in_the_order_of_its_ids(tmp_path: Path):
    path = tmp_path / "session.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mqtt_messages (id INTEGER, topic TEXT, payload TEXT, timestamp TEXT)")
        many = [(9 - number, f"t/{number}", "{}", f"2026-02-13T16:27:0{number}.000001") for number in range(9)]
        connection.executemany("INSERT INTO mqtt_messages VALUES (?, ?, ?, ?)", many)
        connection.execute("INSERT INTO mqtt_messages VALUES (10, CAST(x'ff' AS TEXT), CAST(x'ff' AS TEXT), NULL)")
        connection.execute("INSERT INTO mqtt_messages VALUES (11, 't/last', CAST(x'ff00' AS TEXT), NULL)")
    connection.close()
    messages, found = of(path, offset_us=3_600_000_000)
    assert [each.topic for each in messages] == [*(f"t/{number}" for number in range(8, -1, -1)), "t/last"]
    assert (messages[-1].payload, found.naive, found.skipped) == (b"\xff\x00", True, [(10, "no topic")])
    assert messages[-1].at_us == messages[-2].at_us == 1_771_000_020_000_001 - 3_600_000_000


@pytest.mark.parametrize(
    ("name", "body", "why"),
    [
        ("x.db", b"no database at all", "the database cannot be read"),
        ("x.db.gz", b"", "unpack it first"),
    ],
)
def test_what_is_no_database_is_named(tmp_path: Path, name: str, body: bytes, why: str):
    path = tmp_path / "file"
    path.write_bytes(body)
    with pytest.raises(NoRecording, match=why):
        of(path, name)


def test_a_view_in_place_of_the_table_is_not_run(tmp_path: Path):
    path = tmp_path / "trap.db"
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id FROM n"
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE VIEW mqtt_messages AS {endless}")
    connection.close()
    with pytest.raises(NoRecording, match="no table"):
        of(path)


@pytest.mark.parametrize(
    "table",
    [
        "TABLE mqtt_messages (id, topic TEXT, payload AS (zeroblob(900000000)))",
        "TABLE mqtt_messages (id AS (zeroblob(900000000)) STORED, topic TEXT)",
        "VIRTUAL TABLE mqtt_messages USING fts5(id, topic, payload)",
    ],
)
def test_a_table_that_is_computed_is_refused(tmp_path: Path, table: str):
    """One row of it would be a gigabyte of memory, or of the disk on which its order is made."""
    path = tmp_path / "bomb.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE {table}")
        if "STORED" not in table:
            connection.execute("INSERT INTO mqtt_messages (topic) VALUES ('a')")
    connection.close()
    with pytest.raises(NoRecording, match="computed"):
        of(path)


def test_a_value_that_is_too_long_ends_the_file_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "_LONGEST_LINE", 100_000)
    path = tmp_path / "long.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mqtt_messages (id INTEGER PRIMARY KEY, topic TEXT, payload TEXT)")
        for payload in ("{}", "x" * 500_000, "{}"):
            connection.execute("INSERT INTO mqtt_messages (topic, payload) VALUES ('a', ?)", (payload,))
    connection.close()
    messages, found = of(path)
    assert all(each.payload == b"{}" for each in messages)
    assert found.skipped[0][1].startswith("the file is broken here")


@pytest.mark.parametrize("depth", range(900, 1100, 10))
@pytest.mark.parametrize("name", ["deep.json", "deep.log"])
def test_an_item_that_nests_deep_is_read_or_skipped(tmp_path: Path, name: str, depth: int):
    path = tmp_path / name
    deep = '{"topic": "a", "payload": ' + "[" * depth + "]" * depth + "}"
    path.write_text(f"[{deep}]" if name == "deep.json" else deep)
    messages, found = of(path)
    assert len(messages) + found.bad_lines == 1


def test_a_line_without_an_end_is_unpacked_up_to_the_limit_and_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A file of half a gigabyte may unpack to a line of half a terabyte."""
    monkeypatch.setattr(files, "MAX_BYTES", 2_000_000)
    monkeypatch.setattr(files, "_LONGEST_LINE", 100_000)
    read = 0

    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            nonlocal read
            read += len(buffer)
            assert read < 100_000_000, "the line is read beyond the limit"
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    monkeypatch.setattr(files, "_opened", lambda *_, **__: io.BufferedReader(Endless()))
    with pytest.raises(NoRecording, match="more than 2000000 bytes"):
        of(tmp_path / "endless.log.gz")


def test_a_file_that_breaks_off_is_read_up_to_there(tmp_path: Path):
    body = json.dumps(rows())
    path = tmp_path / "cut.json"
    path.write_text(body[: len(body) // 2])
    messages, found = of(path)
    assert 0 < len(messages) < 25
    assert in_ms(messages) == in_ms(MESSAGES)[: len(messages)]
    assert found.skipped[0][1].startswith("the file is broken here")
    packed = tmp_path / "cut.log.gz"
    packed.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in rows()).encode())[:-20])
    messages, found = of(packed)
    assert in_ms(messages) == in_ms(MESSAGES)[: len(messages)]
    assert found.bad_lines == 1


@pytest.mark.parametrize("name", ["big.log", "big.json", "big.log.gz"])
def test_one_byte_too_many_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    body = json.dumps(rows()) if name == "big.json" else "\n".join(json.dumps(row) for row in rows())
    path = tmp_path / name
    path.write_bytes(gzip.compress(body.encode()) if name.endswith(".gz") else body.encode())
    monkeypatch.setattr(files, "MAX_BYTES", len(body))
    assert len(of(path)[0]) == 25
    monkeypatch.setattr(files, "MAX_BYTES", len(body) - 1)
    with pytest.raises(NoRecording, match="more than"):
        of(path)


def test_a_line_without_end_is_skipped_and_the_next_one_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "_LONGEST_LINE", 1000)
    path = tmp_path / "long.log"
    path.write_bytes(b'{"topic": "' + b"x" * 5000 + b'"}\n' + json.dumps(rows()[0]).encode())
    messages, found = of(path)
    assert len(messages) == 1
    assert found.skipped == [(1, "a line has more than 1000 bytes")]


def test_the_session_of_the_factory_is_read_whole(tmp_path: Path):
    messages, found = of(GOLDEN / "factory-session.jsonl")
    expected = json.loads((GOLDEN / "factory-session.expected.json").read_text())
    assert (len(messages), found.lines) == (expected["messages"], expected["lines"])
    assert [line for line, _ in found.skipped] == [line for line, _ in expected["skipped"]]


def test_files_on_their_way_in_are_bounded_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    uploads = Uploads(tmp_path / "in")
    uploads.clear()
    keys = [uploads.begin("a.log", "a", "", 0) for _ in range(MOST)]
    assert uploads.begin("a.log", "a", "", 0) is None
    upload = uploads.get(keys[0] or "")
    assert upload is not None
    uploads.add(upload, b"abc")
    assert (uploads.coming, upload.path.read_bytes()) == (3, b"abc")
    monkeypatch.setattr("time.monotonic", lambda: upload.touched_at + 61)
    assert uploads.begin("a.log", "a", "", 0) is not None
    assert len(list((tmp_path / "in").iterdir())) == 1
    Uploads(tmp_path / "in").clear()
    assert list((tmp_path / "in").iterdir()) == []
