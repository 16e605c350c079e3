"""The pure form of a pack: lines, bounds, numbers of lines, shards."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaiser_common.contract import pack

json_objects = st.dictionaries(
    st.text(max_size=8), st.one_of(st.text(max_size=20), st.integers(), st.floats(allow_nan=False), st.none())
)


@given(st.lists(json_objects, min_size=1, max_size=50))
def test_lines_come_out_of_a_pack_as_they_went_in(objects):
    lines = [json.dumps(each).encode() for each in objects]
    assert pack.split(pack.encode(lines)) == lines
    assert pack.count(pack.encode(lines)) == len(lines)


def test_a_pack_of_one_is_the_single_message_of_earlier_versions():
    message = b'{"esp_id":"ESP_1","gpio":4}'
    assert pack.encode([message]) == message
    assert pack.split(message) == [message]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the pack is empty"),
        (b"{}\n" * 4096 + b"{}", "the pack has 4097 lines, at most 4096"),
        (b"x" * (1024 * 1024 + 1), "the pack has 1048577 bytes, at most 1048576"),
    ],
)
def test_what_no_writer_makes_is_no_pack(body, reason):
    with pytest.raises(pack.NotAPack, match=reason):
        pack.split(body)


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"{}\n" * 4095 + b"{}", 4096),
        (b"x" * 1024 * 1024, 1),
        (b"{}\n", 2),  # an empty line is a line: it is rejected by itself
        (b"\n", 2),
        (b"{}\r\n{}", 2),
    ],
)
def test_a_pack_has_as_many_lines_as_newlines_and_one(body, lines):
    assert len(pack.split(body)) == pack.count(body) == pack.checked_count(body) == lines


@given(st.lists(st.binary(min_size=1, max_size=40).filter(lambda line: b"\n" not in line), max_size=60))
def test_packs_are_within_the_bounds_and_keep_every_line_in_order(lines):
    packs = list(pack.bounded(lines, most_lines=7, most_bytes=100))
    assert [line for part in packs for line in part] == lines
    assert all(1 <= len(part) <= 7 and len(pack.encode(part)) <= 100 for part in packs)
    for part, following in pairwise(packs):
        assert len(part) == 7 or len(pack.encode([*part, following[0]])) > 100


def test_a_line_over_the_bound_is_a_pack_of_its_own():
    assert list(pack.bounded([b"a", b"b" * 200, b"c"], most_bytes=100)) == [[b"a"], [b"b" * 200], [b"c"]]


@given(st.integers(1, 2**41 - 1), st.integers(0, 4095))
def test_a_seq_names_message_and_line_and_is_exact_in_javascript(stream_sequence, line):
    seq = pack.seq_of(stream_sequence, line)
    assert pack.place_of(seq) == (stream_sequence, line)
    assert seq <= 2**53
    assert int(float(seq)) == seq


@given(st.tuples(st.integers(1, 10**6), st.integers(0, 4095)), st.tuples(st.integers(1, 10**6), st.integers(0, 4095)))
def test_seqs_order_as_messages_and_lines_do(first, second):
    assert (pack.seq_of(*first) < pack.seq_of(*second)) == (first < second)


def test_the_shard_of_a_device_is_the_same_in_every_process():
    assert pack.shard_of("ESP_0A1B2C3D") == "0"
    # printf ESP_0A1B2C3D | b2sum -l 32 (coreutils)
    assert pack.shard_of("ESP_0A1B2C3D", 8) == str(0x4CA32663 % 8)
    with pytest.raises(ValueError, match="0 shards"):
        pack.shard_of("ESP_1", 0)
