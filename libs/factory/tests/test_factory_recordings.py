"""Recordings, their forms and the shift of times: the handed vectors, and what holds for any file."""

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_factory_dialect.recordings import (
    MAX_SKIPPED,
    Recorded,
    parse_file,
    parse_lines,
    parse_rows,
    to_line,
    to_meta_line,
)
from kaiser_factory_dialect.shift import shift_times

DATA = Path(__file__).parents[3] / "tests/golden"
VECTORS = json.loads((DATA / "factory-messages.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["imports"], ids=lambda vector: vector["name"])
def test_a_file_is_imported_as_the_vector_says(vector: dict[str, Any]):
    recording = parse_file(vector["file"], "\n".join(vector["lines"]).encode())
    found = [
        {
            "at_ms": one.at_ms,
            "topic": one.topic,
            "payload": one.payload.decode(),
            "qos": one.qos,
            "retain": one.retained,
        }
        for one in recording.messages
    ]
    assert found == vector["messages"]
    assert [line for line, _ in recording.skipped] == [line for line, _ in vector["skipped"]]
    for (_, reason), (_, begins) in zip(recording.skipped, vector["skipped"], strict=True):
        assert reason.startswith(begins)
    assert recording.naive is vector["naive"]


@pytest.mark.parametrize("vector", VECTORS["shift"], ids=lambda vector: str(vector["delta_ms"]))
def test_times_are_shifted_as_the_vector_says(vector: dict[str, Any]):
    assert shift_times(vector["payload"], vector["delta_ms"]) == vector["shifted"]
    assert shift_times(vector["shifted"], -vector["delta_ms"]) == vector["payload"]


def test_the_session_is_imported_with_its_bad_lines():
    expected = json.loads((DATA / "factory-session.expected.json").read_text())
    recording = parse_lines((DATA / "factory-session.jsonl").read_bytes().splitlines())
    assert (recording.lines, len(recording.messages)) == (expected["lines"], expected["messages"])
    assert [
        [line, reason[: len(begins)]]
        for (line, reason), (_, begins) in zip(recording.skipped, expected["skipped"], strict=True)
    ] == expected["skipped"]
    assert recording.meta["sessionName"] == "white-order-made-up"
    assert not recording.naive


def test_rows_of_the_table_are_a_recording():
    row = {"id": 1, "topic": "a/b", "payload": "x", "timestamp": "2026-02-13T17:26:40.123456", "qos": 1, "retain": 1}
    recording = parse_rows([row], offset_us=3_600_000_000)
    assert recording.messages == [Recorded("a/b", b"x", 1_771_000_000_123_456, 1, True)]
    assert recording.naive


def test_the_skipped_lines_that_are_listed_are_bounded():
    recording = parse_lines([b"x"] * (MAX_SKIPPED + 7))
    assert (len(recording.skipped), recording.bad_lines) == (MAX_SKIPPED, MAX_SKIPPED + 7)


def test_a_json_file_that_is_no_json_is_refused_by_name():
    with pytest.raises(ValueError, match=r"a\.json is not JSON"):
        parse_file("a.json", b"{")


def test_compressed_content_has_bad_lines_and_nothing_else():
    assert not parse_file("a.log", gzip.compress(b"{}")).messages


MESSAGES = st.builds(
    Recorded,
    st.text(st.characters(exclude_characters="+#\x00", exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.binary(max_size=40) | st.text(max_size=20).map(str.encode),
    st.integers(1, 4_000_000_000_000_000),
    st.integers(0, 2),
    st.booleans(),
)


@given(st.lists(MESSAGES, max_size=5))
def test_a_recording_comes_back_from_its_own_form(messages: list[Recorded]):
    lines = [to_meta_line({"note": "n"}), *(to_line(one, at) for at, one in enumerate(messages, start=1))]
    again = parse_file("a.jsonl", b"\n".join(lines))
    assert again.messages == messages
    assert again.meta["format"] == "kaiser-session/1"
    assert (again.skipped, again.naive) == ([], False)


@given(st.sampled_from(["a.log", "a.json"]), st.binary(max_size=200))
def test_no_content_raises_but_json_that_is_none(name: str, content: bytes):
    try:
        parse_file(name, content)
    except ValueError as error:
        assert name == "a.json" and "not JSON" in str(error)  # noqa: PT018, PT017


@given(st.text(max_size=120), st.integers(-(10**13), 10**13))
def test_no_text_raises(text: str, delta_ms: int):
    shift_times(text, delta_ms)
    shift_times('{"timestamp":"' + text + '"}', delta_ms)
    shift_times('{"ts":' + text + "}", delta_ms)


@given(st.integers(200_000_000_000, 4_000_000_000_000), st.integers(-(10**11), 10**11), st.integers(0, 9))
def test_a_shift_moves_each_form_by_the_same_and_keeps_its_digits(at_ms: int, delta_ms: int, digits: int):
    line = to_line(Recorded("t", b"", at_ms * 1000), 1)
    iso = msgspec.json.decode(line)["timestamp"][:-1]
    written = {"timestamp": f"{iso}123"[: 20 + digits].rstrip("."), "n": [{"ts": at_ms}]}
    moved = msgspec.json.decode(shift_times(msgspec.json.encode(written).decode(), delta_ms))
    assert moved["n"][0]["ts"] == at_ms + delta_ms
    assert len(moved["timestamp"]) == len(written["timestamp"])
    back = msgspec.json.decode(shift_times(msgspec.json.encode(moved).decode(), -delta_ms))
    if digits >= 3:
        assert back == written


@pytest.mark.parametrize(
    "text",
    [
        '{"note":"\\"timestamp\\":\\"2026-02-02T04:10:00Z\\""}',
        '{"timestamp":"yesterday","ts":0,"loadTimestamp":0,"startedAt":null,"ts":[1]}',
        '{"timestamps":"2026-02-02T04:10:00Z"}',
        '"timestamp" : ',
        '{"timestamp":"9999-12-31T23:59:59Z"}',
    ],
)
def test_what_is_no_time_of_a_message_stays(text: str):
    assert shift_times(text, 1000) == text


def test_a_time_keeps_its_zone_its_space_and_its_decimals():
    text = '{"ts" : "2026-02-02 04:10:59.9999999+01:00","timestamp":1770005400.250}'
    assert shift_times(text, 1) == '{"ts" : "2026-02-02 04:11:00.0009999+01:00","timestamp":1770005400.251}'
